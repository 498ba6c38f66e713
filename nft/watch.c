/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <string.h>

#include "nft/layout.h"

/* Our own transactions have a message for each element; the kernel need not even queue them. */
static int ignore_own(struct mnl_socket *socket, unsigned int own_portid)
{
	struct sock_filter code[] = {
		/* Loads are in network byte order, the field is in the host's. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(own_portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_ATTACH_FILTER, &program,
			  sizeof(program));
}

int kp_nft_watch_open(unsigned int own_portid, struct mnl_socket **ret, struct kp_err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int group = NFNLGRP_NFTABLES;

	if (!socket || ignore_own(socket, own_portid) < 0 ||
	    mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		int code = errno;

		if (socket)
			mnl_socket_close(socket);
		return kp_err_errno(err, code, "watch the ruleset");
	}
	*ret = socket;
	return 0;
}

/* In every kind of message about tables, chains, rules, sets and elements the table's name has the
 * same number. */
static bool is_ours(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	if ((nlh->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
		return false;
	mnl_attr_for_each (attr, nlh, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			return strcmp(mnl_attr_get_str(attr), KP_NFT_TABLE) == 0;
	return false;
}

bool kp_nft_watch_read(struct mnl_socket *socket)
{
	static char buf[64 * 1024];
	bool ours = false;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(socket), buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int len = n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			ours = true;
			continue;
		}
		if (n < 0)
			return ours;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			ours |= is_ours(nlh);
	}
}
