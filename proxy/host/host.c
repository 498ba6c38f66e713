/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/host.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <unistd.h>

#include "host/settings.h"

/* On a host that has just booted, the tracker's settings are not there before somebody asks for the
 * tracker: the kernel then loads it.  The answer does not matter. */
static void load_conntrack(void)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	char buf[MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg)] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	if (!socket)
		return;
	nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct nfgenmsg));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0)
		mnl_socket_sendto(socket, nlh, nlh->nlmsg_len);
	mnl_socket_close(socket);
}

int kp_host_apply(const struct kp_host_settings *settings, struct kp_err *err)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (access("/proc/sys/net/netfilter/nf_conntrack_max", F_OK) < 0)
		load_conntrack();
	return kp_host_apply_in("", n_cpus > 0 ? n_cpus : 1, settings, err);
}
