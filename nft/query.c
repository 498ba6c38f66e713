/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/query.h"

#include <errno.h>
#include <libnftnl/common.h>
#include <stdbool.h>

struct exchange {
	uint32_t seq;
	bool interrupted; /* the ruleset has changed in the middle of the dump */
	mnl_cb_t each;
	void *arg;
};

/* Handles the answers in a buffer: 1 when more are to come, 0 at the end, -errno. */
static int take_answers(struct exchange *x, const void *buf, int len)
{
	const struct nlmsghdr *nlh = buf;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		/* Of a question that was given up. */
		if (nlh->nlmsg_seq != x->seq)
			continue;
		x->interrupted |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (nlh->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
		if (nlh->nlmsg_type == NLMSG_DONE)
			return 0;
		if (!x->interrupted && x->each(nlh, x->arg) == MNL_CB_STOP)
			return 0;
	}
	return 1;
}

/* The answer is read to its end even when it is of no use any more: the kernel takes no other
 * question before. */
int kp_nft_query(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t each, void *arg)
{
	static char buf[64 * 1024];
	struct exchange x = {.seq = request->nlmsg_seq, .each = each, .arg = arg};
	ssize_t n;
	int r;

	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(socket, buf, sizeof(buf));
		if (n < 0 && errno != EINTR)
			return -errno;
		r = n < 0 ? 1 : take_answers(&x, buf, n);
	} while (r > 0);
	return r == 0 && x.interrupted ? -EINTR : r;
}

struct nlmsghdr *kp_nft_query_init(char *buf, uint16_t type, uint32_t family, uint16_t flags)
{
	static uint32_t seq;

	return nftnl_nlmsg_build_hdr(buf, type, family, flags, ++seq);
}
