/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Elements that several virtual services have in common: cluster IPs (several ports) and hairpin
 * addresses (a pod behind several Services).  They are put with the first and removed with the
 * last. */
#ifndef KPROXY_NFT_SHARED_H
#define KPROXY_NFT_SHARED_H

#include "nft/element.h"

struct kp_nft_shared;

struct kp_nft_shared *kp_nft_shared_new(void);
void kp_nft_shared_free(struct kp_nft_shared *shared);

/* Counts anew: 'all' is the rendering of everything. */
void kp_nft_shared_reset(struct kp_nft_shared *shared, const struct kp_nft_elements *all);

/* Counts a change from 'have' to 'want', and takes out of both lists the shared elements that stay
 * as they are. */
void kp_nft_shared_settle(struct kp_nft_shared *shared, struct kp_nft_elements *have,
			  struct kp_nft_elements *want);

#endif
