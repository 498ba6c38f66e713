/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kube-proxy's ipvs mode leaves beside its iptables chains: ipsets, a device that holds all
 * cluster IPs, and virtual servers. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "nft/query.h"
#include "takeover/names.h"
#include "takeover/sources.h"

static struct mnl_socket *open_socket(int bus, struct kp_err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);

	if (socket && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0)
		return socket;
	kp_err_errno(err, errno, "open a netlink socket");
	if (socket)
		mnl_socket_close(socket);
	return NULL;
}

static struct nlmsghdr *ipset_request(char *buf, uint16_t command, uint16_t flags)
{
	struct nlmsghdr *nlh = kp_nft_query_init(buf, 0, AF_INET, NLM_F_ACK | flags);

	nlh->nlmsg_type = NFNL_SUBSYS_IPSET << 8 | command;
	mnl_attr_put_u8(nlh, IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_MIN);
	return nlh;
}

static int on_set(const struct nlmsghdr *nlh, void *arg)
{
	struct kp_leftovers *l = arg;
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg)) {
		const char *name = mnl_attr_get_payload(attr);

		if (mnl_attr_get_type(attr) != IPSET_ATTR_SETNAME || !kp_is_kube_proxy_ipset(name))
			continue;
		l->ipsets = kp_xrealloc(l->ipsets, (l->n_ipsets + 1) * sizeof(*l->ipsets));
		l->ipsets[l->n_ipsets++] = kp_xstrdup(name);
	}
	return MNL_CB_OK;
}

/* Names only.  A kernel without ipsets says that it knows no such message. */
static int find_ipsets(struct kp_leftovers *l, struct kp_err *err)
{
	struct mnl_socket *socket = open_socket(NETLINK_NETFILTER, err);
	struct nlmsghdr *nlh;
	char buf[256] = {0};
	int r;

	if (!socket)
		return err->code;
	nlh = ipset_request(buf, IPSET_CMD_LIST, NLM_F_DUMP);
	mnl_attr_put_u32(nlh, IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER,
			 htonl(IPSET_FLAG_LIST_SETNAME));
	r = kp_nft_query(socket, nlh, on_set, l);
	mnl_socket_close(socket);
	if (r == -EINVAL || r == -EOPNOTSUPP)
		return 0;
	return r < 0 ? kp_err_errno(err, -r, "list the ipsets") : 0;
}

/* Lines such as "TCP  0A60000A:0050 rr"; no such file without the module. */
static size_t count_virtual_servers(void)
{
	FILE *in = fopen("/proc/net/ip_vs", "re");
	char line[256];
	size_t n = 0;

	while (in && fgets(line, sizeof(line), in))
		n += strncmp(line, "TCP ", 4) == 0 || strncmp(line, "UDP ", 4) == 0 ||
		     strncmp(line, "SCTP ", 5) == 0;
	if (in)
		fclose(in);
	return n;
}

int kp_kube_ipvs_find(struct kp_leftovers *l, struct kp_err *err)
{
	l->device = if_nametoindex(KP_KUBE_PROXY_DEVICE) != 0;
	l->n_virtual_servers = count_virtual_servers();
	return find_ipsets(l, err);
}

static int remove_ipset(struct mnl_socket *socket, const char *name, struct kp_err *err)
{
	char buf[256] = {0};
	struct nlmsghdr *nlh = ipset_request(buf, IPSET_CMD_DESTROY, 0);
	int r;

	mnl_attr_put_strz(nlh, IPSET_ATTR_SETNAME, name);
	r = kp_nft_query(socket, nlh, on_set, NULL);
	if (r == 0 || r == -ENOENT)
		return 0;
	if (r == -IPSET_ERR_BUSY)
		return kp_err_set(err, EBUSY, "ipset %s is in use by a rule", name);
	return kp_err_set(err, EIO, "remove ipset %s: error %d", name, -r);
}

static int remove_ipsets(const struct kp_leftovers *l, struct kp_err *err)
{
	struct mnl_socket *socket = open_socket(NETLINK_NETFILTER, err);
	struct kp_err last = KP_ERR_INIT;
	int first = 0;

	if (!socket)
		return err->code;
	for (size_t i = 0; i < l->n_ipsets; i++) {
		int r = remove_ipset(socket, l->ipsets[i], &last);

		if (r < 0 && first == 0) {
			first = r;
			*err = last;
		}
	}
	mnl_socket_close(socket);
	return first;
}

static int remove_device(struct kp_err *err)
{
	struct mnl_socket *socket = open_socket(NETLINK_ROUTE, err);
	char buf[256] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *link;
	int r;

	if (!socket)
		return err->code;
	nlh->nlmsg_type = RTM_DELLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	link = mnl_nlmsg_put_extra_header(nlh, sizeof(*link));
	link->ifi_index = if_nametoindex(KP_KUBE_PROXY_DEVICE);
	r = kp_nft_query(socket, nlh, on_set, NULL);
	mnl_socket_close(socket);
	if (r < 0 && r != -ENODEV)
		return kp_err_errno(err, -r, "remove the device " KP_KUBE_PROXY_DEVICE);
	return 0;
}

int kp_kube_ipvs_remove(const struct kp_leftovers *l, struct kp_err *err)
{
	struct kp_err last = KP_ERR_INIT;
	int first = l->n_ipsets ? remove_ipsets(l, err) : 0;
	int r = l->device ? remove_device(&last) : 0;

	if (r < 0 && first == 0) {
		first = r;
		*err = last;
	}
	return first;
}
