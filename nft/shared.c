/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of counters with open addressing: 24 bytes for each endpoint address, where a hash of
 * pointers needs 110. */
#include "nft/shared.h"

#include <stdlib.h>

struct key {
	struct kp_addr addr;
	uint8_t set, family;
};

struct counter {
	struct key key;
	uint32_t n; /* 0: the place is free */
};

struct kp_nft_shared {
	struct counter *table;
	size_t size, n_used; /* at least a quarter is free */
};

/* What a change does to one counter. */
struct difference {
	struct key key;
	uint32_t n_before, n_have, n_want;
	bool told; /* the element has been kept once */
};

struct kp_nft_shared *kp_nft_shared_new(void)
{
	return kp_xcalloc(1, sizeof(struct kp_nft_shared));
}

void kp_nft_shared_free(struct kp_nft_shared *shared)
{
	if (!shared)
		return;
	free(shared->table);
	free(shared);
}

static bool is_shared(const struct kp_nft_element *e)
{
	return kp_nft_sets[e->set].is_shared;
}

/* All kinds of shared elements begin with the address that tells them apart. */
static struct key key_of(const struct kp_nft_element *e)
{
	struct key key;

	memset(&key, 0, sizeof(key));
	key.set = e->set;
	key.family = e->family;
	memcpy(key.addr.bytes, e->key, kp_family_addr_size(e->family));
	return key;
}

static size_t home(const struct kp_nft_shared *shared, const struct key *key)
{
	unsigned int hash;

	HASH_JEN(key, sizeof(*key), hash);
	return hash % shared->size;
}

/* The counter of a key, or the free place where it belongs. */
static struct counter *find(const struct kp_nft_shared *shared, const struct key *key)
{
	size_t i = home(shared, key);

	while (shared->table[i].n && memcmp(&shared->table[i].key, key, sizeof(*key)) != 0)
		i = (i + 1) % shared->size;
	return &shared->table[i];
}

static void resize(struct kp_nft_shared *shared, size_t size)
{
	struct kp_nft_shared old = *shared;

	shared->size = size;
	shared->table = kp_xcalloc(size, sizeof(*shared->table));
	for (size_t i = 0; i < old.size; i++)
		if (old.table[i].n)
			*find(shared, &old.table[i].key) = old.table[i];
	free(old.table);
}

/* Frees a place, and moves up what stands behind it only because it was taken. */
static void remove_at(struct kp_nft_shared *shared, size_t hole)
{
	size_t size = shared->size, i = hole;

	for (;;) {
		size_t distance;

		i = (i + 1) % size;
		if (!shared->table[i].n)
			break;
		distance = (i + size - home(shared, &shared->table[i].key)) % size;
		if (distance >= (i + size - hole) % size) {
			shared->table[hole] = shared->table[i];
			hole = i;
		}
	}
	shared->table[hole].n = 0;
	shared->n_used--;
}

static uint32_t get(const struct kp_nft_shared *shared, const struct key *key)
{
	return shared->size ? find(shared, key)->n : 0;
}

static void set(struct kp_nft_shared *shared, const struct key *key, uint32_t n)
{
	struct counter *counter;

	if (4 * (shared->n_used + 1) > 3 * shared->size)
		resize(shared, shared->size ? shared->size / 2 * 3 : 64);
	counter = find(shared, key);
	if (!counter->n && n) {
		counter->key = *key;
		shared->n_used++;
	}
	if (counter->n && !n)
		remove_at(shared, counter - shared->table);
	else
		counter->n = n;
}

void kp_nft_shared_reset(struct kp_nft_shared *shared, const struct kp_nft_elements *all)
{
	free(shared->table);
	memset(shared, 0, sizeof(*shared));
	for (size_t i = 0; i < all->n; i++) {
		struct key key;

		if (!is_shared(&all->items[i]))
			continue;
		key = key_of(&all->items[i]);
		set(shared, &key, get(shared, &key) + 1);
	}
}

static int compare(const void *va, const void *vb)
{
	const struct difference *a = va, *b = vb;

	return memcmp(&a->key, &b->key, sizeof(a->key));
}

static size_t add_differences(struct difference *ret, size_t n,
			      const struct kp_nft_elements *elements, bool have)
{
	for (size_t i = 0; i < elements->n; i++)
		if (is_shared(&elements->items[i]))
			ret[n++] = (struct difference){.key = key_of(&elements->items[i]),
						       .n_have = have,
						       .n_want = !have};
	return n;
}

/* Sorts, and sums up what concerns the same counter. */
static size_t merge(struct difference *items, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(items, n, sizeof(*items), compare);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && compare(&items[kept - 1], &items[i]) == 0) {
			items[kept - 1].n_have += items[i].n_have;
			items[kept - 1].n_want += items[i].n_want;
		} else {
			items[kept++] = items[i];
		}
	}
	return kept;
}

static uint32_t n_after(const struct difference *d)
{
	return d->n_before - d->n_have + d->n_want;
}

static void count(struct kp_nft_shared *shared, struct difference *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		items[i].n_before = get(shared, &items[i].key);
		set(shared, &items[i].key, n_after(&items[i]));
	}
}

/* Keeps a shared element once, and only when it comes or goes; 'goes' tells which list this is. */
static void filter(struct difference *items, size_t n, struct kp_nft_elements *list, bool goes)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++) {
		bool keep = true;

		if (is_shared(&list->items[i])) {
			const struct difference like = {.key = key_of(&list->items[i])};
			struct difference *d = bsearch(&like, items, n, sizeof(*items), compare);

			keep = !d->told && (goes ? d->n_before > 0 && n_after(d) == 0
						 : d->n_before == 0 && n_after(d) > 0);
			d->told |= keep;
		}
		if (keep)
			list->items[kept++] = list->items[i];
		else
			free(list->items[i].comment);
	}
	list->n = kept;
}

void kp_nft_shared_settle(struct kp_nft_shared *shared, struct kp_nft_elements *have,
			  struct kp_nft_elements *want)
{
	struct difference *items = kp_xcalloc(have->n + want->n, sizeof(*items));
	size_t n = add_differences(items, 0, have, true);

	n = merge(items, add_differences(items, n, want, false));
	count(shared, items, n);
	filter(items, n, have, true);
	filter(items, n, want, false);
	free(items);
}
