/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the next sync is due (SY-4, SY-5). */
#include "schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HOUR_MS 3600000
#define START 5000

static void test_schedule_full_sync_an_hour_after_the_last_one(void **state)
{
	struct kp_schedule s = {.retry_max_ms = 30000};

	(void)state;
	assert_int_equal(s.full_ms, 0);
	kp_schedule_succeeded(&s, START, true);
	assert_int_equal(s.full_ms, START + HOUR_MS);
	kp_schedule_succeeded(&s, START + 10, false); /* of a change: does not count */
	assert_int_equal(s.full_ms, START + HOUR_MS);
	kp_schedule_succeeded(&s, START + 20, true); /* a repair does */
	assert_int_equal(s.full_ms, START + 20 + HOUR_MS);
}

static void test_schedule_hour_does_not_depend_on_the_sync_period(void **state)
{
	struct kp_schedule s = {.retry_max_ms = 1};

	(void)state;
	kp_schedule_succeeded(&s, START, true);
	assert_int_equal(s.full_ms, START + HOUR_MS);
}

static void test_schedule_retries_at_once_then_with_growing_delays(void **state)
{
	static const unsigned int delays[] = {0,    200,   400,	  800,	 1600, 3200,
					      6400, 12800, 25600, 30000, 30000};
	struct kp_schedule s = {.retry_max_ms = 30000};
	uint64_t now = START;

	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		kp_schedule_failed(&s, now, i > 0);
		assert_int_equal(s.retry_ms - now, delays[i]);
		now = s.retry_ms;
	}
	kp_schedule_succeeded(&s, now, true);
	kp_schedule_failed(&s, now, true);
	assert_int_equal(s.retry_ms - now, 100);
}

static void test_schedule_retries_within_the_sync_period(void **state)
{
	struct kp_schedule s = {.retry_max_ms = 50};

	(void)state;
	for (int i = 0; i < 100; i++) {
		kp_schedule_failed(&s, START, true);
		assert_int_equal(s.retry_ms, START + 50);
	}
}

static void test_schedule_change_is_due_at_once(void **state)
{
	struct kp_schedule s = {.retry_max_ms = 30000};

	(void)state;
	assert_int_equal(kp_schedule_change(&s, START), START);
	kp_schedule_succeeded(&s, START, true);
	assert_int_equal(kp_schedule_change(&s, START), START);
}

static void test_schedule_change_brings_a_retry_forward(void **state)
{
	struct kp_schedule s = {.retry_max_ms = 30000};

	(void)state;
	for (int i = 0; i < 10; i++)
		kp_schedule_failed(&s, START, true);
	assert_int_equal(s.retry_ms, START + 30000);
	assert_int_equal(kp_schedule_change(&s, START), START + 1000);
	assert_int_equal(kp_schedule_change(&s, START + 999), START + 1000);
	assert_int_equal(kp_schedule_change(&s, START + 7000), START + 7000);
}

static void test_schedule_change_does_not_put_a_retry_off(void **state)
{
	struct kp_schedule s = {.retry_max_ms = 30000};

	(void)state;
	kp_schedule_failed(&s, START, true);
	assert_int_equal(kp_schedule_change(&s, START + 1), START + 100);
	assert_int_equal(kp_schedule_change(&s, START + 101), START + 101); /* overdue */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule_full_sync_an_hour_after_the_last_one),
		cmocka_unit_test(test_schedule_hour_does_not_depend_on_the_sync_period),
		cmocka_unit_test(test_schedule_retries_at_once_then_with_growing_delays),
		cmocka_unit_test(test_schedule_retries_within_the_sync_period),
		cmocka_unit_test(test_schedule_change_is_due_at_once),
		cmocka_unit_test(test_schedule_change_brings_a_retry_forward),
		cmocka_unit_test(test_schedule_change_does_not_put_a_retry_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
