/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "bpf/ranges.h"

struct frontend {
	struct kp_bpf_dial dial;
	uint32_t index;
	uint32_t first, n_room, n;	/* the range of its endpoints; without room there is none */
	struct kp_endpoint_set serving; /* those at which connected sockets may stay */
	UT_hash_handle hh;
};

struct kp_bpf_table {
	enum kp_family family;
	struct kp_bpf_memory memory;
	struct kp_bpf_ranges *indices, *ranges;
	struct frontend *frontends; /* uthash by dial */
};

struct kp_bpf_dial kp_bpf_dial_of(const struct kp_vservice *v, const struct kp_frontend *f)
{
	return (struct kp_bpf_dial){.addr = f->addr,
				    .port = f->port,
				    .proto = v->proto,
				    .scope = f->type == KP_NODE_PORT ? KP_BPF_NODE_PORT
								     : KP_BPF_EXACT};
}

struct kp_bpf_table *kp_bpf_table_new(enum kp_family family, const struct kp_bpf_memory *memory)
{
	struct kp_bpf_table *table = kp_xcalloc(1, sizeof(*table));

	table->family = family;
	table->memory = *memory;
	table->indices = kp_bpf_ranges_new(memory->n_frontends);
	table->ranges = kp_bpf_ranges_new(memory->n_endpoints);
	return table;
}

void kp_bpf_table_free(struct kp_bpf_table *table)
{
	struct frontend *f, *tmp;

	if (!table)
		return;
	HASH_ITER (hh, table->frontends, f, tmp) {
		HASH_DEL(table->frontends, f);
		free(f->serving.slots);
		free(f);
	}
	kp_bpf_ranges_free(table->indices);
	kp_bpf_ranges_free(table->ranges);
	free(table);
}

static union kp_bpf_key4 key4(const struct kp_bpf_dial *dial)
{
	union kp_bpf_key4 key = {
		.port = htons(dial->port), .proto = dial->proto, .scope = dial->scope};

	memcpy(&key.addr, dial->addr.bytes, sizeof(key.addr));
	return key;
}

static struct kp_bpf_key6 key6(const struct kp_bpf_dial *dial)
{
	struct kp_bpf_key6 key = {
		.port = htons(dial->port), .proto = dial->proto, .scope = dial->scope};

	memcpy(key.addr, dial->addr.bytes, sizeof(key.addr));
	return key;
}

void kp_bpf_key_of(enum kp_family family, const struct kp_bpf_dial *dial, void *ret)
{
	if (family == KP_IPV4)
		*(union kp_bpf_key4 *)ret = key4(dial);
	else
		*(struct kp_bpf_key6 *)ret = key6(dial);
}

static union kp_bpf_endpoint4 endpoint4(const struct kp_target *target)
{
	union kp_bpf_endpoint4 e = {.port = htons(target->port)};

	memcpy(&e.addr, target->addr.bytes, sizeof(e.addr));
	return e;
}

static struct kp_bpf_endpoint6 endpoint6(const struct kp_target *target)
{
	struct kp_bpf_endpoint6 e = {.port = htons(target->port)};

	memcpy(e.addr, target->addr.bytes, sizeof(e.addr));
	return e;
}

/* Whether the frontend's cells hold exactly these endpoints. */
static bool has_endpoints(const struct kp_bpf_table *table, const struct frontend *f,
			  const struct kp_endpoint_set *endpoints)
{
	if (f->n != endpoints->n)
		return false;
	for (uint32_t i = 0; i < f->n; i++) {
		if (table->family == KP_IPV4) {
			const union kp_bpf_endpoint4 *cells = table->memory.endpoints;

			if (cells[f->first + i].all != endpoint4(&endpoints->slots[i]).all)
				return false;
		} else {
			const struct kp_bpf_endpoint6 *cells = table->memory.endpoints;
			struct kp_bpf_endpoint6 e = endpoint6(&endpoints->slots[i]);

			if (memcmp(&cells[f->first + i], &e, sizeof(e)) != 0)
				return false;
		}
	}
	return true;
}

static void write_endpoints(struct kp_bpf_table *table, uint32_t first,
			    const struct kp_endpoint_set *endpoints)
{
	for (uint32_t i = 0; i < endpoints->n; i++) {
		if (table->family == KP_IPV4) {
			union kp_bpf_endpoint4 *cells = table->memory.endpoints;

			__atomic_store_n(&cells[first + i].all, endpoint4(&endpoints->slots[i]).all,
					 __ATOMIC_RELEASE);
		} else {
			struct kp_bpf_endpoint6 *cells = table->memory.endpoints;

			cells[first + i] = endpoint6(&endpoints->slots[i]);
		}
	}
}

static void write_word(struct kp_bpf_table *table, const struct frontend *f)
{
	__u64 *word;

	if (table->family == KP_IPV4)
		word = &((struct kp_bpf_frontend4 *)table->memory.frontends)[f->index].word;
	else
		word = &((struct kp_bpf_frontend6 *)table->memory.frontends)[f->index].word;
	__atomic_store_n(word, KP_BPF_WORD(f->first, f->n), __ATOMIC_RELEASE);
}

/* IPv4 endpoints are replaced one by one where they are, when there is room. */
static bool can_change_in_place(const struct kp_bpf_table *table, const struct frontend *f,
				const struct kp_endpoint_set *endpoints)
{
	return endpoints->n == 0 || (table->family == KP_IPV4 && endpoints->n <= f->n_room);
}

static int change_endpoints(struct kp_bpf_table *table, struct frontend *f,
			    const struct kp_endpoint_set *endpoints, int64_t now_us)
{
	struct frontend old = *f;
	int r;

	if (!can_change_in_place(table, f, endpoints)) {
		r = kp_bpf_ranges_take(table->ranges, endpoints->n, now_us, &f->first);
		if (r < 0)
			return r;
		f->n_room = kp_bpf_ranges_round(endpoints->n);
	}
	f->n = endpoints->n;
	write_endpoints(table, f->first, endpoints);
	write_word(table, f);
	if (old.n_room > 0 && old.first != f->first)
		kp_bpf_ranges_give(table->ranges, old.first, old.n_room, now_us);
	return 0;
}

/* Writes the key where programs compare it, then into the services map: from here on, they come. */
static int publish(struct kp_bpf_table *table, const struct frontend *f)
{
	const struct kp_bpf_memory *m = &table->memory;

	if (table->family == KP_IPV4) {
		struct kp_bpf_frontend4 *cell = (struct kp_bpf_frontend4 *)m->frontends + f->index;

		cell->key = key4(&f->dial);
		return m->ops->put(m->arg, &cell->key, f->index);
	}
	struct kp_bpf_frontend6 *cell = (struct kp_bpf_frontend6 *)m->frontends + f->index;

	cell->key = key6(&f->dial);
	return m->ops->put(m->arg, &cell->key, f->index);
}

static void give_back(struct kp_bpf_table *table, struct frontend *f, int64_t now_us)
{
	if (f->n_room > 0)
		kp_bpf_ranges_give(table->ranges, f->first, f->n_room, now_us);
	kp_bpf_ranges_give(table->indices, f->index, 1, now_us);
	free(f->serving.slots);
	free(f);
}

static int add_frontend(struct kp_bpf_table *table, const struct kp_bpf_dial *dial,
			const struct kp_endpoint_set *endpoints, int64_t now_us,
			struct frontend **ret)
{
	struct frontend *f;
	uint32_t index;
	int r = kp_bpf_ranges_take(table->indices, 1, now_us, &index);

	if (r < 0)
		return r;
	f = kp_xcalloc(1, sizeof(*f));
	f->dial = *dial;
	f->index = index;
	r = change_endpoints(table, f, endpoints, now_us);
	if (r == 0)
		r = publish(table, f);
	if (r < 0) {
		give_back(table, f, now_us);
		return r;
	}
	HASH_ADD(hh, table->frontends, dial, sizeof(f->dial), f);
	*ret = f;
	return 0;
}

/* TCP has none, and nothing is kept for it. */
static void copy_set(const struct kp_endpoint_set *from, struct kp_endpoint_set *to)
{
	free(to->slots);
	*to = (struct kp_endpoint_set){.n = from->n};
	if (from->n == 0)
		return;
	to->slots = kp_xcalloc(from->n, sizeof(*to->slots));
	memcpy(to->slots, from->slots, from->n * sizeof(*to->slots));
}

int kp_bpf_table_put(struct kp_bpf_table *table, const struct kp_bpf_dial *dial,
		     const struct kp_endpoint_set *endpoints, const struct kp_endpoint_set *serving,
		     int64_t now_us)
{
	struct frontend *f;
	int r = 0;

	HASH_FIND(hh, table->frontends, dial, sizeof(*dial), f);
	if (!f)
		r = add_frontend(table, dial, endpoints, now_us, &f);
	else if (!has_endpoints(table, f, endpoints))
		r = change_endpoints(table, f, endpoints, now_us);
	if (r == 0)
		copy_set(serving, &f->serving);
	return r;
}

int kp_bpf_table_remove(struct kp_bpf_table *table, const struct kp_bpf_dial *dial, int64_t now_us)
{
	const struct kp_bpf_memory *m = &table->memory;
	union {
		union kp_bpf_key4 v4;
		struct kp_bpf_key6 v6;
	} key;
	struct frontend *f;
	int r;

	HASH_FIND(hh, table->frontends, dial, sizeof(*dial), f);
	if (!f)
		return 0;
	kp_bpf_key_of(table->family, dial, &key);
	r = m->ops->remove(m->arg, &key);
	if (r < 0)
		return r;
	HASH_DEL(table->frontends, f);
	give_back(table, f, now_us);
	return 0;
}

static struct kp_target read_endpoint(const struct kp_bpf_table *table, uint32_t cell)
{
	struct kp_target target = {0};

	if (table->family == KP_IPV4) {
		const union kp_bpf_endpoint4 *cells = table->memory.endpoints;

		memcpy(target.addr.bytes, &cells[cell].addr, sizeof(cells[cell].addr));
		target.port = ntohs(cells[cell].port);
	} else {
		const struct kp_bpf_endpoint6 *cells = table->memory.endpoints;

		memcpy(target.addr.bytes, cells[cell].addr, sizeof(cells[cell].addr));
		target.port = ntohs(cells[cell].port);
	}
	return target;
}

enum kp_bpf_membership kp_bpf_table_find(const struct kp_bpf_table *table,
					 const struct kp_bpf_dial *dial,
					 const struct kp_target *endpoint)
{
	const struct frontend *f;

	HASH_FIND(hh, table->frontends, dial, sizeof(*dial), f);
	if (!f || f->n == 0)
		return KP_BPF_UNKNOWN;
	if (f->serving.n > 0 &&
	    bsearch(endpoint, f->serving.slots, f->serving.n, sizeof(*endpoint), kp_target_compare))
		return KP_BPF_MEMBER;
	return KP_BPF_NO_MEMBER;
}

int kp_bpf_table_copy(const struct kp_bpf_table *from, struct kp_bpf_table *to, int64_t now_us)
{
	int r = 0;

	for (const struct frontend *f = from->frontends; f && r == 0; f = f->hh.next) {
		struct kp_endpoint_set set = {0};

		for (uint32_t i = 0; i < f->n; i++) {
			struct kp_target target = read_endpoint(from, f->first + i);

			kp_endpoint_set_add(&set, &target.addr, target.port);
		}
		r = kp_bpf_table_put(to, &f->dial, &set, &f->serving, now_us);
		free(set.slots);
	}
	return r;
}
