/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time stamps and durations as Kubernetes writes them. */
#include "util/time.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_time_reads_what_kubernetes_writes(void **state)
{
	(void)state;
	assert_int_equal(kp_time_parse_us("1970-01-01T00:00:01Z"), 1000000);
	assert_int_equal(kp_time_parse_us("1970-01-01T00:00:01.5Z"), 1500000);
	assert_int_equal(kp_time_parse_us("2024-02-29T12:00:00.123456789Z"), 1709208000123456);
	assert_int_equal(kp_time_parse_us("1970-01-01T01:00:01+01:00"), 1000000);
	assert_int_equal(kp_time_parse_us("1969-12-31T22:30:01.25-01:30"), 1250000);
}

static void test_time_is_zero_for_anything_else(void **state)
{
	static const char *const texts[] = {"",
					    "now",
					    "2024-02-29",
					    "2024-02-29T12:00:00",
					    "2024-02-29T12:00:00.5",
					    "2024-02-29T12:00:00Zx",
					    "2024-02-29T12:00:00+0100x"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(kp_time_parse_us(texts[i]), 0);
}

static void test_time_writes_rfc_3339(void **state)
{
	char buf[KP_TIME_TEXT_SIZE];

	(void)state;
	assert_string_equal(kp_time_text(1709208000123456, buf), "2024-02-29T12:00:00.123456Z");
	assert_string_equal(kp_time_text(0, buf), "0001-01-01T00:00:00Z");
}

static void test_duration_reads_what_go_writes(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {{"0", 0},	     {"0s", 0},		{"30s", 30000},	   {"1m30s", 90000},
		     {"250ms", 250}, {"1.5h", 5400000}, {"15m0s", 900000}, {"1h0m0s", 3600000},
		     {"2000us", 2},  {"3000000ns", 3}};
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(kp_duration_parse_ms(cases[i].text, &ms), 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void test_duration_refuses_anything_else(void **state)
{
	static const char *const texts[] = {"",	   "30", "s",	  "-1s",  "1 s",     "1e3s",
					    "inf", "1x", "1..2s", "30s ", "9999999h"};
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(kp_duration_parse_ms(texts[i], &ms), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_reads_what_kubernetes_writes),
		cmocka_unit_test(test_time_is_zero_for_anything_else),
		cmocka_unit_test(test_time_writes_rfc_3339),
		cmocka_unit_test(test_duration_reads_what_go_writes),
		cmocka_unit_test(test_duration_refuses_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
