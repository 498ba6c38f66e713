/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaded before the C library (LD_PRELOAD), makes ctnetlink answer as an older kernel's does.
 * Requests are changed, so that the answers are the kernel's own.
 *
 * KP_CTNETLINK=none: it is not there.  KP_CTNETLINK=unfiltered: it does not know filters. */
#include <dlfcn.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	UNUSED_SUBSYSTEM = 255,
	UNUSED_ATTRIBUTE = 0xff
};

static int is(const char *what)
{
	return strcmp(getenv("KP_CTNETLINK"), what) == 0;
}

static void forget_filters(struct nlmsghdr *nlh)
{
	char *at = (char *)nlh + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));

	while (at < (char *)nlh + nlh->nlmsg_len) {
		struct nlattr *attr = (struct nlattr *)at;
		int type = attr->nla_type & NLA_TYPE_MASK;

		if (type == CTA_FILTER || type == CTA_STATUS || type == CTA_STATUS_MASK)
			attr->nla_type = UNUSED_ATTRIBUTE;
		at += NLA_ALIGN(attr->nla_len);
	}
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	       socklen_t to_len)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
		(ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *,
			    socklen_t))dlsym(RTLD_NEXT, "sendto");
	struct nlmsghdr *nlh = (struct nlmsghdr *)buf;

	if (to && to->sa_family == AF_NETLINK &&
	    NFNL_SUBSYS_ID(nlh->nlmsg_type) == NFNL_SUBSYS_CTNETLINK) {
		if (is("none"))
			nlh->nlmsg_type = UNUSED_SUBSYSTEM << 8 | NFNL_MSG_TYPE(nlh->nlmsg_type);
		else
			forget_filters(nlh);
	}
	return real(fd, buf, len, flags, to, to_len);
}
