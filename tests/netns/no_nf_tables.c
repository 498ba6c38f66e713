/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaded before the C library (LD_PRELOAD), makes the kernel answer as one without nf_tables does:
 * requests go where nobody is registered, so the answers are the kernel's own.
 *
 * KP_WITHOUT=nfnetlink: the netlink family does not exist.  KP_WITHOUT=nf_tables: the family does,
 * and its subsystem does not. */
#include <dlfcn.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	UNUSED_PROTOCOL = 29,
	UNUSED_SUBSYSTEM = 255
};

static int lacks(const char *what)
{
	const char *without = getenv("KP_WITHOUT");

	return without && strcmp(without, what) == 0;
}

int socket(int domain, int type, int protocol)
{
	int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");

	if (domain == AF_NETLINK && protocol == NETLINK_NETFILTER && lacks("nfnetlink"))
		protocol = UNUSED_PROTOCOL;
	return real(domain, type, protocol);
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	       socklen_t to_len)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
		(ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *,
			    socklen_t))dlsym(RTLD_NEXT, "sendto");
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;

	if (to && to->sa_family == AF_NETLINK && lacks("nf_tables") &&
	    NFNL_SUBSYS_ID(nlh->nlmsg_type) == NFNL_SUBSYS_NFTABLES)
		nlh->nlmsg_type = UNUSED_SUBSYSTEM << 8 | NFNL_MSG_TYPE(nlh->nlmsg_type);
	return real(fd, buf, len, flags, to, to_len);
}
