/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/affinity.h"

#include <errno.h>
#include <stdlib.h>

static bool get_bit(const uint8_t *bits, unsigned int i)
{
	return bits[i / 8] & 1U << i % 8;
}

static void set_bit(uint8_t *bits, unsigned int i)
{
	bits[i / 8] |= 1U << i % 8;
}

static void clear_bit(uint8_t *bits, unsigned int i)
{
	bits[i / 8] &= ~(1U << i % 8);
}

/* The next free number after '*last', round through 1 to 'max'; 0 when there is none. */
static uint16_t take_next(uint8_t *used, uint16_t *last, unsigned int max)
{
	for (unsigned int tried = 0, i = *last; tried < max; tried++) {
		i = i % max + 1;
		if (!get_bit(used, i)) {
			set_bit(used, i);
			*last = i;
			return i;
		}
	}
	return 0;
}

void kp_affinity_ids_reset(struct kp_affinity_ids *ids, const struct kp_state *have)
{
	memset(ids, 0, sizeof(*ids));
	memcpy(ids->last, have->last_affinity_id, sizeof(ids->last));
	for (const struct kp_state_entry *e = have->entries; e; e = e->hh.next)
		for (size_t i = 0; i < e->vs.n; i++)
			if (e->vs.items[i].affinity.id)
				set_bit(ids->used[e->vs.items[i].family],
					e->vs.items[i].affinity.id);
}

/* The endpoints of a virtual service that have ids, sorted, and the ids in use. */
struct known {
	struct kp_endpoint_set targets;
	uint8_t used[KP_MAX_ENDPOINT_ID / 8 + 1];
};

static void known_add(struct known *known, const struct kp_endpoint_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		if (!set->slots[i].id)
			continue;
		kp_endpoint_set_add(&known->targets, &set->slots[i].addr, set->slots[i].port);
		known->targets.slots[known->targets.n - 1].id = set->slots[i].id;
		set_bit(known->used, set->slots[i].id);
	}
	if (known->targets.n > 1)
		qsort(known->targets.slots, known->targets.n, sizeof(*known->targets.slots),
		      kp_target_compare);
}

static uint16_t known_id(const struct known *known, const struct kp_target *target)
{
	const struct kp_target *found = NULL;

	if (known->targets.n > 0)
		found = bsearch(target, known->targets.slots, known->targets.n, sizeof(*found),
				kp_target_compare);
	return found ? found->id : 0;
}

static int assign_set(struct known *known, struct kp_affinity *affinity,
		      struct kp_endpoint_set *set)
{
	int r = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		struct kp_target *target = &set->slots[i];

		target->id = known_id(known, target);
		if (!target->id)
			target->id = take_next(known->used, &affinity->last_endpoint_id,
					       KP_MAX_ENDPOINT_ID);
		if (!target->id)
			r = -ENOSPC;
	}
	return r;
}

static int assign_endpoints(struct kp_vservice *v, const struct kp_vservice *old)
{
	struct known *known = kp_xcalloc(1, sizeof(*known));
	int r, s;

	if (old) {
		known_add(known, &old->cluster);
		known_add(known, &old->local);
	}
	r = assign_set(known, &v->affinity, &v->cluster);
	/* An endpoint that is in both sets has one id. */
	known_add(known, &v->cluster);
	s = assign_set(known, &v->affinity, &v->local);
	free(known->targets.slots);
	free(known);
	return r < 0 ? r : s;
}

static void give_up(struct kp_affinity_ids *ids, struct kp_vservice *v)
{
	clear_bit(ids->used[v->family], v->affinity.id);
	v->affinity = (struct kp_affinity){0};
	for (uint32_t i = 0; i < v->cluster.n; i++)
		v->cluster.slots[i].id = 0;
	for (uint32_t i = 0; i < v->local.n; i++)
		v->local.slots[i].id = 0;
}

static int assign_vservice(struct kp_affinity_ids *ids, struct kp_vservice *v,
			   const struct kp_vservice *old)
{
	int r;

	if (old && old->affinity.id) {
		v->affinity.id = old->affinity.id;
		v->affinity.last_endpoint_id = old->affinity.last_endpoint_id;
	} else {
		v->affinity.id = take_next(ids->used[v->family], &ids->last[v->family],
					   KP_MAX_AFFINITY_ID);
	}
	r = v->affinity.id ? assign_endpoints(v, old) : -ENOSPC;
	if (r < 0)
		give_up(ids, v);
	return r;
}

int kp_affinity_assign(struct kp_affinity_ids *ids, struct kp_vservices *want,
		       const struct kp_vservices *have)
{
	int r = 0;

	for (size_t i = 0; i < want->n; i++) {
		struct kp_vservice *v = &want->items[i];
		int s = v->affinity.timeout_s ? assign_vservice(ids, v, kp_vservices_find(have, v))
					      : 0;

		r = s < 0 ? s : r;
	}
	for (size_t i = 0; i < have->n; i++) {
		const struct kp_vservice *old = &have->items[i];
		const struct kp_vservice *v = kp_vservices_find(want, old);

		if (old->affinity.id && (!v || !v->affinity.id))
			clear_bit(ids->used[old->family], old->affinity.id);
	}
	return r;
}
