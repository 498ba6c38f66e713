/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>

/* Messages are collected in chunks, so that nothing is copied when the batch grows. */
#define CHUNK_SIZE (256 * 1024)

struct chunk {
	struct chunk *next;
	size_t len;
	char bytes[CHUNK_SIZE];
};

struct kp_nft_batch {
	struct chunk *first, *last;
	size_t n_chunks, n_bytes;
	uint32_t seq, n_acks;
};

static void *room(struct kp_nft_batch *b)
{
	if (!b->last || b->last->len + KP_NFT_MESSAGE_MAX > CHUNK_SIZE) {
		/* Zeroed: the libraries leave the padding of attributes as it is. */
		struct chunk *chunk = kp_xcalloc(1, sizeof(*chunk));

		if (b->last)
			b->last->next = chunk;
		else
			b->first = chunk;
		b->last = chunk;
		b->n_chunks++;
	}
	return b->last->bytes + b->last->len;
}

void kp_nft_batch_put(struct kp_nft_batch *b, const struct nlmsghdr *message)
{
	b->last->len += MNL_ALIGN(message->nlmsg_len);
	b->n_bytes += MNL_ALIGN(message->nlmsg_len);
}

/* The begin and end messages of the batch, which are not acknowledged. */
static struct nlmsghdr *mark(struct kp_nft_batch *b, uint16_t type)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;

	nlh = mnl_nlmsg_put_header(room(b));
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = b->seq++;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(NFNL_SUBSYS_NFTABLES);
	return nlh;
}

struct kp_nft_batch *kp_nft_batch_new(void)
{
	struct kp_nft_batch *b = kp_xcalloc(1, sizeof(*b));

	b->seq = 1;
	kp_nft_batch_put(b, mark(b, NFNL_MSG_BATCH_BEGIN));
	return b;
}

void kp_nft_batch_free(struct kp_nft_batch *b)
{
	struct chunk *chunk, *next;

	if (!b)
		return;
	for (chunk = b->first; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(b);
}

void kp_nft_batch_set_generation(struct kp_nft_batch *b, uint32_t generation)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)b->first->bytes;

	mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	b->first->len = 0;
	b->n_bytes = 0;
	kp_nft_batch_put(b, nlh);
}

struct nlmsghdr *kp_nft_batch_begin(struct kp_nft_batch *b, uint16_t type, uint8_t nfproto,
				    uint16_t flags)
{
	b->n_acks++;
	return nftnl_nlmsg_build_hdr(room(b), type, nfproto, NLM_F_ACK | flags, b->seq++);
}

size_t kp_nft_batch_n_bytes(const struct kp_nft_batch *b)
{
	return b->n_bytes;
}

/* The message that a sequence number belongs to. */
static const struct nlmsghdr *find_message(const struct kp_nft_batch *b, uint32_t seq)
{
	for (const struct chunk *c = b->first; c; c = c->next) {
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)c->bytes;
		int len = c->len;

		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			if (nlh->nlmsg_seq == seq)
				return nlh;
	}
	return NULL;
}

struct answers {
	const struct kp_nft_batch *batch;
	uint32_t n_acks;
	struct kp_nft_refusal refusal;
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
	if (a->refusal.error)
		return;
	a->refusal.error = -e->error;
	a->refusal.message = find_message(a->batch, nlh->nlmsg_seq);
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	offset = sizeof(*e);
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += mnl_nlmsg_get_payload_len(&e->msg);
	mnl_attr_for_each (attr, nlh, offset)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_OFFS)
			a->refusal.offset = mnl_attr_get_u32(attr);
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

static int send_all(const struct kp_nft_batch *b, struct mnl_socket *socket, struct kp_err *err)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct iovec *iov = kp_xcalloc(b->n_chunks, sizeof(*iov));
	struct msghdr msg = {.msg_name = &kernel,
			     .msg_namelen = sizeof(kernel),
			     .msg_iov = iov,
			     .msg_iovlen = b->n_chunks};
	int size = b->n_bytes + 64 * 1024, fd = mnl_socket_get_fd(socket), r = 0;
	size_t i = 0;

	for (struct chunk *c = b->first; c; c = c->next)
		iov[i++] = (struct iovec){.iov_base = c->bytes, .iov_len = c->len};
	/* The whole batch has to fit; without the privilege, sendmsg() tells. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (sendmsg(fd, &msg, 0) < 0)
		r = kp_err_errno(err, errno, "send the transaction (%zu bytes)", b->n_bytes);
	free(iov);
	return r;
}

int kp_nft_batch_commit(struct kp_nft_batch *b, struct mnl_socket *socket,
			struct kp_nft_refusal *ret, struct kp_err *err)
{
	struct answers answers = {.batch = b};
	int r;

	kp_nft_batch_put(b, mark(b, NFNL_MSG_BATCH_END));
	r = send_all(b, socket, err);
	if (r == 0)
		r = read_answers(&answers, socket, err);
	if (r < 0)
		return r;
	*ret = answers.refusal;
	if (!ret->error && answers.n_acks != b->n_acks)
		return kp_err_set(err, EIO, "the kernel acknowledged %u of %u messages",
				  answers.n_acks, b->n_acks);
	return 0;
}
