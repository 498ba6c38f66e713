/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/slots.h"

#include <stdlib.h>

/* Puts what is in both sets into the slot it has, as far as that slot still exists. */
static void place_known(const struct kp_endpoint_set *sorted, const struct kp_endpoint_set *have,
			struct kp_target *slots, bool *slot_taken, bool *placed)
{
	for (uint32_t i = 0; i < have->n && i < sorted->n; i++) {
		const struct kp_target *found = bsearch(&have->slots[i], sorted->slots, sorted->n,
							sizeof(*found), kp_target_compare);

		if (!found || placed[found - sorted->slots])
			continue;
		slots[i] = *found;
		slot_taken[i] = true;
		placed[found - sorted->slots] = true;
	}
}

static void place_rest(const struct kp_endpoint_set *sorted, struct kp_target *slots,
		       const bool *slot_taken, const bool *placed)
{
	uint32_t slot = 0;

	for (uint32_t i = 0; i < sorted->n; i++) {
		if (placed[i])
			continue;
		while (slot_taken[slot])
			slot++;
		slots[slot++] = sorted->slots[i];
	}
}

static void keep_set(struct kp_endpoint_set *want, const struct kp_endpoint_set *have)
{
	struct kp_target *slots;
	bool *slot_taken, *placed;

	if (want->n == 0 || have->n == 0)
		return;
	qsort(want->slots, want->n, sizeof(*want->slots), kp_target_compare);
	slots = kp_xcalloc(want->n, sizeof(*slots));
	slot_taken = kp_xcalloc(2 * (size_t)want->n, sizeof(*slot_taken));
	placed = slot_taken + want->n;
	place_known(want, have, slots, slot_taken, placed);
	place_rest(want, slots, slot_taken, placed);
	free(want->slots);
	want->slots = slots;
	free(slot_taken);
}

void kp_slots_keep(struct kp_vservices *want, const struct kp_vservices *have)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct kp_vservice *old = kp_vservices_find(have, &want->items[i]);

		if (!old)
			continue;
		keep_set(&want->items[i].cluster, &old->cluster);
		keep_set(&want->items[i].local, &old->local);
	}
}
