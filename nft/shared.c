/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/shared.h"

#include <stdlib.h>

struct key {
	struct kp_addr addr;
	uint8_t set, family;
};

struct count {
	struct key key;
	int32_t n, n_before; /* 'n_before' is of the time before the change that is being settled */
	bool touched;
	UT_hash_handle hh;
};

struct kp_nft_shared {
	struct count *counts;
};

struct kp_nft_shared *kp_nft_shared_new(void)
{
	return kp_xcalloc(1, sizeof(struct kp_nft_shared));
}

static void clear(struct kp_nft_shared *shared)
{
	struct count *c, *tmp;

	HASH_ITER (hh, shared->counts, c, tmp) {
		HASH_DEL(shared->counts, c);
		free(c);
	}
}

void kp_nft_shared_free(struct kp_nft_shared *shared)
{
	if (!shared)
		return;
	clear(shared);
	free(shared);
}

/* Both kinds of shared elements begin with the address that tells them apart. */
static struct count *get(struct kp_nft_shared *shared, const struct kp_nft_element *e)
{
	struct key key;
	struct count *c;

	memset(&key, 0, sizeof(key));
	key.set = e->set;
	key.family = e->family;
	memcpy(key.addr.bytes, e->key, kp_family_addr_size(e->family));
	HASH_FIND(hh, shared->counts, &key, sizeof(key), c);
	if (!c) {
		c = kp_xcalloc(1, sizeof(*c));
		c->key = key;
		HASH_ADD(hh, shared->counts, key, sizeof(c->key), c);
	}
	return c;
}

void kp_nft_shared_reset(struct kp_nft_shared *shared, const struct kp_nft_elements *all)
{
	clear(shared);
	for (size_t i = 0; i < all->n; i++)
		if (kp_nft_sets[all->items[i].set].is_shared)
			get(shared, &all->items[i])->n++;
}

static void count(struct kp_nft_shared *shared, const struct kp_nft_elements *list, int step)
{
	for (size_t i = 0; i < list->n; i++)
		if (kp_nft_sets[list->items[i].set].is_shared)
			get(shared, &list->items[i])->n += step;
}

/* Keeps a shared element once, and only when it comes or goes; 'goes' tells which list this is. */
static void filter(struct kp_nft_shared *shared, struct kp_nft_elements *list, bool goes)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++) {
		struct kp_nft_element *e = &list->items[i];
		struct count *c;
		bool keep = true;

		if (kp_nft_sets[e->set].is_shared) {
			c = get(shared, e);
			keep = c->touched &&
			       (goes ? c->n_before > 0 && c->n == 0 : c->n_before == 0 && c->n > 0);
			if (keep)
				c->touched = false;
		}
		if (keep)
			list->items[kept++] = *e;
		else
			free(e->comment);
	}
	list->n = kept;
}

static void untouch(struct kp_nft_shared *shared, struct count **touched, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		touched[i]->touched = false;
		if (touched[i]->n == 0) {
			HASH_DEL(shared->counts, touched[i]);
			free(touched[i]);
		}
	}
}

/* The counters that a change has touched, each once. */
static size_t collect(struct kp_nft_shared *shared, const struct kp_nft_elements *have,
		      const struct kp_nft_elements *want, struct count **ret)
{
	const struct kp_nft_elements *const lists[] = {have, want};
	size_t n = 0;

	for (int l = 0; l < 2; l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			struct count *c;

			if (!kp_nft_sets[lists[l]->items[i].set].is_shared)
				continue;
			c = get(shared, &lists[l]->items[i]);
			if (c->touched)
				continue;
			c->touched = true;
			c->n_before = c->n;
			ret[n++] = c;
		}
	}
	return n;
}

void kp_nft_shared_settle(struct kp_nft_shared *shared, struct kp_nft_elements *have,
			  struct kp_nft_elements *want)
{
	struct count **touched = kp_xcalloc(have->n + want->n, sizeof(struct count *));
	size_t n = collect(shared, have, want, touched);

	count(shared, have, -1);
	count(shared, want, 1);
	filter(shared, have, true);
	filter(shared, want, false);
	untouch(shared, touched, n);
	free(touched);
}
