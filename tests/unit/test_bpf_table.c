/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables on plain memory, read the way the programs read them. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bpf/ranges.h"
#include "bpf/table.h"

enum {
	N_FRONTENDS = 16,
	N_ENDPOINTS = 128,
	MAX_KEY = sizeof(struct kp_bpf_key6)
};

/* A services map, and both arrays. */
struct world {
	enum kp_family family;
	struct kp_bpf_memory memory;
	struct kp_bpf_table *table;
	size_t n_services;
	struct {
		uint8_t key[MAX_KEY];
		uint32_t index;
	} services[N_FRONTENDS];
};

static size_t key_size(const struct world *w)
{
	return w->family == KP_IPV4 ? sizeof(union kp_bpf_key4) : sizeof(struct kp_bpf_key6);
}

static int find(const struct world *w, const void *key)
{
	for (size_t i = 0; i < w->n_services; i++)
		if (memcmp(w->services[i].key, key, key_size(w)) == 0)
			return (int)i;
	return -1;
}

static int put(void *arg, const void *key, uint32_t index)
{
	struct world *w = arg;

	assert_int_equal(find(w, key), -1);
	assert_true(w->n_services < N_FRONTENDS);
	memcpy(w->services[w->n_services].key, key, key_size(w));
	w->services[w->n_services++].index = index;
	return 0;
}

static int drop(void *arg, const void *key)
{
	struct world *w = arg;
	int i = find(w, key);

	assert_true(i >= 0);
	w->services[i] = w->services[--w->n_services];
	return 0;
}

static const struct kp_bpf_services_ops ops = {put, drop};

static struct world *world_new(enum kp_family family)
{
	struct world *w = kp_xcalloc(1, sizeof(*w));

	w->family = family;
	w->memory = (struct kp_bpf_memory){
		.n_frontends = N_FRONTENDS,
		.n_endpoints = N_ENDPOINTS,
		.frontends = kp_xcalloc(N_FRONTENDS, sizeof(struct kp_bpf_frontend6)),
		.endpoints = kp_xcalloc(N_ENDPOINTS, sizeof(struct kp_bpf_endpoint6)),
		.ops = &ops,
		.arg = w};
	w->table = kp_bpf_table_new(family, &w->memory);
	return w;
}

static void world_free(struct world *w)
{
	kp_bpf_table_free(w->table);
	free(w->memory.frontends);
	free(w->memory.endpoints);
	free(w);
}

static struct kp_bpf_dial dial(unsigned int last)
{
	return (struct kp_bpf_dial){
		.addr = {.bytes = {10, 96, 0, last}}, .port = 80, .proto = IPPROTO_TCP};
}

static struct kp_endpoint_set set_of(unsigned int first, unsigned int n)
{
	struct kp_endpoint_set set = {0};

	for (unsigned int i = 0; i < n; i++) {
		struct kp_addr addr = {.bytes = {10, 180, 0, first + i}};

		kp_endpoint_set_add(&set, &addr, 8080);
	}
	return set;
}

static int put_set(struct world *w, unsigned int last, unsigned int first, unsigned int n,
		   int64_t now_us)
{
	struct kp_bpf_dial d = dial(last);
	struct kp_endpoint_set set = set_of(first, n);
	int r = kp_bpf_table_put(w->table, &d, &set, &set, now_us);

	free(set.slots);
	return r;
}

/* The word that a program finds; all ones when there is no service. */
static __u64 word(const struct world *w, unsigned int last)
{
	union kp_bpf_key4 key4 = {.port = htons(80), .proto = IPPROTO_TCP};
	struct kp_bpf_key6 key6 = {.port = htons(80), .proto = IPPROTO_TCP};
	struct kp_bpf_dial d = dial(last);
	int i;

	memcpy(&key4.addr, d.addr.bytes, 4);
	memcpy(key6.addr, d.addr.bytes, 16);
	i = find(w, w->family == KP_IPV4 ? (void *)&key4 : (void *)&key6);
	if (i < 0)
		return ~0ULL;
	if (w->family == KP_IPV4) {
		const struct kp_bpf_frontend4 *f = w->memory.frontends;

		f += w->services[i].index;
		assert_int_equal(f->key.all, key4.all);
		return f->word;
	}
	const struct kp_bpf_frontend6 *f = w->memory.frontends;

	f += w->services[i].index;
	assert_memory_equal(&f->key, &key6, sizeof(key6));
	return f->word;
}

static void assert_served(const struct world *w, unsigned int last, unsigned int first,
			  unsigned int n)
{
	__u64 got = word(w, last);

	assert_int_equal(KP_BPF_COUNT(got), n);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t want[] = {10, 180, 0, first + i};
		uint32_t cell = KP_BPF_FIRST(got) + i;

		if (w->family == KP_IPV4)
			assert_memory_equal(
				&((union kp_bpf_endpoint4 *)w->memory.endpoints)[cell].addr, want,
				4);
		else
			assert_memory_equal(
				((struct kp_bpf_endpoint6 *)w->memory.endpoints)[cell].addr, want,
				4);
	}
}

static void serves_what_was_put(enum kp_family family)
{
	struct world *w = world_new(family);
	struct kp_bpf_dial d = dial(1);

	assert_int_equal(put_set(w, 1, 1, 3, 0), 0);
	assert_int_equal(put_set(w, 2, 10, 1, 0), 0);
	assert_served(w, 1, 1, 3);
	assert_served(w, 2, 10, 1);
	assert_int_equal(put_set(w, 1, 20, 9, 0), 0);
	assert_served(w, 1, 20, 9);
	assert_int_equal(put_set(w, 1, 0, 0, 0), 0);
	assert_served(w, 1, 0, 0);
	assert_int_equal(kp_bpf_table_remove(w->table, &d, 0), 0);
	assert_true(word(w, 1) == ~0ULL);
	assert_int_equal(kp_bpf_table_remove(w->table, &d, 0), 0);
	assert_served(w, 2, 10, 1);
	world_free(w);
}

static void test_table_serves_what_was_put(void **state)
{
	(void)state;
	serves_what_was_put(KP_IPV4);
	serves_what_was_put(KP_IPV6);
}

static void test_table_changes_ipv4_in_place_and_ipv6_elsewhere(void **state)
{
	struct world *w4 = world_new(KP_IPV4), *w6 = world_new(KP_IPV6);
	__u64 before;

	(void)state;
	put_set(w4, 1, 1, 3, 0);
	before = word(w4, 1);
	put_set(w4, 1, 2, 4, 0);
	assert_int_equal(KP_BPF_FIRST(word(w4, 1)), KP_BPF_FIRST(before));
	put_set(w6, 1, 1, 3, 0);
	before = word(w6, 1);
	put_set(w6, 1, 1, 3, 0); /* nothing differs */
	assert_true(word(w6, 1) == before);
	put_set(w6, 1, 2, 4, 0);
	assert_int_not_equal(KP_BPF_FIRST(word(w6, 1)), KP_BPF_FIRST(before));
	world_free(w4);
	world_free(w6);
}

static void test_table_without_room_stays_as_it_is(void **state)
{
	struct world *w = world_new(KP_IPV4);

	(void)state;
	assert_int_equal(put_set(w, 1, 1, 64, 0), 0);
	assert_int_equal(put_set(w, 2, 1, 64, 0), 0);
	assert_int_equal(put_set(w, 3, 1, 1, 0), -ENOSPC);
	assert_true(word(w, 3) == ~0ULL);
	assert_int_equal(put_set(w, 1, 1, 65, 0), -ENOSPC);
	assert_served(w, 1, 1, 64);
	world_free(w);
}

static void test_table_reuses_after_a_second(void **state)
{
	struct world *w = world_new(KP_IPV4);
	struct kp_bpf_dial d = dial(1);

	(void)state;
	for (unsigned int i = 0; i < N_FRONTENDS; i++)
		assert_int_equal(put_set(w, i, i, 8, 0), 0);
	assert_int_equal(kp_bpf_table_remove(w->table, &d, 0), 0);
	assert_int_equal(put_set(w, 99, 1, 8, 1), -ENOSPC);
	assert_int_equal(put_set(w, 99, 1, 8, KP_BPF_QUARANTINE_US), 0);
	assert_served(w, 99, 1, 8);
	world_free(w);
}

static void test_table_copies_everything(void **state)
{
	for (int family = 0; family < KP_N_FAMILIES; family++) {
		struct world *from = world_new(family), *to = world_new(family);

		(void)state;
		put_set(from, 1, 1, 3, 0);
		put_set(from, 2, 7, 5, 0);
		put_set(from, 3, 0, 0, 0);
		assert_int_equal(kp_bpf_table_copy(from->table, to->table, 0), 0);
		assert_served(to, 1, 1, 3);
		assert_served(to, 2, 7, 5);
		assert_served(to, 3, 0, 0);
		world_free(from);
		world_free(to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_serves_what_was_put),
		cmocka_unit_test(test_table_changes_ipv4_in_place_and_ipv6_elsewhere),
		cmocka_unit_test(test_table_without_room_stays_as_it_is),
		cmocka_unit_test(test_table_reuses_after_a_second),
		cmocka_unit_test(test_table_copies_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
