/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chains that choose an endpoint of a frontend: where the client was before, or at random. */
#ifndef KPROXY_NFT_BALANCE_H
#define KPROXY_NFT_BALANCE_H

#include "nft/builder.h"

/* Makes the chains "balance" and "nodeport-balance", and with policy Local in use their twins with
 * the prefix "local-".  Each translates, or returns when the frontend has no endpoint. */
void kp_nft_build_balance(struct kp_nft_builder *b);

#endif
