/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a proxy is healthy (HZ-3 ... HZ-7). */
#include "http/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum {
	TIMEOUT = 100
};

static unsigned int status(const struct kp_health *health, const char *path, int64_t now_us)
{
	struct kp_http_answer answer = {0};

	kp_health_answer(health, path, now_us, 1, &answer);
	free(answer.body);
	return answer.status;
}

static void test_health_counts_from_the_oldest_change(void **state)
{
	struct kp_health h = {.timeout_us = TIMEOUT};

	(void)state;
	kp_health_queued(&h, 10);
	kp_health_queued(&h, 90);
	assert_true(kp_health_is_live(&h, 109));
	assert_false(kp_health_is_live(&h, 110));
	kp_health_updated(&h, 1);
	assert_true(kp_health_is_live(&h, 111));
	kp_health_queued(&h, 111);
	assert_true(kp_health_is_live(&h, 210));
	assert_false(kp_health_is_live(&h, 211));
}

static void test_health_of_the_idle_is_good(void **state)
{
	struct kp_health h = {.timeout_us = TIMEOUT};

	(void)state;
	assert_true(kp_health_is_live(&h, 1000000));
	kp_health_queued(&h, 1000000);
	kp_health_updated(&h, 1);
	assert_true(kp_health_is_live(&h, 9000000));
}

static void test_health_before_the_first_sync(void **state)
{
	struct kp_health h = {.timeout_us = TIMEOUT};

	(void)state;
	assert_int_equal(status(&h, "/healthz", 0), 200);
	assert_int_equal(status(&h, "/livez", 0), 200);
	assert_int_equal(status(&h, "/readyz", 0), 503);
	kp_health_queued(&h, 0);
	assert_int_equal(status(&h, "/livez", TIMEOUT), 503);
	kp_health_updated(&h, 1);
	assert_int_equal(status(&h, "/readyz", TIMEOUT), 200);
}

static void test_health_of_the_node_matters_to_healthz_only(void **state)
{
	struct kp_health h = {.timeout_us = TIMEOUT, .updated_us = 1};
	struct kp_node node = {.eligible = true};

	(void)state;
	kp_health_note_node(&h, NULL);
	assert_int_equal(status(&h, "/healthz", 0), 200); /* never seen */
	kp_health_note_node(&h, &node);
	assert_int_equal(status(&h, "/healthz", 0), 200);
	node.eligible = false;
	kp_health_note_node(&h, &node);
	assert_int_equal(status(&h, "/healthz", 0), 503);
	assert_int_equal(status(&h, "/livez", 0), 200);
	assert_int_equal(status(&h, "/readyz", 0), 200);
	node.eligible = true;
	kp_health_note_node(&h, &node);
	assert_int_equal(status(&h, "/healthz", 0), 200);
	kp_health_note_node(&h, NULL); /* deleted */
	assert_int_equal(status(&h, "/healthz", 0), 503);
}

static void test_health_has_no_other_paths(void **state)
{
	struct kp_health h = {.timeout_us = TIMEOUT};

	(void)state;
	assert_int_equal(status(&h, "/", 0), 404);
	assert_int_equal(status(&h, "/healthz/", 0), 404);
	assert_int_equal(status(&h, "/metrics", 0), 404);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health_counts_from_the_oldest_change),
		cmocka_unit_test(test_health_of_the_idle_is_good),
		cmocka_unit_test(test_health_before_the_first_sync),
		cmocka_unit_test(test_health_of_the_node_matters_to_healthz_only),
		cmocka_unit_test(test_health_has_no_other_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
