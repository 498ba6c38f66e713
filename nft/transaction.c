/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/transaction.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

#include "kproxy/clock.h"
#include "nft/expr.h"

/* Messages are collected in chunks, so that nothing is copied when the transaction grows. */
#define CHUNK_SIZE (256 * 1024)
/* A list of elements is one attribute, whose length has 16 bits. */
#define MAX_ELEMENTS_LEN 32000
/* What a message may need at most, a list of elements included. */
#define MAX_MESSAGE_LEN (64 * 1024)

/* Tags of the user data of an element; nft shows the first and passes over the second. */
enum {
	ELEMENT_COMMENT = 0,
	ELEMENT_COMMENT_REST = 0x7f
};

struct chunk {
	struct chunk *next;
	size_t len;
	char bytes[CHUNK_SIZE];
};

struct kp_nft_transaction {
	struct chunk *first, *last;
	size_t n_chunks, n_ops, n_bytes;
	uint32_t seq, n_acks;
	bool ended;
	/* The open list of elements. */
	struct nlmsghdr *message;
	struct nlattr *list;
	uint16_t list_type;
	uint8_t list_family, list_set;
};

static void *room(struct kp_nft_transaction *t)
{
	if (!t->last || t->last->len + MAX_MESSAGE_LEN > CHUNK_SIZE) {
		/* Zeroed: the libraries leave the padding of attributes as it is. */
		struct chunk *chunk = kp_xcalloc(1, sizeof(*chunk));

		if (t->last)
			t->last->next = chunk;
		else
			t->first = chunk;
		t->last = chunk;
		t->n_chunks++;
	}
	return t->last->bytes + t->last->len;
}

static void finish(struct kp_nft_transaction *t, const struct nlmsghdr *message)
{
	t->last->len += MNL_ALIGN(message->nlmsg_len);
	t->n_bytes += MNL_ALIGN(message->nlmsg_len);
}

static void close_list(struct kp_nft_transaction *t)
{
	if (!t->message)
		return;
	mnl_attr_nest_end(t->message, t->list);
	finish(t, t->message);
	t->message = NULL;
}

static struct nlmsghdr *begin(struct kp_nft_transaction *t, uint16_t type, enum kp_family family,
			      uint16_t flags)
{
	close_list(t);
	t->n_acks++;
	return nftnl_nlmsg_build_hdr(room(t), type, kp_nft_family(family), NLM_F_ACK | flags,
				     t->seq++);
}

/* The begin and end messages of the batch, which are not acknowledged. */
static struct nlmsghdr *mark(struct kp_nft_transaction *t, uint16_t type)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;

	close_list(t);
	nlh = mnl_nlmsg_put_header(room(t));
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = t->seq++;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(NFNL_SUBSYS_NFTABLES);
	return nlh;
}

struct kp_nft_transaction *kp_nft_transaction_new(void)
{
	struct kp_nft_transaction *t = kp_xcalloc(1, sizeof(*t));

	t->seq = 1;
	finish(t, mark(t, NFNL_MSG_BATCH_BEGIN));
	return t;
}

void kp_nft_transaction_free(struct kp_nft_transaction *t)
{
	struct chunk *chunk, *next;

	if (!t)
		return;
	for (chunk = t->first; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(t);
}

void kp_nft_transaction_set_generation(struct kp_nft_transaction *t, uint32_t generation)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)t->first->bytes;

	mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	t->first->len = 0;
	t->n_bytes = 0;
	finish(t, nlh);
}

struct nlmsghdr *kp_nft_transaction_begin(struct kp_nft_transaction *t, uint16_t type,
					  enum kp_family family)
{
	return begin(t, type, family, 0);
}

void kp_nft_transaction_put(struct kp_nft_transaction *t, const struct nlmsghdr *message)
{
	finish(t, message);
	t->n_ops++;
}

size_t kp_nft_transaction_n_ops(const struct kp_nft_transaction *t)
{
	return t->n_ops;
}

static void table(struct kp_nft_transaction *t, enum kp_family family, uint16_t type,
		  uint16_t message_flags, uint32_t flags)
{
	struct nftnl_table *table = nftnl_table_alloc();
	struct nlmsghdr *nlh = begin(t, type, family, message_flags);

	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, kp_nft_family(family));
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, KP_NFT_TABLE);
	if (flags)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
	nftnl_table_nlmsg_build_payload(nlh, table);
	nftnl_table_free(table);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_add_table(struct kp_nft_transaction *t, enum kp_family family, uint32_t flags)
{
	table(t, family, NFT_MSG_NEWTABLE, NLM_F_CREATE, flags);
}

void kp_nft_delete_table(struct kp_nft_transaction *t, enum kp_family family)
{
	table(t, family, NFT_MSG_DELTABLE, 0, 0);
}

/* Tells the sizes of a concatenation's fields, not padded. */
static void set_concat_desc(struct nftnl_set *set, enum kp_family family,
			    const struct kp_nft_set_desc *desc)
{
	uint8_t sizes[KP_NFT_MAX_FIELDS];
	size_t n = 0;

	for (; n < KP_NFT_MAX_FIELDS && desc->key[n]; n++) {
		switch (desc->key[n]) {
		case KP_FIELD_L4PROTO:
			sizes[n] = sizeof(uint8_t);
			break;
		case KP_FIELD_DPORT:
			sizes[n] = sizeof(uint16_t);
			break;
		default:
			sizes[n] = kp_nft_field_size(family, desc->key[n]);
		}
	}
	nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, sizes, n);
}

void kp_nft_add_set(struct kp_nft_transaction *t, enum kp_family family, enum kp_nft_set_id id)
{
	const struct kp_nft_set_desc *desc = &kp_nft_sets[id];
	struct nlmsghdr *nlh = begin(t, NFT_MSG_NEWSET, family, NLM_F_CREATE | NLM_F_EXCL);
	struct nftnl_set *set = nftnl_set_alloc();
	uint8_t userdata[512];
	size_t len = kp_nft_set_userdata(family, desc, userdata, sizeof(userdata));

	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, kp_nft_family(family));
	nftnl_set_set_str(set, NFTNL_SET_TABLE, KP_NFT_TABLE);
	nftnl_set_set_str(set, NFTNL_SET_NAME, desc->name);
	nftnl_set_set_u32(set, NFTNL_SET_ID, id + 1);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, kp_nft_set_flags(desc));
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, kp_nft_key_type(family, desc->key));
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, kp_nft_fields_size(family, desc->key));
	if (kp_nft_set_is_map(desc)) {
		nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, kp_nft_key_type(family, desc->data));
		nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, kp_nft_fields_size(family, desc->data));
	}
	if (desc->is_dynamic)
		nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, KP_NFT_AFFINITY_MAX_CLIENTS);
	if (kp_nft_set_is_concat_interval(desc))
		set_concat_desc(set, family, desc);
	nftnl_set_set_data(set, NFTNL_SET_USERDATA, userdata, len);
	nftnl_set_nlmsg_build_payload(nlh, set);
	nftnl_set_free(set);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_delete_set(struct kp_nft_transaction *t, enum kp_family family, const char *name)
{
	struct nlmsghdr *nlh = kp_nft_transaction_begin(t, NFT_MSG_DELSET, family);

	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
	kp_nft_transaction_put(t, nlh);
}

static void chain(struct kp_nft_transaction *t, uint16_t type, uint16_t flags,
		  enum kp_family family, const struct kp_nft_chain *desc)
{
	struct nlmsghdr *nlh = begin(t, type, family, flags);
	struct nftnl_chain *c = nftnl_chain_alloc();

	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, kp_nft_family(family));
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, KP_NFT_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, desc->name);
	if (desc->type) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, desc->type);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, desc->hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, desc->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, desc->policy);
	}
	nftnl_chain_nlmsg_build_payload(nlh, c);
	nftnl_chain_free(c);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_add_chain(struct kp_nft_transaction *t, enum kp_family family,
		      const struct kp_nft_chain *desc)
{
	chain(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family, desc);
}

static struct kp_nft_chain named(const char *name)
{
	struct kp_nft_chain desc = {.type = NULL};

	strncpy(desc.name, name, sizeof(desc.name) - 1);
	return desc;
}

void kp_nft_delete_chain(struct kp_nft_transaction *t, enum kp_family family, const char *name)
{
	struct kp_nft_chain desc = named(name);

	chain(t, NFT_MSG_DELCHAIN, 0, family, &desc);
}

void kp_nft_add_rule(struct kp_nft_transaction *t, const struct nftnl_rule *rule)
{
	enum kp_family family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY) == NFPROTO_IPV4
					? KP_IPV4
					: KP_IPV6;
	struct nlmsghdr *nlh = begin(t, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND);

	nftnl_rule_nlmsg_build_payload(nlh, (struct nftnl_rule *)rule);
	kp_nft_transaction_put(t, nlh);
}

void kp_nft_flush_chain(struct kp_nft_transaction *t, enum kp_family family, const char *name)
{
	struct nlmsghdr *nlh = begin(t, NFT_MSG_DELRULE, family, 0);

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, name);
	kp_nft_transaction_put(t, nlh);
}

/* Opens a list of elements for 'e', or goes on with the one that is open. */
static void open_list(struct kp_nft_transaction *t, uint16_t type, const struct kp_nft_element *e)
{
	if (t->message && t->list_type == type && t->list_family == e->family &&
	    t->list_set == e->set &&
	    (char *)mnl_nlmsg_get_payload_tail(t->message) - (char *)t->list < MAX_ELEMENTS_LEN)
		return;
	t->message = begin(t, type, e->family,
			   type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE | NLM_F_EXCL : 0);
	mnl_attr_put_strz(t->message, NFTA_SET_ELEM_LIST_TABLE, KP_NFT_TABLE);
	mnl_attr_put_strz(t->message, NFTA_SET_ELEM_LIST_SET, kp_nft_sets[e->set].name);
	t->list = mnl_attr_nest_start(t->message, NFTA_SET_ELEM_LIST_ELEMENTS);
	t->list_type = type;
	t->list_family = e->family;
	t->list_set = e->set;
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *bytes, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, bytes);
	mnl_attr_nest_end(nlh, nest);
}

/* Longer names than nft can load as a comment go on in a second, private part. */
static void put_comment(struct nlmsghdr *nlh, const char *comment)
{
	uint8_t buf[NFT_USERDATA_MAXLEN];
	size_t len = strlen(comment), at;
	size_t head = len > KP_NFT_COMMENT_MAX ? KP_NFT_COMMENT_MAX : len;

	/* Namespace, name and port name are labels (decode/fields.h). */
	assert(len <= 250);
	buf[0] = ELEMENT_COMMENT;
	buf[1] = head + 1;
	memcpy(buf + 2, comment, head);
	buf[2 + head] = 0;
	at = head + 3;
	if (len > head) {
		buf[at++] = ELEMENT_COMMENT_REST;
		buf[at++] = len - head + 1;
		memcpy(buf + at, comment + head, len - head + 1);
		at += len - head + 1;
	}
	mnl_attr_put(nlh, NFTA_SET_ELEM_USERDATA, at, buf);
}

static void element(struct kp_nft_transaction *t, uint16_t type, const struct kp_nft_element *e)
{
	const struct kp_nft_set_desc *set = &kp_nft_sets[e->set];
	unsigned int key_size = kp_nft_fields_size(e->family, set->key);
	uint8_t key_end[KP_NFT_KEY_SIZE];
	struct nlattr *nest;

	open_list(t, type, e);
	nest = mnl_attr_nest_start(t->message, NFTA_LIST_ELEM);
	if (e->interval_end)
		mnl_attr_put_u32(t->message, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	put_value(t->message, NFTA_SET_ELEM_KEY, e->key, key_size);
	if (kp_nft_set_is_concat_interval(set)) {
		kp_nft_element_key_end(e, key_end);
		put_value(t->message, NFTA_SET_ELEM_KEY_END, key_end, key_size);
	}
	if (type == NFT_MSG_NEWSETELEM) {
		if (kp_nft_set_is_map(set))
			put_value(t->message, NFTA_SET_ELEM_DATA, e->data,
				  kp_nft_fields_size(e->family, set->data));
		if (e->comment)
			put_comment(t->message, e->comment);
	}
	mnl_attr_nest_end(t->message, nest);
	t->n_ops++;
}

void kp_nft_add_element(struct kp_nft_transaction *t, const struct kp_nft_element *e)
{
	element(t, NFT_MSG_NEWSETELEM, e);
}

void kp_nft_delete_element(struct kp_nft_transaction *t, const struct kp_nft_element *e)
{
	element(t, NFT_MSG_DELSETELEM, e);
}

/* The message that a sequence number belongs to. */
static const struct nlmsghdr *find_message(const struct kp_nft_transaction *t, uint32_t seq)
{
	for (const struct chunk *c = t->first; c; c = c->next) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)c->bytes;
		int len = c->len;

		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			if (nlh->nlmsg_seq == seq)
				return nlh;
	}
	return NULL;
}

static bool find_set(const char *name, uint8_t *ret)
{
	for (int set = 0; set < KP_N_SETS; set++) {
		if (strcmp(kp_nft_sets[set].name, name) == 0) {
			*ret = set;
			return true;
		}
	}
	return false;
}

/* Fills '*ret' with the key of the element that stands at 'offset' of a message, when the message
 * is about elements. */
static bool find_element(const struct nlmsghdr *nlh, uint32_t offset, struct kp_nft_element *ret)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *elem, *key;

	memset(ret, 0, sizeof(*ret));
	ret->family = nfg->nfgen_family == NFPROTO_IPV4 ? KP_IPV4 : KP_IPV6;
	mnl_attr_for_each (attr, nlh, sizeof(*nfg)) {
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_LIST_SET:
			if (!find_set(mnl_attr_get_str(attr), &ret->set))
				return false;
			break;
		case NFTA_SET_ELEM_LIST_ELEMENTS:
			mnl_attr_for_each_nested (elem, attr) {
				uint32_t start = (const char *)elem - (const char *)nlh;

				if (offset < start || offset >= start + elem->nla_len)
					continue;
				mnl_attr_for_each_nested (key, elem)
					if (mnl_attr_get_type(key) == NFTA_SET_ELEM_KEY)
						memcpy(ret->key,
						       (const char *)mnl_attr_get_payload(key) + 4,
						       mnl_attr_get_payload_len(key) - 4);
				return true;
			}
		}
	}
	return false;
}

static const char *op_name(uint16_t type)
{
	switch (type & 0xff) {
	case NFT_MSG_NEWTABLE:
		return "add table";
	case NFT_MSG_DELTABLE:
		return "delete table";
	case NFT_MSG_NEWSET:
		return "add set";
	case NFT_MSG_DELSET:
		return "delete set";
	case NFT_MSG_NEWCHAIN:
		return "add chain";
	case NFT_MSG_DELCHAIN:
		return "delete chain";
	case NFT_MSG_NEWRULE:
		return "add rule";
	case NFT_MSG_DELRULE:
		return "delete rules";
	case NFT_MSG_NEWSETELEM:
		return "add element";
	case NFT_MSG_DELSETELEM:
		return "delete element";
	default:
		return "transaction";
	}
}

struct answers {
	const struct kp_nft_transaction *t;
	uint32_t n_acks;
	int error; /* positive errno of the first refusal */
	const struct nlmsghdr *refused;
	uint32_t offset; /* of the bad attribute in it, 0 = unknown */
};

static void read_answer(struct answers *a, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	size_t offset;

	if (e->error == 0) {
		a->n_acks++;
		return;
	}
	if (a->error)
		return;
	a->error = -e->error;
	a->refused = find_message(a->t, nlh->nlmsg_seq);
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	offset = sizeof(*e);
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += mnl_nlmsg_get_payload_len(&e->msg);
	mnl_attr_for_each (attr, nlh, offset)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_OFFS)
			a->offset = mnl_attr_get_u32(attr);
}

/* The kernel has answered all when sendmsg() returns, so reading ends when there is nothing left.
 * That is so, too, when some answers were lost: the rest must not be taken for those of a later
 * request. */
static int read_answers(struct answers *a, struct mnl_socket *socket, struct kp_err *err)
{
	static char buf[64 * 1024];
	bool lost = false;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(socket), buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int len = n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			lost = true;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return kp_err_errno(err, errno, "read the kernel's answer");
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			if (nlh->nlmsg_type == NLMSG_ERROR)
				read_answer(a, nlh);
	}
	return lost ? kp_err_set(err, ENOBUFS, "there was no room for the kernel's answers") : 0;
}

static int send_all(const struct kp_nft_transaction *t, struct mnl_socket *socket,
		    struct kp_err *err)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct iovec *iov = kp_xcalloc(t->n_chunks, sizeof(*iov));
	struct msghdr msg = {.msg_name = &kernel,
			     .msg_namelen = sizeof(kernel),
			     .msg_iov = iov,
			     .msg_iovlen = t->n_chunks};
	int size = t->n_bytes + 64 * 1024, fd = mnl_socket_get_fd(socket), r = 0;
	size_t i = 0;

	for (struct chunk *c = t->first; c; c = c->next)
		iov[i++] = (struct iovec){.iov_base = c->bytes, .iov_len = c->len};
	/* The whole batch has to fit; without the privilege, sendmsg() tells. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (sendmsg(fd, &msg, 0) < 0)
		r = kp_err_errno(err, errno, "send the transaction (%zu bytes)", t->n_bytes);
	free(iov);
	return r;
}

static int report(const struct answers *a, struct kp_nft_element *culprit, bool *has_culprit,
		  struct kp_err *err)
{
	char text[256] = "";

	*has_culprit = a->refused && a->offset && find_element(a->refused, a->offset, culprit);
	if (*has_culprit)
		kp_nft_element_text(culprit, text, sizeof(text));
	return kp_err_errno(err, a->error, "%s%s%s",
			    a->refused ? op_name(a->refused->nlmsg_type) : "transaction",
			    *text ? " " : "", text);
}

int kp_nft_transaction_commit(struct kp_nft_transaction *t, struct mnl_socket *socket,
			      struct kp_apply_stats *stats, struct kp_nft_element *culprit,
			      bool *has_culprit, struct kp_err *err)
{
	struct answers a = {.t = t};
	int64_t start_us;
	int r;

	*has_culprit = false;
	finish(t, mark(t, NFNL_MSG_BATCH_END));
	start_us = kp_clock_us();
	r = send_all(t, socket, err);
	if (r == 0)
		r = read_answers(&a, socket, err);
	stats->kernel_us += kp_clock_us() - start_us;
	if (r < 0)
		return r;
	if (a.error)
		return report(&a, culprit, has_culprit, err);
	if (a.n_acks != t->n_acks)
		return kp_err_set(err, EIO, "the kernel acknowledged %u of %u messages", a.n_acks,
				  t->n_acks);
	stats->n_ops += t->n_ops;
	stats->n_bytes += t->n_bytes;
	return 0;
}
