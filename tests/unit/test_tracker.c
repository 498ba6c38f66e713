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

static void test_tracker_counts_changes_and_what_waits(void **state)
{
	struct kp_tracker *t = *state;

	kp_tracker_mark_changed(t, "a/x", KP_CHANGE_OF_SERVICE);
	kp_tracker_mark_changed(t, "a/x", KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_mark_changed(t, "a/x", KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_mark_changed(t, "a/y", KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_mark_service(t, "a/z");
	assert_int_equal(kp_tracker_n_pending(t, KP_CHANGE_OF_SERVICE), 1);
	assert_int_equal(kp_tracker_n_pending(t, KP_CHANGE_OF_ENDPOINTS), 2);
	kp_tracker_clear(t);
	assert_int_equal(kp_tracker_n_pending(t, KP_CHANGE_OF_ENDPOINTS), 0);
	assert_int_equal(kp_tracker_n_changes(t, KP_CHANGE_OF_SERVICE), 1);
	assert_int_equal(kp_tracker_n_changes(t, KP_CHANGE_OF_ENDPOINTS), 3);
}

static void append_trigger(void *arg, enum kp_family family, int64_t at_us)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s=%d ", kp_family_name(family), (int)at_us);
}

static void assert_triggers(struct kp_tracker *tracker, const char *expected)
{
	char text[128] = "";

	kp_tracker_each_trigger(tracker, append_trigger, text);
	assert_string_equal(text, expected);
}

static void test_tracker_keeps_trigger_times_until_it_is_cleared(void **state)
{
	struct kp_tracker *t = *state;

	kp_tracker_ignore_before(t, 100);
	kp_tracker_mark_changed(t, "a/x", KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_add_trigger(t, "a/x", KP_IPV4, 99);
	kp_tracker_add_trigger(t, "a/x", KP_IPV4, 100);
	kp_tracker_add_trigger(t, "a/x", KP_IPV6, 200);
	assert_triggers(t, "IPv4=100 IPv6=200 ");
	kp_tracker_clear(t);
	assert_triggers(t, "");
}

static void test_tracker_drops_trigger_times_of_one_service(void **state)
{
	struct kp_tracker *t = *state;

	kp_tracker_mark_changed(t, "a/x", KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_mark_changed(t, "a/y", KP_CHANGE_OF_ENDPOINTS);
	kp_tracker_add_trigger(t, "a/x", KP_IPV4, 1);
	kp_tracker_add_trigger(t, "a/y", KP_IPV4, 2);
	kp_tracker_drop_triggers(t, "a/x");
	kp_tracker_drop_triggers(t, "a/unknown");
	assert_triggers(t, "IPv4=2 ");
}

static void count_trigger(void *arg, enum kp_family family, int64_t at_us)
{
	(void)family, (void)at_us;
	(*(unsigned int *)arg)++;
}

static void test_tracker_keeps_a_bounded_number_of_trigger_times(void **state)
{
	struct kp_tracker *t = *state;
	unsigned int n = 0;

	kp_tracker_mark_changed(t, "a/x", KP_CHANGE_OF_ENDPOINTS);
	for (int i = 0; i < 1000; i++)
		kp_tracker_add_trigger(t, "a/x", KP_IPV4, i);
	kp_tracker_each_trigger(t, count_trigger, &n);
	assert_int_equal(n, 64);
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
		cmocka_unit_test_setup_teardown(test_tracker_counts_changes_and_what_waits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_tracker_keeps_trigger_times_until_it_is_cleared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tracker_drops_trigger_times_of_one_service,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_tracker_keeps_a_bounded_number_of_trigger_times, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
