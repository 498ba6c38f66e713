/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chains that draw a slot of a table: constant rules for tables of any size (docs/ruleset.md,
 * "How a slot is drawn"). */
#ifndef KPROXY_NFT_SLOTS_H
#define KPROXY_NFT_SLOTS_H

#include "nft/builder.h"

struct kp_nft_slot_table {
	const char *prefix;	  /* of chain names */
	enum kp_nft_set_id slots; /* the map that is drawn from */
	enum kp_nft_set_id sizes; /* the first of the four sets that tell a table's size */
	enum kp_nft_set_id first; /* a map with slot 0 of each */
	bool ids; /* the slots hold affinity ids for the packet's priority, not endpoints */
};

/* Makes chain "PREFIXslots" and what it leads to: chooses a slot and translates to the endpoint in
 * it, or puts the id into the packet's priority and returns. */
void kp_nft_build_slots(struct kp_nft_builder *b, const struct kp_nft_slot_table *table);

#endif
