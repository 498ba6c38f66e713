/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/slots.h"

#include <linux/netfilter.h>
#include <stdio.h>

/* dnat ip to KEY map @SET, or: meta priority set KEY map @SET */
static void add_draw(struct kp_nft_builder *b, const struct kp_nft_slot_table *table,
		     enum kp_nft_set_id map, uint32_t n_slots)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	if (table->ids)
		kp_expr_priority_from(&r, map, n_slots);
	else
		kp_expr_dnat(&r, map, n_slots);
}

/* chain draw-N: dnat ip to FRONTEND . numgen random mod N map @endpoints
 *
 * There is one such rule for a size, because the kernel looks at all rules that use a map for each
 * element that is added to it. */
static void chain_draw(struct kp_nft_builder *b, const struct kp_nft_slot_table *table,
		       unsigned int size)
{
	char name[16];

	snprintf(name, sizeof(name), "draw-%u", 1U << size);
	kp_nft_build_chain(b, table->prefix, name);
	add_draw(b, table, table->slots, 1U << size);
}

/* How often a slot is drawn before the lower half is taken: more than half of a table's slots are
 * in use, so eight misses in a row are rarer than 1 in 256. */
static unsigned int n_draws(unsigned int size)
{
	if (size == 1)
		return 1; /* two slots, both in use */
	return size == 2 ? 4 : 8;
}

/* chain pick-N: draws a slot below N = 2^size.
 *
 * A Service with n endpoints has N/2 < n <= N.  A draw that hits an empty slot comes back, and the
 * next one follows; below N/2 all slots are in use.  The last resort, slot 0, holds whatever a
 * commit changes between these lookups.
 *
 * Where ids are drawn, a hit comes back too, and the draws behind it miss: the priority is their
 * key, and holds the endpoint by then. */
static void chain_pick(struct kp_nft_builder *b, const struct kp_nft_slot_table *table,
		       unsigned int size)
{
	char name[16], draw[16], lower[16];

	snprintf(name, sizeof(name), "pick-%u", 1U << size);
	snprintf(draw, sizeof(draw), "draw-%u", 1U << size);
	snprintf(lower, sizeof(lower), "draw-%u", 1U << (size - 1));
	kp_nft_build_chain(b, table->prefix, name);
	for (unsigned int i = 0; i < n_draws(size); i++)
		kp_nft_build_verdict(b, NFT_JUMP, table->prefix, draw);
	if (size > 1)
		kp_nft_build_verdict(b, NFT_JUMP, table->prefix, lower);
	kp_nft_build_verdict(b, NFT_GOTO, table->prefix, "pick-1");
}

/* chain pick-1: dnat ip to FRONTEND map @services */
static void chain_pick_first(struct kp_nft_builder *b, const struct kp_nft_slot_table *table)
{
	kp_nft_build_chain(b, table->prefix, "pick-1");
	add_draw(b, table, table->first, 1);
}

/* The chains that look a frontend up in the four slots sets, one after the other, and end in the
 * pick chain of its size.  'code' holds the answers so far for the sets above 'bit'. */
static void chains_size(struct kp_nft_builder *b, const struct kp_nft_slot_table *table,
			const char *path, int bit, unsigned int code)
{
	char name[96], child[2][64];
	struct kp_nft_rule r;

	for (int answer = 0; answer < 2; answer++) {
		unsigned int next = code | (unsigned int)answer << bit;

		if (bit == 0) {
			snprintf(child[answer], sizeof(child[answer]), "pick-%u",
				 1U << kp_nft_slots_decode(next));
		} else {
			snprintf(name, sizeof(name), "%s%s%d", path, *path ? "" : "-", answer);
			snprintf(child[answer], sizeof(child[answer]), "slots%.50s", name);
			chains_size(b, table, name, bit - 1, next);
		}
	}
	snprintf(name, sizeof(name), "slots%s", path);
	kp_nft_build_chain(b, table->prefix, name);
	/* FRONTEND @slots-N goto slots-1 */
	r = kp_nft_build_rule(b);
	kp_expr_key_in_set(&r, table->sizes + bit);
	snprintf(name, sizeof(name), "%s%s", table->prefix, child[1]);
	kp_expr_verdict(&r, NFT_GOTO, name);
	kp_nft_build_verdict(b, NFT_GOTO, table->prefix, child[0]);
}

void kp_nft_build_slots(struct kp_nft_builder *b, const struct kp_nft_slot_table *table)
{
	chain_pick_first(b, table);
	for (unsigned int size = 1; size < KP_NFT_N_SIZES; size++) {
		chain_draw(b, table, size);
		chain_pick(b, table, size);
	}
	chains_size(b, table, "", KP_NFT_SLOTS_BITS - 1, 0);
}
