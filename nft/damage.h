/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others changed in our tables: as the kernel's messages told it, or all of it, when nobody
 * knows.  A repair reads and compares no more than this. */
#ifndef KPROXY_NFT_DAMAGE_H
#define KPROXY_NFT_DAMAGE_H

#include <libmnl/libmnl.h>

#include "nft/element.h"

enum kp_nft_set_damage {
	KP_NFT_SET_INTACT, /* but for the elements in 'touched' */
	KP_NFT_SET_ANY,	   /* any of its elements may be wrong */
	KP_NFT_SET_NEW,	   /* made by this repair, thus empty */
};

struct kp_nft_damage {
	bool structure[KP_N_FAMILIES];		/* the table, chains, rules, sets */
	uint8_t sets[KP_N_FAMILIES][KP_N_SETS]; /* enum kp_nft_set_damage */
	struct kp_nft_elements touched;		/* keys only; sorted by kp_nft_damage_take() */
};

void kp_nft_damage_clear(struct kp_nft_damage *damage);

/* Adds what a message tells, when it is about our tables. */
void kp_nft_damage_note(struct kp_nft_damage *damage, const struct nlmsghdr *nlh);

/* Anything may be wrong. */
void kp_nft_damage_all(struct kp_nft_damage *damage);

bool kp_nft_damage_is_none(const struct kp_nft_damage *damage);

/* Moves what was noted to '*ret'. */
void kp_nft_damage_take(struct kp_nft_damage *damage, struct kp_nft_damage *ret);

/* An element with this key may be missing or wrong. */
bool kp_nft_damage_concerns(const struct kp_nft_damage *damage, const struct kp_nft_element *e);

#endif
