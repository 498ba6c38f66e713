/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kproxy/plan.h"
#include "plan/slots.h"

static struct kp_addr addr4(unsigned int last)
{
	return (struct kp_addr){.bytes = {10, 180, last >> 8, last & 255}};
}

static struct kp_vservices one_set(const unsigned int *lasts, size_t n)
{
	struct kp_vservices vs = {0};
	struct kp_vservice *v = kp_vservices_add(&vs);

	v->port_name = kp_name_get("http");
	v->proto = IPPROTO_TCP;
	for (size_t i = 0; i < n; i++) {
		struct kp_addr a = addr4(lasts[i]);

		kp_endpoint_set_add(&v->cluster, &a, 80);
	}
	return vs;
}

static void assert_slots(const struct kp_vservices *vs, const unsigned int *lasts, size_t n)
{
	assert_int_equal(vs->items[0].cluster.n, n);
	for (size_t i = 0; i < n; i++) {
		struct kp_addr a = addr4(lasts[i]);

		assert_memory_equal(&vs->items[0].cluster.slots[i].addr, &a, sizeof(a));
	}
}

static void keep(const unsigned int *have, size_t n_have, const unsigned int *want, size_t n_want,
		 const unsigned int *expected)
{
	struct kp_vservices h = one_set(have, n_have), w = one_set(want, n_want);

	kp_slots_keep(&w, &h);
	assert_slots(&w, expected, n_want);
	kp_vservices_clear(&h);
	kp_vservices_clear(&w);
}

static void test_slots_last_one_moves_into_the_hole(void **state)
{
	(void)state;
	keep((unsigned int[]){1, 2, 3, 4}, 4, (unsigned int[]){1, 3, 4}, 3,
	     (unsigned int[]){1, 4, 3});
}

static void test_slots_new_one_is_appended(void **state)
{
	(void)state;
	keep((unsigned int[]){5, 6}, 2, (unsigned int[]){1, 5, 6}, 3, (unsigned int[]){5, 6, 1});
}

static void test_slots_replacement_takes_the_slot(void **state)
{
	(void)state;
	keep((unsigned int[]){1, 2, 3}, 3, (unsigned int[]){1, 3, 9}, 3, (unsigned int[]){1, 9, 3});
}

static void test_slots_nothing_in_common(void **state)
{
	(void)state;
	keep((unsigned int[]){1, 2}, 2, (unsigned int[]){7, 8, 9}, 3, (unsigned int[]){7, 8, 9});
}

static void test_state_put_replaces_and_empty_removes(void **state)
{
	struct kp_state s = {0};
	struct kp_vservices vs = one_set((unsigned int[]){1}, 1), none = {0};

	(void)state;
	kp_state_put(&s, "default/web", &vs);
	assert_int_equal(kp_state_get(&s, "default/web")->n, 1);
	kp_state_put(&s, "default/web", &none);
	assert_int_equal(kp_state_get(&s, "default/web")->n, 0);
	assert_null(s.entries);
	kp_state_clear(&s);
}

static void test_prefixes_covered_ones_are_dropped(void **state)
{
	static const char *const texts[] = {"10.1.0.0/16", "10.0.0.0/8", "192.0.2.1/32",
					    "fd00::/16", "10.0.0.0/8"};
	struct kp_prefix *items = NULL;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct kp_prefix p;

		assert_int_equal(kp_prefix_parse(texts[i], &p), 0);
		kp_prefixes_add(&items, &n, &p);
	}
	kp_prefixes_normalize(items, &n);
	assert_int_equal(n, 3);
	assert_int_equal(items[0].len, 8);
	free(items);
}

/* SV-7 */
static void test_addr_leading_zeros_are_decimal(void **state)
{
	enum kp_family family;
	struct kp_addr addr;
	char text[KP_ADDR_TEXT_SIZE];

	(void)state;
	assert_int_equal(kp_addr_parse("172.30.0.041", &family, &addr), 0);
	assert_string_equal(kp_addr_text(family, &addr, text), "172.30.0.41");
	assert_int_not_equal(kp_addr_parse("256.1.1.1", &family, &addr), 0);
	assert_int_not_equal(kp_addr_parse("1.2.3", &family, &addr), 0);
	assert_int_not_equal(kp_addr_parse("1.2.3.4 ", &family, &addr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_last_one_moves_into_the_hole),
		cmocka_unit_test(test_slots_new_one_is_appended),
		cmocka_unit_test(test_slots_replacement_takes_the_slot),
		cmocka_unit_test(test_slots_nothing_in_common),
		cmocka_unit_test(test_state_put_replaces_and_empty_removes),
		cmocka_unit_test(test_prefixes_covered_ones_are_dropped),
		cmocka_unit_test(test_addr_leading_zeros_are_decimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
