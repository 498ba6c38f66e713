/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares our tables with the kernel as far as they may be damaged, and adds to a transaction what
 * puts them right: first the structure, which tells what sets are new, then the elements. */
#ifndef KPROXY_NFT_RESTORE_H
#define KPROXY_NFT_RESTORE_H

#include "nft/damage.h"
#include "nft/structure.h"

/* Marks sets that will be new in 'damage'; '*ret_spread' tells that some were thought intact.
 * 'rebuild' as in kp_nft_structure_apply(). */
int kp_nft_restore_structure(struct mnl_socket *socket, const struct kp_nft_structure *want,
			     bool rebuild, struct kp_nft_damage *damage,
			     struct kp_nft_transaction *t, bool *ret_spread, struct kp_err *err);

/* 'want' has all elements that the damage concerns, sorted. */
int kp_nft_restore_elements(struct mnl_socket *socket, const struct kp_nft_damage *damage,
			    const struct kp_nft_elements *want, struct kp_nft_transaction *t,
			    struct kp_err *err);

#endif
