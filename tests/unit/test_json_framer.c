/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cutting objects out of JSON as it arrives. */
#include "decode/json_framer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kproxy/err.h"

/* What was found: "document.object@line:text|" or "document.object@line!reason|". */
static char found[1024];

static void note(const struct kp_place *place, char kind, const char *text, int size)
{
	size_t len = strlen(found);

	snprintf(found + len, sizeof(found) - len, "%u.%u@%u%c%.*s|", place->document,
		 place->object, place->line, kind, size > 64 ? 64 : size, text);
}

static void on_object(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	(void)arg;
	note(place, ':', text, size);
}

static void on_list(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	(void)arg;
	note(place, '=', text, size);
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	(void)arg;
	note(place, '!', reason, strlen(reason));
}

static struct kp_json_framer *new_framer(void)
{
	const struct kp_json_framer_handler handler = {.object = on_object, .error = on_error};

	found[0] = 0;
	return kp_json_framer_new(&handler);
}

static struct kp_json_framer *new_list_framer(void)
{
	const struct kp_json_framer_handler handler = {
		.object = on_object, .list = on_list, .error = on_error};

	found[0] = 0;
	return kp_json_framer_new(&handler);
}

/* Feeds in pieces of 'step' bytes and returns what was found. */
static const char *cut_with(struct kp_json_framer *framer, const char *text, size_t step)
{
	size_t size = strlen(text);
	int r = 0;

	for (size_t i = 0; i < size && r == 0; i += step) {
		/* A copy of its own, so that reading outside of it is noticed. */
		size_t n = size - i < step ? size - i : step;
		char *piece = kp_xmalloc(n);

		memcpy(piece, text + i, n);
		r = kp_json_framer_feed(framer, piece, n);
		free(piece);
	}
	kp_json_framer_finish(framer);
	kp_json_framer_free(framer);
	return found;
}

/* The result must not depend on where the stream is cut. */
static void assert_cut(const char *text, const char *expected)
{
	assert_string_equal(cut_with(new_framer(), text, strlen(text) + 1), expected);
	for (size_t step = 1; step < 9; step++)
		assert_string_equal(cut_with(new_framer(), text, step), expected);
}

static void assert_cut_list(const char *text, const char *expected)
{
	assert_string_equal(cut_with(new_list_framer(), text, strlen(text) + 1), expected);
	for (size_t step = 1; step < 9; step++)
		assert_string_equal(cut_with(new_list_framer(), text, step), expected);
}

static void test_json_framer_yields_a_single_object(void **state)
{
	(void)state;
	assert_cut(" {\"a\": [1, {\"b\": 2}]}\n", "1.1@1:{\"a\": [1, {\"b\": 2}]}|");
}

static void test_json_framer_yields_items_without_their_list(void **state)
{
	(void)state;
	assert_cut(
		"{\"kind\":\"List\",\"items\":[{\"a\":1},\n{\"b\":[2]}],\"metadata\":{\"x\":[]}}",
		"1.1@1:{\"a\":1}|1.2@2:{\"b\":[2]}|");
}

static void test_json_framer_yields_nothing_for_an_empty_list(void **state)
{
	(void)state;
	assert_cut("{\"items\":[]}", "");
	assert_cut("", "");
	assert_cut(" \n\t", "");
}

static void test_json_framer_yields_the_list_behind_its_items(void **state)
{
	(void)state;
	assert_cut_list("{\"m\":{\"v\":\"7\"},\"items\":[{\"a\":1},{}]}",
			"1.1@1:{\"a\":1}|1.2@1:{}|1.0@1={\"m\":{\"v\":\"7\"},\"items\":[]}|");
	assert_cut_list("{\"items\":[{}],\"m\":{\"v\":\"7\"}}{\"b\":2}",
			"1.1@1:{}|1.0@1={\"items\":[],\"m\":{\"v\":\"7\"}}|2.1@1:{\"b\":2}|");
	assert_cut_list("{\"items\":[]}{\"items\":[]}",
			"1.0@1={\"items\":[]}|2.0@1={\"items\":[]}|");
}

static void test_json_framer_leaves_unused_fields_out(void **state)
{
	(void)state;
	assert_cut("{\"m\":{\"managedFields\":[{\"f\":{\"]\":[]}}, []],\"n\":1}}",
		   "1.1@1:{\"m\":{\"managedFields\":[],\"n\":1}}|");
	assert_cut("{\"items\":[{\"m\":{\"managedFields\" : [1]}},{\"n\":[2]}]}",
		   "1.1@1:{\"m\":{\"managedFields\" : []}}|1.2@1:{\"n\":[2]}|");
	assert_cut("{\"managedFields\":\"x\",\"l\":[\"managedFieldsX\",[1]]}",
		   "1.1@1:{\"managedFields\":\"x\",\"l\":[\"managedFieldsX\",[1]]}|");
	assert_cut("{\"e\":[{\"targetRef\":{\"a\":{}},\"b\":{\"targetRef\":null}}]}",
		   "1.1@1:{\"e\":[{\"targetRef\":{},\"b\":{\"targetRef\":null}}]}|");
	/* Values are no keys, whatever they say. */
	assert_cut(
		"{\"e\":[{\"z\":\"targetRef\"},{\"b\":1}],\"l\":[\"targetRef\",{\"c\":2}]}",
		"1.1@1:{\"e\":[{\"z\":\"targetRef\"},{\"b\":1}],\"l\":[\"targetRef\",{\"c\":2}]}|");
}

static void test_json_framer_takes_an_object_whose_items_are_no_array(void **state)
{
	(void)state;
	assert_cut("{\"items\":null}", "1.1@1:{\"items\":null}|");
	assert_cut("{\"items\":{\"a\":[]}}", "1.1@1:{\"items\":{\"a\":[]}}|");
	assert_cut("{\"a\":\"items\",\"b\":[{}]}", "1.1@1:{\"a\":\"items\",\"b\":[{}]}|");
	assert_cut("{\"a\":{\"items\":[{}]}}", "1.1@1:{\"a\":{\"items\":[{}]}}|");
	assert_cut("{\"itemsX\":[{}]}", "1.1@1:{\"itemsX\":[{}]}|");
}

static void test_json_framer_yields_items_of_a_second_array(void **state)
{
	(void)state;
	assert_cut("{\"items\":[{}],\"items\":[{\"a\":1}]}", "1.1@1:{}|1.2@1:{\"a\":1}|");
}

static void test_json_framer_takes_objects_one_behind_the_other(void **state)
{
	(void)state;
	assert_cut("{\"a\":1}{\"items\":[{}]}\n\n{\"c\":3}",
		   "1.1@1:{\"a\":1}|2.1@1:{}|3.1@3:{\"c\":3}|");
}

static void test_json_framer_is_not_misled_by_strings(void **state)
{
	(void)state;
	assert_cut("{\"a}\\\"{[\":\"]}\\\\\"}", "1.1@1:{\"a}\\\"{[\":\"]}\\\\\"}|");
	assert_cut("{\"k\":{\"a\":\"\\\\\\\"}\"}}", "1.1@1:{\"k\":{\"a\":\"\\\\\\\"}\"}}|");
}

static void test_json_framer_stops_at_garbage(void **state)
{
	(void)state;
	assert_cut("{}\nx{}", "1.1@1:{}|2.0@2!JSON: expected an object|");
	assert_cut("[{}]", "1.0@1!JSON: expected an object|");
	assert_cut("{}}", "1.1@1:{}|2.0@1!JSON: unexpected '}'|");
	assert_cut("{\"a\":[1}", "1.0@1!JSON: unexpected '}'|");
	assert_cut("{\"items\":[{},1,{}]}", "1.1@1:{}|1.0@1!JSON: expected an object in items|");
}

static void test_json_framer_reports_a_truncated_stream(void **state)
{
	(void)state;
	assert_cut("{\"items\":[{},\n{\"a\":",
		   "1.1@1:{}|1.0@2!JSON: ends before everything is closed|");
	assert_cut("{\"a\":\"x", "1.0@1!JSON: ends before everything is closed|");
}

static void test_json_framer_ignores_what_follows_an_error(void **state)
{
	struct kp_json_framer *framer = new_framer();

	(void)state;
	assert_int_equal(kp_json_framer_feed(framer, "]", 1), -EBADMSG);
	assert_int_equal(kp_json_framer_feed(framer, "{}", 2), -EBADMSG);
	assert_int_equal(kp_json_framer_finish(framer), -EBADMSG);
	assert_string_equal(found, "1.0@1!JSON: unexpected ']'|");
	kp_json_framer_free(framer);
}

static void feed_deep(struct kp_json_framer *framer, unsigned int depth)
{
	kp_json_framer_feed(framer, "{\"a\":", 5);
	for (unsigned int i = 1; i < depth; i++)
		kp_json_framer_feed(framer, "[", 1);
	for (unsigned int i = 1; i < depth; i++)
		kp_json_framer_feed(framer, "]", 1);
	kp_json_framer_feed(framer, "}", 1);
}

static void test_json_framer_limits_the_depth(void **state)
{
	struct kp_json_framer *framer = new_framer();

	(void)state;
	feed_deep(framer, KP_OBJECT_MAX_DEPTH);
	assert_null(strchr(found, '!'));
	feed_deep(framer, KP_OBJECT_MAX_DEPTH + 1);
	assert_non_null(strstr(found, "|2.0@1!" KP_OBJECT_TOO_DEEP));
	kp_json_framer_free(framer);
}

/* An object of exactly 'size' bytes in chunks of 64 KiB. */
static void feed_large(struct kp_json_framer *framer, size_t size)
{
	static char chunk[64 << 10];
	size_t rest = size - strlen("{\"a\":\"\"}");

	memset(chunk, 'x', sizeof(chunk));
	kp_json_framer_feed(framer, "{\"a\":\"", 6);
	for (size_t n; rest > 0; rest -= n) {
		n = rest < sizeof(chunk) ? rest : sizeof(chunk);
		kp_json_framer_feed(framer, chunk, n);
	}
	kp_json_framer_feed(framer, "\"}", 2);
}

static void test_json_framer_passes_over_a_larger_object(void **state)
{
	struct kp_json_framer *framer = new_framer();

	(void)state;
	kp_json_framer_feed(framer, "{\"items\":[", 10);
	feed_large(framer, KP_OBJECT_MAX_BYTES);
	assert_null(strchr(found, '!'));
	kp_json_framer_feed(framer, ",", 1);
	feed_large(framer, KP_OBJECT_MAX_BYTES + 1);
	assert_non_null(strstr(found, "|1.2@1!" KP_OBJECT_TOO_LARGE "|"));
	kp_json_framer_feed(framer, ",{\"b\":1}]}", 10);
	assert_non_null(strstr(found, "|1.3@1:{\"b\":1}|"));
	assert_int_equal(kp_json_framer_finish(framer), 0);
	kp_json_framer_free(framer);
}

/* As an API server sends them. */
static const char watch_stream[] =
	"{\"type\":\"ADDED\",\"object\":{\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"a\","
	"\"annotations\":{\"x\":\"{\\\"b\\\":[\\\"\\u00e9\\\\\\\"\"},"
	"\"managedFields\":[{\"fieldsV1\":{\"k:{\\\"uid\\\":1}\":{}}}]},\"endpoints\":["
	"{\"addresses\":[\"10.0.0.1\"],\"targetRef\":{\"name\":\"}\"}}]}}\n"
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n"
	"{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"\xc3\xa9\"}}}\n";
static const char list_body[] =
	"{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":["
	"{\"metadata\":{\"name\":\"a\",\"managedFields\":[{}]}},{\"spec\":{}}]}";

static void test_json_framer_is_indifferent_to_10000_random_splits(void **state)
{
	char expected[sizeof(found)];
	unsigned int seed = 1;

	(void)state;
	memcpy(expected, cut_with(new_framer(), watch_stream, sizeof(watch_stream)), sizeof(found));
	for (int i = 0; i < 10000; i++) {
		struct kp_json_framer *framer = new_framer();
		size_t size = strlen(watch_stream);

		for (size_t at = 0, n; at < size; at += n) {
			n = 1 + rand_r(&seed) % 80;
			n = n > size - at ? size - at : n;
			kp_json_framer_feed(framer, watch_stream + at, n);
		}
		assert_int_equal(kp_json_framer_finish(framer), 0);
		kp_json_framer_free(framer);
		assert_string_equal(found, expected);
	}
}

static void test_json_framer_never_takes_a_part_for_the_whole(void **state)
{
	(void)state;
	for (size_t size = 1; size < strlen(list_body); size++) {
		struct kp_json_framer *framer = new_list_framer();

		kp_json_framer_feed(framer, list_body, size);
		assert_int_equal(kp_json_framer_finish(framer), -EBADMSG);
		kp_json_framer_free(framer);
		assert_null(strchr(found, '='));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_framer_yields_a_single_object),
		cmocka_unit_test(test_json_framer_yields_items_without_their_list),
		cmocka_unit_test(test_json_framer_yields_nothing_for_an_empty_list),
		cmocka_unit_test(test_json_framer_yields_the_list_behind_its_items),
		cmocka_unit_test(test_json_framer_leaves_unused_fields_out),
		cmocka_unit_test(test_json_framer_takes_an_object_whose_items_are_no_array),
		cmocka_unit_test(test_json_framer_yields_items_of_a_second_array),
		cmocka_unit_test(test_json_framer_takes_objects_one_behind_the_other),
		cmocka_unit_test(test_json_framer_is_not_misled_by_strings),
		cmocka_unit_test(test_json_framer_stops_at_garbage),
		cmocka_unit_test(test_json_framer_reports_a_truncated_stream),
		cmocka_unit_test(test_json_framer_ignores_what_follows_an_error),
		cmocka_unit_test(test_json_framer_limits_the_depth),
		cmocka_unit_test(test_json_framer_passes_over_a_larger_object),
		cmocka_unit_test(test_json_framer_is_indifferent_to_10000_random_splits),
		cmocka_unit_test(test_json_framer_never_takes_a_part_for_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
