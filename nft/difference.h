/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The changes that lead from some elements to others. */
#ifndef KPROXY_NFT_DIFFERENCE_H
#define KPROXY_NFT_DIFFERENCE_H

#include "nft/transaction.h"

/* Both lists are sorted, without double keys: deletes what only 'have' holds, adds what only 'want'
 * holds, and replaces what differs. */
void kp_nft_add_difference(struct kp_nft_transaction *t, const struct kp_nft_elements *have,
			   const struct kp_nft_elements *want);

#endif
