/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A batch of nf_tables messages: collected in memory, sent with one sendmsg(), every answer read.
 */
#ifndef KPROXY_NFT_BATCH_H
#define KPROXY_NFT_BATCH_H

#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>

#include "kproxy/err.h"

/* What a message may need at most. */
#define KP_NFT_MESSAGE_MAX (64 * 1024)

struct kp_nft_batch;

/* What the kernel refused. */
struct kp_nft_refusal {
	int error;			/* positive errno of the first refusal, 0: none */
	const struct nlmsghdr *message; /* of the batch, NULL: not known */
	uint32_t offset;		/* of the bad attribute in it, 0: not known */
};

struct kp_nft_batch *kp_nft_batch_new(void);
void kp_nft_batch_free(struct kp_nft_batch *batch);

/* The batch fails with -ERESTART when the kernel's ruleset has another generation by then; called
 * before any message is begun. */
void kp_nft_batch_set_generation(struct kp_nft_batch *batch, uint32_t generation);

/* Begins a message of an NFT_MSG_ type, which will be acknowledged.  The caller adds attributes and
 * puts it into the batch before the next one is begun. */
struct nlmsghdr *kp_nft_batch_begin(struct kp_nft_batch *batch, uint16_t type, uint8_t nfproto,
				    uint16_t flags);
void kp_nft_batch_put(struct kp_nft_batch *batch, const struct nlmsghdr *message);

size_t kp_nft_batch_n_bytes(const struct kp_nft_batch *batch);

/* Sends it, once, and reads the answers.  0 when the kernel has answered, '*ret' telling what:
 * carried out are all messages, or none. */
int kp_nft_batch_commit(struct kp_nft_batch *batch, struct mnl_socket *socket,
			struct kp_nft_refusal *ret, struct kp_err *err);

#endif
