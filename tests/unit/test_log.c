/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the log: what is quoted, both forms, and that one reads back what was meant. */
#include "kproxy/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "kproxy/err.h"
#include "util/log_json.h"

/* Runs 'statement' with stderr in a file, and puts what it wrote into 'text'. */
#define CAPTURE(text, statement)                                \
	do {                                                    \
		FILE *file_ = tmpfile();                        \
		int stderr_ = dup(STDERR_FILENO);               \
		size_t n_;                                      \
                                                                \
		dup2(fileno(file_), STDERR_FILENO);             \
		statement;                                      \
		dup2(stderr_, STDERR_FILENO);                   \
		close(stderr_);                                 \
		rewind(file_);                                  \
		n_ = fread((text), 1, sizeof(text) - 1, file_); \
		(text)[n_] = 0;                                 \
		fclose(file_);                                  \
	} while (0)

static int text_format(void **state)
{
	(void)state;
	kp_log_set_format(KP_LOG_TEXT);
	kp_log_set_level(KP_LOG_INFO);
	return 0;
}

static void test_log_text_is_time_level_module_message_and_pairs(void **state)
{
	char text[4096], time[64], rest[256];

	(void)state;
	CAPTURE(text, kp_log_info("sync", "sync done", "ops=%d name=%s", 4, kp_log_quote("a b")));
	assert_int_equal(sscanf(text, "time=%63s %255[^\n]", time, rest), 2);
	assert_int_equal(strlen(time), strlen("2026-01-02T03:04:05.678901Z"));
	assert_string_equal(rest, "level=info module=sync msg=\"sync done\" ops=4 name=\"a b\"");
	CAPTURE(text, kp_log_info("sync", "alone", NULL));
	assert_string_equal(strchr(text, ' '), " level=info module=sync msg=\"alone\"\n");
}

static void test_log_leaves_out_what_is_above_the_level(void **state)
{
	char text[4096];

	(void)state;
	CAPTURE(text, kp_log_debug("sync", "hidden", NULL));
	assert_string_equal(text, "");
	kp_log_set_level(KP_LOG_DEBUG);
	CAPTURE(text, kp_log_debug("sync", "shown", NULL));
	assert_non_null(strstr(text, "shown"));
	kp_log_set_level(KP_LOG_WARN);
	CAPTURE(text, kp_log_debug("sync", "hidden", NULL));
	assert_string_equal(text, "");
}

static void test_log_quotes_what_could_spoil_a_line_or_a_terminal(void **state)
{
	static const char *const cases[][2] = {
		{"plain", "\"plain\""},
		{"", "\"\""},
		{"say \"\\\"", "\"say \\\"\\\\\\\"\""},
		{"a\nlevel=error", "\"a\\x0alevel=error\""},
		{"\x1b[2J\x7f", "\"\\x1b[2J\\x7f\""},
		{"b\xc3\xa4r \xe2\x82\xac \xf0\x9f\x90\xa7",
		 "\"b\xc3\xa4r \xe2\x82\xac \xf0\x9f\x90\xa7\""},
		{"\xc2\x9b[2J", "\"\\xc2\\x9b[2J\""}, /* CSI in one character */
		{"\xff\xc3", "\"\\xff\\xc3\""},
		{"\xc0\xaf", "\"\\xc0\\xaf\""},			  /* '/', too long */
		{"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},	  /* half of a pair */
		{"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""}, /* beyond Unicode */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(kp_log_quote(cases[i][0]), cases[i][1]);
	assert_string_equal(kp_log_quote(NULL), "\"\"");
}

static void test_log_cuts_long_text_between_characters(void **state)
{
	char euros[3 * 500 + 1] = "";
	const char *quoted;
	size_t len;

	(void)state;
	for (int i = 0; i < 500; i++)
		strcat(euros, "\xe2\x82\xac");
	for (int shift = 0; shift < 3; shift++) {
		kp_autofree char *text = kp_xasprintf("%.*s%s", shift, "ab", euros);

		quoted = kp_log_quote(text);
		len = strlen(quoted);
		assert_true(len > 1000 && len < 1024);
		assert_string_equal(quoted + len - 4, "...\"");
		assert_int_equal((len - 5 - shift) % 3, 0);
	}
}

/* The value of a pair in JSON, as JSON text. */
static const char *value_of(const char *pairs)
{
	static char text[4096];
	kp_autofree char *line = kp_log_json(0, "info", "m", "x", pairs), *dumped = NULL;
	json_auto_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(json);
	dumped = json_dumps(json_object_get(json, "k"), JSON_ENCODE_ANY | JSON_COMPACT);
	snprintf(text, sizeof(text), "%s", dumped);
	return text;
}

static void test_log_json_has_kubernetes_time_and_values_of_their_type(void **state)
{
	kp_autofree char *line = kp_log_json(1767323045678901, "warn", "api", "it \"fails\"",
					     "n=4 s=a/b q=\"x y\"");

	(void)state;
	assert_string_equal(line,
			    "{\"ts\":1767323045678.901,\"level\":\"warn\",\"module\":\"api\","
			    "\"msg\":\"it \\\"fails\\\"\",\"n\":4,\"s\":\"a/b\",\"q\":\"x y\"}");
}

static void test_log_json_numbers(void **state)
{
	(void)state;
	assert_string_equal(value_of("k=0"), "0");
	assert_string_equal(value_of("k=-12"), "-12");
	assert_string_equal(value_of("k=999999999999999999"), "999999999999999999");
	assert_string_equal(value_of("k=1000000000000000000000"), "\"1000000000000000000000\"");
	assert_string_equal(value_of("k=1.30"), "\"1.30\"");
	assert_string_equal(value_of("k=007"), "\"007\"");
	assert_string_equal(value_of("k=-"), "\"-\"");
	assert_string_equal(value_of("k=10.0.0.1:80"), "\"10.0.0.1:80\"");
	assert_string_equal(value_of("k=\"7\""), "\"7\"");
	assert_string_equal(value_of("k="), "\"\"");
}

static void test_log_json_undoes_the_escapes(void **state)
{
	static const char *const cases[][2] = {
		{"say \"\\\"", "\"say \\\"\\\\\\\"\""}, {"a\nb\x01", "\"a\\nb\\u0001\""},
		{"\xe2\x82\xac", "\"\xe2\x82\xac\""},	{"x\xffy", "\"x\xef\xbf\xbdy\""},
		{"k=v \"k=w", "\"k=v \\\"k=w\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kp_autofree char *pair = kp_xasprintf("k=%s", kp_log_quote(cases[i][0]));

		assert_string_equal(value_of(pair), cases[i][1]);
	}
}

static void test_log_json_of_pairs_that_were_cut_off(void **state)
{
	(void)state;
	assert_string_equal(value_of("a=1 k=\"unfinis"), "\"unfinis\"");
	assert_string_equal(value_of("k=\"a\\"), "\"a\"");
	assert_string_equal(value_of("k=\"a\\x0"), "\"ax0\"");
	assert_string_equal(value_of("k=\"a\xe2\x82"), "\"a\"");
	assert_string_equal(value_of("a=1 k"), "null");
}

static void test_log_json_is_one_object_a_line(void **state)
{
	char text[8192], garbage[3000];
	json_auto_t *json = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) - 1; i++)
		garbage[i] = 1 + i % 255;
	garbage[sizeof(garbage) - 1] = 0;
	kp_log_set_format(KP_LOG_JSON);
	CAPTURE(text, kp_log_info("m", garbage, "a=%s b=%s c=%s", kp_log_quote(garbage),
				  kp_log_quote(garbage), kp_log_quote(garbage)));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "level")), "info");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_log_text_is_time_level_module_message_and_pairs,
				       text_format),
		cmocka_unit_test_setup(test_log_leaves_out_what_is_above_the_level, text_format),
		cmocka_unit_test(test_log_quotes_what_could_spoil_a_line_or_a_terminal),
		cmocka_unit_test(test_log_cuts_long_text_between_characters),
		cmocka_unit_test(test_log_json_has_kubernetes_time_and_values_of_their_type),
		cmocka_unit_test(test_log_json_numbers),
		cmocka_unit_test(test_log_json_undoes_the_escapes),
		cmocka_unit_test(test_log_json_of_pairs_that_were_cut_off),
		cmocka_unit_test_setup(test_log_json_is_one_object_a_line, text_format),
	};

	unsetenv("JOURNAL_STREAM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
