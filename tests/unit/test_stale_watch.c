/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When what the API server told may be out of date, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/reflector.h"
#include "http/health.h"
#include "kproxy/err.h"

#define START 1000000
#define MINUTE 60000

static uint32_t no_chance(void *arg, uint32_t n)
{
	(void)arg, (void)n;
	return 0;
}

static void init(struct kp_reflector *r, bool optional)
{
	const struct kp_reflector_settings settings = {
		.selection = {.path = "/s", .label_selector = "x", .optional = optional},
		.random = {.below = no_chance}};

	kp_reflector_init(r, &settings, START);
}

static void begin_watch(struct kp_reflector *r, uint64_t now)
{
	free(kp_reflector_request(r, now));
	kp_reflector_alive(r, now);
	assert_int_equal(kp_reflector_listed(r, now, "7", ""), KP_LIST_COMPLETE);
	free(kp_reflector_request(r, now));
	kp_reflector_alive(r, now);
}

static void bookmark(struct kp_reflector *r, uint64_t now)
{
	kp_reflector_alive(r, now);
	kp_reflector_event(r, now, KP_EVENT_BOOKMARK, "8", false);
}

static void test_stale_watch_without_bookmarks_may_be_silent_to_its_end(void **state)
{
	struct kp_reflector r;

	(void)state;
	init(&r, false);
	begin_watch(&r, START);
	assert_false(kp_reflector_is_stale(&r, START + 10 * MINUTE + MINUTE));
	assert_true(kp_reflector_is_stale(&r, START + 10 * MINUTE + MINUTE + 1));
}

static void test_stale_watch_with_bookmarks_after_three_minutes(void **state)
{
	struct kp_reflector r;
	uint64_t last = START + 5 * MINUTE;

	(void)state;
	init(&r, false);
	begin_watch(&r, START);
	bookmark(&r, last);
	assert_false(kp_reflector_is_stale(&r, last + 3 * MINUTE));
	assert_true(kp_reflector_is_stale(&r, last + 3 * MINUTE + 1));
}

/* A request that is sent, and fails, is no sign of life. */
static void test_stale_watch_of_a_server_that_is_away(void **state)
{
	const struct kp_end end = {.kind = KP_END_BROKEN};
	struct kp_reflector r;

	(void)state;
	init(&r, false);
	begin_watch(&r, START);
	bookmark(&r, START);
	for (uint64_t now = START; now <= START + 3 * MINUTE; now += MINUTE) {
		kp_reflector_end(&r, now, &end);
		assert_false(kp_reflector_is_stale(&r, now));
		free(kp_reflector_request(&r, now));
	}
	kp_reflector_end(&r, START + 4 * MINUTE, &end);
	assert_true(kp_reflector_is_stale(&r, START + 4 * MINUTE));
	free(kp_reflector_request(&r, START + 5 * MINUTE));
	kp_reflector_alive(&r, START + 5 * MINUTE);
	assert_false(kp_reflector_is_stale(&r, START + 5 * MINUTE));
}

static void test_stale_watch_not_of_what_the_server_lacks(void **state)
{
	const struct kp_end end = {.kind = KP_END_NOT_FOUND};
	struct kp_reflector r;

	(void)state;
	init(&r, true);
	for (uint64_t now = START; now < START + 100 * MINUTE; now = r.due_ms) {
		free(kp_reflector_request(&r, now));
		assert_false(kp_reflector_is_stale(&r, now));
		kp_reflector_end(&r, now, &end);
		assert_false(kp_reflector_is_stale(&r, now + 1000 * MINUTE));
	}
}

static unsigned int status(const struct kp_health *health, const char *path, bool *ret_stale)
{
	struct kp_http_answer answer = {0};
	json_auto_t *json = NULL;

	kp_health_answer(health, path, 0, 1700000000000000, &answer);
	json = json_loadb(answer.body, answer.size, 0, NULL);
	*ret_stale = json_is_true(json_object_get(
		json_object_get(json_object_get(json, "watches"), "services"), "stale"));
	free(answer.body);
	return answer.status;
}

/* Load balancers and the kubelet's restarts do not depend on the API server (SY-16). */
static void test_stale_watch_matters_to_readyz_only(void **state)
{
	struct kp_health h = {.timeout_us = 1, .updated_us = 1};
	struct kp_watch watches[KP_N_KINDS];
	bool stale;

	(void)state;
	for (int i = 0; i < KP_N_KINDS; i++)
		watches[i] = (struct kp_watch){.resource = "nodes"};
	watches[0].resource = "services";
	kp_health_note_watches(&h, watches);
	assert_int_equal(status(&h, "/readyz", &stale), 200);
	assert_false(stale);
	watches[0].stale = true;
	kp_health_note_watches(&h, watches);
	assert_int_equal(status(&h, "/readyz", &stale), 503);
	assert_true(stale);
	assert_int_equal(status(&h, "/healthz", &stale), 200);
	assert_true(stale);
	assert_int_equal(status(&h, "/livez", &stale), 200);
	assert_true(stale);
}

static void test_stale_watch_is_not_told_of_manifests(void **state)
{
	struct kp_health h = {.timeout_us = 1, .updated_us = 1};
	struct kp_http_answer answer = {0};

	(void)state;
	kp_health_answer(&h, "/readyz", 0, 1, &answer);
	assert_int_equal(answer.status, 200);
	assert_null(strstr(answer.body, "watches"));
	free(answer.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stale_watch_without_bookmarks_may_be_silent_to_its_end),
		cmocka_unit_test(test_stale_watch_with_bookmarks_after_three_minutes),
		cmocka_unit_test(test_stale_watch_of_a_server_that_is_away),
		cmocka_unit_test(test_stale_watch_not_of_what_the_server_lacks),
		cmocka_unit_test(test_stale_watch_matters_to_readyz_only),
		cmocka_unit_test(test_stale_watch_is_not_told_of_manifests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
