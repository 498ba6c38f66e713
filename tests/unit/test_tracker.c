/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of changes between two syncs. */
#include "track/tracker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static unsigned int n_wakes;

static void on_wake(void *arg)
{
	assert_ptr_equal(arg, &n_wakes);
	n_wakes++;
}

static int setup(void **state)
{
	n_wakes = 0;
	*state = kp_tracker_new(on_wake, &n_wakes);
	return 0;
}

static int teardown(void **state)
{
	kp_tracker_free(*state);
	return 0;
}

static void append_key(void *arg, const char *key)
{
	strcat(arg, key);
	strcat(arg, " ");
}

static void test_tracker_starts_clean(void **state)
{
	assert_false(kp_tracker_is_dirty(*state));
	assert_false(kp_tracker_facts_dirty(*state));
	assert_int_equal(kp_tracker_n_services(*state), 0);
}

static void test_tracker_merges_two_changes_into_one(void **state)
{
	kp_tracker_mark_service(*state, "default/web");
	kp_tracker_mark_service(*state, "default/web");
	assert_int_equal(kp_tracker_n_services(*state), 1);
}

static void test_tracker_visits_in_order_of_names(void **state)
{
	char text[64] = "";

	kp_tracker_mark_service(*state, "b/x");
	kp_tracker_mark_service(*state, "a/z");
	kp_tracker_mark_service(*state, "a/y");
	kp_tracker_each(*state, append_key, text);
	assert_string_equal(text, "a/y a/z b/x ");
}

static void test_tracker_wakes_once_until_it_is_cleared(void **state)
{
	kp_tracker_mark_service(*state, "a/x");
	kp_tracker_mark_service(*state, "a/y");
	kp_tracker_mark_facts(*state);
	assert_int_equal(n_wakes, 1);
	kp_tracker_clear(*state);
	kp_tracker_mark_facts(*state);
	assert_int_equal(n_wakes, 2);
}

static void test_tracker_clear_forgets_everything(void **state)
{
	kp_tracker_mark_service(*state, "a/x");
	kp_tracker_mark_facts(*state);
	kp_tracker_clear(*state);
	assert_false(kp_tracker_is_dirty(*state));
	assert_int_equal(kp_tracker_n_services(*state), 0);
}

static void test_tracker_needs_no_wake_function(void **state)
{
	struct kp_tracker *tracker = kp_tracker_new(NULL, NULL);

	(void)state;
	kp_tracker_mark_facts(tracker);
	assert_true(kp_tracker_facts_dirty(tracker));
	kp_tracker_free(tracker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tracker_starts_clean, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tracker_merges_two_changes_into_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_tracker_visits_in_order_of_names, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_tracker_wakes_once_until_it_is_cleared, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_tracker_clear_forgets_everything, setup,
						teardown),
		cmocka_unit_test(test_tracker_needs_no_wake_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
