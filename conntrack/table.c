/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conntrack/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

/* What of a tuple a filter compares; no public header of the kernel has these bits. */
enum {
	FILTER_IP_SRC = 1 << 0,
	FILTER_IP_DST = 1 << 1,
	FILTER_PROTO_NUM = 1 << 3,
	FILTER_SRC_PORT = 1 << 4,
	FILTER_DST_PORT = 1 << 5,
	FILTER_UNKNOWN = 1 << 30,
};

enum {
	REQUEST_SIZE = 512,    /* is enough */
	ANSWER_SIZE = 1024,    /* an error repeats the request */
	DUMP_SIZE = 32 * 1024, /* the kernel sends no more at once */
};

struct kp_table {
	struct mnl_socket *requests;
	struct mnl_socket *dump; /* NULL: none is running */
	uint32_t seq, dump_seq;
};

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

	if (socket && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(socket);
		return NULL;
	}
	return socket;
}

int kp_table_open(struct kp_table **ret)
{
	struct mnl_socket *requests = open_socket();

	if (!requests)
		return -errno;
	*ret = kp_xcalloc(1, sizeof(**ret));
	(*ret)->requests = requests;
	return 0;
}

static void end_dump(struct kp_table *table)
{
	if (table->dump)
		mnl_socket_close(table->dump);
	table->dump = NULL;
}

void kp_table_close(struct kp_table *table)
{
	if (!table)
		return;
	end_dump(table);
	mnl_socket_close(table->requests);
	free(table);
}

static struct nlmsghdr *message(struct kp_table *table, char *buf, uint16_t type, uint16_t flags,
				uint8_t family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++table->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

/* Sends a request and waits for its acknowledgement. */
static int request(struct kp_table *table, const struct nlmsghdr *nlh)
{
	char buf[ANSWER_SIZE];
	ssize_t n;

	if (mnl_socket_sendto(table->requests, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(table->requests, buf, sizeof(buf));
	if (n < 0 || mnl_cb_run(buf, n, nlh->nlmsg_seq, mnl_socket_get_portid(table->requests),
				NULL, NULL) < 0)
		return -errno;
	return 0;
}

/* One address and port of a tuple, as far as they are known; returns the bits of what is. */
static uint32_t put_tuple(struct nlmsghdr *nlh, uint16_t tuple, const struct kp_flow *like)
{
	bool is_reply = tuple == CTA_TUPLE_REPLY;
	const struct kp_addr *addr = is_reply ? &like->endpoint : &like->frontend;
	uint16_t port = is_reply ? like->endpoint_port : like->frontend_port;
	struct nlattr *nest = mnl_attr_nest_start(nlh, tuple), *inner;
	uint32_t bits = FILTER_PROTO_NUM;

	/* Of IPv6 addresses, kernels (6.18 is one) let pass those that differ. */
	if (like->family == KP_IPV4 && !kp_addr_is_zero(addr)) {
		inner = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
		mnl_attr_put(nlh, is_reply ? CTA_IP_V4_SRC : CTA_IP_V4_DST,
			     kp_family_addr_size(KP_IPV4), addr->bytes);
		mnl_attr_nest_end(nlh, inner);
		bits |= is_reply ? FILTER_IP_SRC : FILTER_IP_DST;
	}
	inner = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, like->proto);
	if (port) {
		mnl_attr_put_u16(nlh, is_reply ? CTA_PROTO_SRC_PORT : CTA_PROTO_DST_PORT,
				 htons(port));
		bits |= is_reply ? FILTER_SRC_PORT : FILTER_DST_PORT;
	}
	mnl_attr_nest_end(nlh, inner);
	mnl_attr_nest_end(nlh, nest);
	return bits;
}

static void put_filter(struct nlmsghdr *nlh, const struct kp_flow_filter *filter)
{
	uint32_t orig = put_tuple(nlh, CTA_TUPLE_ORIG, &filter->like);
	uint32_t reply = put_tuple(nlh, CTA_TUPLE_REPLY, &filter->like);
	struct nlattr *nest = mnl_attr_nest_start(nlh, CTA_FILTER);

	mnl_attr_put_u32(nlh, CTA_FILTER_ORIG_FLAGS, orig);
	mnl_attr_put_u32(nlh, CTA_FILTER_REPLY_FLAGS, reply);
	mnl_attr_nest_end(nlh, nest);
	if (filter->translated_only) {
		mnl_attr_put_u32(nlh, CTA_STATUS, htonl(IPS_DST_NAT));
		mnl_attr_put_u32(nlh, CTA_STATUS_MASK, htonl(IPS_DST_NAT));
	} else if (filter->like.proto != IPPROTO_UDP) {
		mnl_attr_put_u32(nlh, CTA_STATUS, 0);
		mnl_attr_put_u32(nlh, CTA_STATUS_MASK, htonl(IPS_SEEN_REPLY));
	}
}

int kp_table_read(struct kp_table *table, const struct kp_flow_filter *filter)
{
	char buf[REQUEST_SIZE] = {0};
	struct nlmsghdr *nlh = message(table, buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP,
				       filter->like.family == KP_IPV4 ? AF_INET : AF_INET6);

	put_filter(nlh, filter);
	end_dump(table);
	table->dump = open_socket();
	if (!table->dump || mnl_socket_sendto(table->dump, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	table->dump_seq = nlh->nlmsg_seq;
	return 0;
}

/* The attribute of this type inside of 'nest'; NULL when there is none. */
static const struct nlattr *get(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	if (nest)
		mnl_attr_for_each_nested (attr, nest)
			if (mnl_attr_get_type(attr) == type)
				return attr;
	return NULL;
}

static const struct nlattr *get_top(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == type)
			return attr;
	return NULL;
}

static bool read_addr(const struct nlattr *tuple, enum kp_family family, uint16_t v4, uint16_t v6,
		      struct kp_addr *ret)
{
	const struct nlattr *addr = get(get(tuple, CTA_TUPLE_IP), family == KP_IPV4 ? v4 : v6);
	size_t size = kp_family_addr_size(family);

	if (!addr || mnl_attr_get_payload_len(addr) != size)
		return false;
	memcpy(ret->bytes, mnl_attr_get_payload(addr), size);
	return true;
}

static bool read_port(const struct nlattr *tuple, uint16_t type, uint8_t *ret_proto, uint16_t *ret)
{
	const struct nlattr *proto = get(tuple, CTA_TUPLE_PROTO);
	const struct nlattr *num = get(proto, CTA_PROTO_NUM), *port = get(proto, type);

	if (!num || !port)
		return false;
	*ret_proto = mnl_attr_get_u8(num);
	*ret = ntohs(mnl_attr_get_u16(port));
	return true;
}

/* Fills '*ret' with the flow that an entry belongs to; false when it has no ports. */
static bool read_flow(const struct nlmsghdr *nlh, struct kp_flow *ret)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *orig = get_top(nlh, CTA_TUPLE_ORIG);
	const struct nlattr *reply = get_top(nlh, CTA_TUPLE_REPLY);

	memset(ret, 0, sizeof(*ret));
	ret->family = nfg->nfgen_family == AF_INET ? KP_IPV4 : KP_IPV6;
	return read_addr(orig, ret->family, CTA_IP_V4_DST, CTA_IP_V6_DST, &ret->frontend) &&
	       read_port(orig, CTA_PROTO_DST_PORT, &ret->proto, &ret->frontend_port) &&
	       read_addr(reply, ret->family, CTA_IP_V4_SRC, CTA_IP_V6_SRC, &ret->endpoint) &&
	       read_port(reply, CTA_PROTO_SRC_PORT, &ret->proto, &ret->endpoint_port);
}

static void copy(struct nlmsghdr *to, const struct nlmsghdr *from, uint16_t type)
{
	const struct nlattr *attr = get_top(from, type);

	if (attr)
		mnl_attr_put(to, attr->nla_type, mnl_attr_get_payload_len(attr),
			     mnl_attr_get_payload(attr));
}

/* Deletes exactly this entry.  It may have gone meanwhile, or made room for another one with the
 * same addresses; and the kernel keeps what is in a flowtable. */
static int delete_entry(struct kp_table *table, const struct nlmsghdr *entry)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(entry);
	char buf[REQUEST_SIZE] = {0};
	struct nlmsghdr *nlh = message(table, buf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK,
				       nfg->nfgen_family);
	int r;

	copy(nlh, entry, CTA_TUPLE_ORIG);
	copy(nlh, entry, CTA_ZONE);
	copy(nlh, entry, CTA_ID);
	r = request(table, nlh);
	return r == -ENOENT || r == -EBUSY ? 0 : r;
}

/* It is a connection of TCP or SCTP, and somebody has answered (CT-7). */
static bool was_answered(const struct nlmsghdr *entry, const struct kp_flow *flow)
{
	const struct nlattr *status = get_top(entry, CTA_STATUS);

	return flow->proto != IPPROTO_UDP && status &&
	       (ntohl(mnl_attr_get_u32(status)) & IPS_SEEN_REPLY);
}

struct reader {
	struct kp_table *table;
	const struct kp_stale *stale;
	size_t *n_deleted;
};

static int on_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct reader *reader = arg;
	struct kp_flow flow;
	int r;

	if (!read_flow(nlh, &flow) || !kp_stale_matches(reader->stale, &flow) ||
	    was_answered(nlh, &flow))
		return MNL_CB_OK;
	r = delete_entry(reader->table, nlh);
	if (r < 0) {
		errno = -r;
		return MNL_CB_ERROR;
	}
	reader->n_deleted[flow.family]++;
	return MNL_CB_OK;
}

int kp_table_delete_next(struct kp_table *table, const struct kp_stale *stale,
			 size_t n_deleted[KP_N_FAMILIES])
{
	struct reader reader = {.table = table, .stale = stale, .n_deleted = n_deleted};
	char buf[DUMP_SIZE];
	ssize_t n = mnl_socket_recvfrom(table->dump, buf, sizeof(buf));
	int r = n < 0 ? -errno : 1;

	if (r > 0) {
		r = mnl_cb_run(buf, n, table->dump_seq, mnl_socket_get_portid(table->dump),
			       on_entry, &reader);
		r = r < 0 ? -errno : r > MNL_CB_STOP;
	}
	if (r <= 0)
		end_dump(table);
	return r;
}

/* A kernel that knows filters refuses one with bits that nobody knows; others do not look. */
static bool refuses_unknown_filter(struct kp_table *table)
{
	char buf[DUMP_SIZE] = {0};
	struct nlmsghdr *nlh = message(table, buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_INET);
	struct nlattr *nest = mnl_attr_nest_start(nlh, CTA_FILTER);
	struct mnl_socket *socket = open_socket();
	ssize_t n = -1;

	mnl_attr_put_u32(nlh, CTA_FILTER_ORIG_FLAGS, FILTER_UNKNOWN);
	mnl_attr_nest_end(nlh, nest);
	if (socket && mnl_socket_sendto(socket, nlh, nlh->nlmsg_len) >= 0)
		n = mnl_socket_recvfrom(socket, buf, sizeof(buf));
	if (socket)
		mnl_socket_close(socket);
	return n >= (ssize_t)sizeof(*nlh) && ((struct nlmsghdr *)buf)->nlmsg_type == NLMSG_ERROR;
}

enum kp_table_support kp_table_probe(void)
{
	enum kp_table_support support = KP_TABLE_MISSING;
	char buf[REQUEST_SIZE] = {0};
	struct kp_table *table = NULL;

	if (kp_table_open(&table) < 0)
		return support;
	if (request(table, message(table, buf, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC)) == 0)
		support = refuses_unknown_filter(table) ? KP_TABLE_FILTERED : KP_TABLE_UNFILTERED;
	kp_table_close(table);
	return support;
}
