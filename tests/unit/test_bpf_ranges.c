/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bpf/ranges.h"
#include "kproxy/err.h"

static uint32_t take(struct kp_bpf_ranges *ranges, uint32_t n, int64_t now_us)
{
	uint32_t first;

	assert_int_equal(kp_bpf_ranges_take(ranges, n, now_us, &first), 0);
	return first;
}

static void assert_full(struct kp_bpf_ranges *ranges, uint32_t n, int64_t now_us)
{
	uint32_t first;

	assert_int_equal(kp_bpf_ranges_take(ranges, n, now_us, &first), -ENOSPC);
}

static void test_ranges_do_not_overlap(void **state)
{
	struct kp_bpf_ranges *ranges = kp_bpf_ranges_new(8);

	(void)state;
	assert_int_equal(take(ranges, 3, 0), 0);
	assert_int_equal(take(ranges, 4, 0), 4);
	assert_full(ranges, 1, 0);
	kp_bpf_ranges_free(ranges);
}

static void test_ranges_wait_a_second_before_reuse(void **state)
{
	struct kp_bpf_ranges *ranges = kp_bpf_ranges_new(4);

	(void)state;
	take(ranges, 4, 0);
	kp_bpf_ranges_give(ranges, 0, 4, 5);
	assert_full(ranges, 4, 5 + KP_BPF_QUARANTINE_US - 1);
	assert_int_equal(take(ranges, 4, 5 + KP_BPF_QUARANTINE_US), 0);
	kp_bpf_ranges_free(ranges);
}

static void test_ranges_split_a_larger_one(void **state)
{
	struct kp_bpf_ranges *ranges = kp_bpf_ranges_new(8);
	bool seen[8] = {false};

	(void)state;
	take(ranges, 8, 0);
	kp_bpf_ranges_give(ranges, 0, 8, 0);
	for (int i = 0; i < 8; i++) {
		uint32_t first = take(ranges, 1, KP_BPF_QUARANTINE_US);

		assert_in_range(first, 0, 7);
		assert_false(seen[first]);
		seen[first] = true;
	}
	assert_full(ranges, 1, KP_BPF_QUARANTINE_US);
	kp_bpf_ranges_free(ranges);
}

enum {
	N_CELLS = 1024,
	N_HELD = 64
};

/* Each cell knows who holds it and since when it is free. */
static void test_ranges_random_use_never_hands_out_a_cell_twice(void **state)
{
	struct kp_bpf_ranges *ranges = kp_bpf_ranges_new(N_CELLS);
	struct {
		uint32_t first, n;
	} held[N_HELD] = {{0}};
	int64_t freed_us[N_CELLS], now_us = KP_BPF_QUARANTINE_US;
	bool used[N_CELLS] = {false};

	(void)state;
	for (int i = 0; i < N_CELLS; i++)
		freed_us[i] = 0;
	srandom(1);
	for (int step = 0; step < 100000; step++) {
		int i = random() % N_HELD;
		uint32_t n = 1 + random() % 20;

		now_us += random() % 20000;
		if (held[i].n) {
			for (uint32_t c = 0; c < held[i].n; c++) {
				used[held[i].first + c] = false;
				freed_us[held[i].first + c] = now_us;
			}
			kp_bpf_ranges_give(ranges, held[i].first, held[i].n, now_us);
			held[i].n = 0;
		} else if (kp_bpf_ranges_take(ranges, n, now_us, &held[i].first) == 0) {
			held[i].n = n;
			assert_in_range(held[i].first + n, n, N_CELLS);
			for (uint32_t c = 0; c < n; c++) {
				assert_false(used[held[i].first + c]);
				assert_true(now_us - freed_us[held[i].first + c] >=
					    KP_BPF_QUARANTINE_US);
				used[held[i].first + c] = true;
			}
		}
	}
	kp_bpf_ranges_free(ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_do_not_overlap),
		cmocka_unit_test(test_ranges_wait_a_second_before_reuse),
		cmocka_unit_test(test_ranges_split_a_larger_one),
		cmocka_unit_test(test_ranges_random_use_never_hands_out_a_cell_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
