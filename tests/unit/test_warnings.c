/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Warning headers of the API server (RF-20). */
#include "api/warnings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_warnings_are_told_once(void **state)
{
	struct kp_warnings w = {0};

	(void)state;
	assert_string_equal(kp_warnings_add(&w, "299 - \"v1 is old\""), "v1 is old");
	assert_null(kp_warnings_add(&w, "299 - \"v1 is old\""));
	assert_null(kp_warnings_add(&w, " 299 kube \"v1 is old\" \"Wed, 21 Oct 2026\""));
	assert_string_equal(kp_warnings_add(&w, "299 - \"a \\\"b\\\" \\\\c\""), "a \"b\" \\c");
	kp_warnings_clear(&w);
}

static void test_warnings_of_another_form_are_ignored(void **state)
{
	static const char *const values[] = {
		"",	      "299",	   "299 - text", "110 - \"old\"", "299 - \"open",
		"299 - \"\"", "299 - \"\\"};
	struct kp_warnings w = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_null(kp_warnings_add(&w, values[i]));
	assert_int_equal(w.n, 0);
}

static void test_warnings_are_bounded(void **state)
{
	char value[2 * KP_WARNING_SIZE];
	struct kp_warnings w = {0};

	(void)state;
	for (int i = 0; i < 2 * KP_WARNINGS_MAX; i++) {
		snprintf(value, sizeof(value), "299 - \"%d\"", i);
		kp_warnings_add(&w, value);
	}
	assert_int_equal(w.n, KP_WARNINGS_MAX);
	kp_warnings_clear(&w);
	snprintf(value, sizeof(value), "299 - \"%0*d\"", KP_WARNING_SIZE, 1);
	assert_null(kp_warnings_add(&w, value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_warnings_are_told_once),
		cmocka_unit_test(test_warnings_of_another_form_are_ignored),
		cmocka_unit_test(test_warnings_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
