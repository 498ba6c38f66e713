/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One classifier for the status of an answer and for ERROR events. */
#include "api/end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum kp_end_kind answer(int http_status, const char *body)
{
	struct kp_end end;

	kp_end_from_answer(http_status, 0, body, strlen(body), &end);
	return end.kind;
}

static enum kp_end_kind event(const char *status)
{
	json_auto_t *json = json_loads(status, 0, NULL);
	struct kp_end end;

	assert_non_null(json);
	kp_end_from_status(json, 0, 0, &end);
	return end.kind;
}

static void test_end_classifies_by_status_what_is_no_status(void **state)
{
	(void)state;
	assert_int_equal(answer(400, ""), KP_END_REFUSED);
	assert_int_equal(answer(401, "<html>"), KP_END_UNAUTHORIZED);
	assert_int_equal(answer(403, "[]"), KP_END_FORBIDDEN);
	assert_int_equal(answer(404, "{}"), KP_END_NOT_FOUND);
	assert_int_equal(answer(410, "x"), KP_END_EXPIRED);
	assert_int_equal(answer(422, "x"), KP_END_REFUSED);
	assert_int_equal(answer(429, "Too many requests"), KP_END_BUSY);
	assert_int_equal(answer(500, ""), KP_END_SERVER_ERROR);
	assert_int_equal(answer(504, ""), KP_END_SERVER_ERROR);
	assert_int_equal(answer(302, ""), KP_END_UNUSABLE);
	assert_int_equal(answer(406, ""), KP_END_UNUSABLE);
	assert_int_equal(answer(415, ""), KP_END_UNUSABLE);
}

static void test_end_reads_the_status_of_answers_and_events_alike(void **state)
{
	static const struct {
		const char *status;
		enum kp_end_kind kind;
	} cases[] = {
		{"{\"kind\":\"Status\",\"reason\":\"Expired\",\"code\":410}", KP_END_EXPIRED},
		{"{\"kind\":\"Status\",\"reason\":\"Gone\"}", KP_END_EXPIRED},
		{"{\"kind\":\"Status\",\"reason\":\"Timeout\",\"code\":504,\"details\":{\"causes\":"
		 "[{\"reason\":\"ResourceVersionTooLarge\"}],\"retryAfterSeconds\":1}}",
		 KP_END_TOO_NEW},
		{"{\"kind\":\"Status\",\"code\":504,\"message\":\"Timeout: Too large resource "
		 "version: 9, current: 1\"}",
		 KP_END_TOO_NEW},
		{"{\"kind\":\"Status\",\"reason\":\"TooManyRequests\",\"code\":429}", KP_END_BUSY},
		{"{\"kind\":\"Status\",\"code\":500,\"details\":{\"retryAfterSeconds\":3}}",
		 KP_END_BUSY},
		{"{\"kind\":\"Status\",\"reason\":\"InternalError\",\"code\":500}",
		 KP_END_SERVER_ERROR},
		{"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"code\":403}", KP_END_FORBIDDEN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(event(cases[i].status), cases[i].kind);
		assert_int_equal(answer(500, cases[i].status), cases[i].kind);
	}
}

static void test_end_takes_an_odd_error_event_for_a_server_error(void **state)
{
	(void)state;
	assert_int_equal(event("{}"), KP_END_SERVER_ERROR);
	assert_int_equal(event("{\"code\":\"x\",\"details\":[],\"message\":7}"),
			 KP_END_SERVER_ERROR);
	assert_int_equal(event("[]"), KP_END_SERVER_ERROR);
}

static void test_end_clamps_retry_after(void **state) /* RF-19 */
{
	(void)state;
	assert_int_equal(kp_end_parse_retry_after(" 17\r\n"), 17);
	assert_int_equal(kp_end_parse_retry_after("0"), 1);
	assert_int_equal(kp_end_parse_retry_after("3600"), 60);
	assert_int_equal(kp_end_parse_retry_after("99999999999999999999"), 60);
	assert_int_equal(kp_end_parse_retry_after("Sat, 21 Nov 2026 09:37:35 GMT"), 0);
	assert_int_equal(kp_end_parse_retry_after("5x"), 0);
	assert_int_equal(kp_end_parse_retry_after("-5"), 0);
	assert_int_equal(kp_end_parse_retry_after(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_classifies_by_status_what_is_no_status),
		cmocka_unit_test(test_end_reads_the_status_of_answers_and_events_alike),
		cmocka_unit_test(test_end_takes_an_odd_error_event_for_a_server_error),
		cmocka_unit_test(test_end_clamps_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
