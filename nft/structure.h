/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table itself, its sets, chains and rules: what there is compared with what there should be.
 */
#ifndef KPROXY_NFT_STRUCTURE_H
#define KPROXY_NFT_STRUCTURE_H

#include "nft/read.h"
#include "nft/transaction.h"

/* What shapes it; borrowed. */
struct kp_nft_structure {
	const struct kp_settings *settings;
	const struct kp_nft_features *features;
};

/* -EPERM when a family's table is another socket's, so that the kernel would refuse to change it.
 */
int kp_nft_check_owner(const struct mnl_socket *socket, enum kp_family family,
		       const struct kp_nft_table *table, struct kp_err *err);

/* Sets that are new, thus empty. */
struct kp_nft_fresh {
	bool any, sets[KP_N_SETS];
};

/* Adds to 't' what brings a family's table in order: what is right stays, and objects that are not
 * ours go (CL-3).  All is made anew when a hook is not right or 'rebuild' asks for it. */
int kp_nft_structure_apply(struct mnl_socket *socket, const struct kp_nft_structure *want,
			   enum kp_family family, bool rebuild, struct kp_nft_transaction *t,
			   struct kp_nft_fresh *ret_fresh, struct kp_err *err);

#endif
