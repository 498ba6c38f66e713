/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading YAML streams object by object. */
#include "manifests/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A stream that is delivered in pieces of 'step' bytes. */
struct stream {
	const char *text;
	size_t size, pos, step;
	int error; /* at the end instead of the end */
};

/* What was found: "document.object@line:json|" or "document.object@line!reason|". */
static char found[4096];

static ssize_t read_stream(void *arg, char *buf, size_t size)
{
	struct stream *s = arg;
	size_t n = s->size - s->pos;

	if (n == 0 && s->error)
		return s->error;
	n = n < s->step ? n : s->step;
	n = n < size ? n : size;
	memcpy(buf, s->text + s->pos, n);
	s->pos += n;
	return n;
}

static void note(const struct kp_place *place, char kind, const char *text)
{
	size_t len = strlen(found);

	snprintf(found + len, sizeof(found) - len, "%u.%u@%u%c%.200s|", place->document,
		 place->object, place->line, kind, text);
}

static void on_object(void *arg, const struct kp_place *place, const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	(void)arg;
	assert_non_null(text);
	note(place, ':', text);
	free(text);
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	(void)arg;
	note(place, '!', reason);
}

static const struct kp_object_sink sink = {.object = on_object, .error = on_error};

static const char *read_in_steps(const char *text, size_t step)
{
	struct stream stream = {.text = text, .size = strlen(text), .step = step};
	struct kp_err err;

	found[0] = 0;
	assert_int_equal(kp_yaml_read(read_stream, &stream, &sink, &err), 0);
	return found;
}

/* The result must not depend on where the stream is cut. */
static void assert_read(const char *text, const char *expected)
{
	assert_string_equal(read_in_steps(text, strlen(text) + 1), expected);
	for (size_t step = 1; step < 6; step++)
		assert_string_equal(read_in_steps(text, step), expected);
}

static void assert_found(const char *text, const char *part)
{
	if (!strstr(read_in_steps(text, 4096), part))
		fail_msg("'%s' is not in '%s'", part, found);
}

static void test_yaml_yields_an_object_per_document(void **state)
{
	(void)state;
	assert_read("a: 1\n---\nb: [x, 'y']\n", "1.1@1:{\"a\":1}|2.1@3:{\"b\":[\"x\",\"y\"]}|");
}

static void test_yaml_yields_items_without_their_list(void **state)
{
	(void)state;
	assert_read("kind: List\nitems:\n- a: 1\n- b: 2\nmetadata: {}\n",
		    "1.1@3:{\"a\":1}|1.2@4:{\"b\":2}|");
	assert_read("items: []\n", "");
}

static void test_yaml_takes_an_object_whose_items_are_no_sequence(void **state)
{
	(void)state;
	assert_read("items: {a: 1}\n", "1.1@1:{\"items\":{\"a\":1}}|");
	assert_read("spec:\n  items: [1]\n", "1.1@1:{\"spec\":{\"items\":[1]}}|");
}

static void test_yaml_passes_over_empty_documents(void **state)
{
	(void)state;
	assert_read("", "");
	assert_read("# nothing\n\n", "");
	assert_read("---\n---\n# nothing\n---\na: 1\n---\n", "3.1@5:{\"a\":1}|");
	assert_read("# comment\n---\na: 1\n", "1.1@3:{\"a\":1}|");
}

static void test_yaml_resolves_plain_scalars(void **state)
{
	(void)state;
	assert_read("[~, null, '', true, False, 12, -3, +4, 1.5, 1e3, .5]\n",
		    "1.1@1:[null,null,\"\",true,false,12,-3,4,1.5,1000.0,0.5]|");
	assert_read("a:\n", "1.1@1:{\"a\":null}|");
	assert_read("['1', \"true\", \"~\"]\n", "1.1@1:[\"1\",\"true\",\"~\"]|");
	assert_read("[10.0.0.1, 2001:db8::1, 0x1f, 1_000, ., '-', 1e, yes, 1:30, .inf, 1e999]\n",
		    "1.1@1:[\"10.0.0.1\",\"2001:db8::1\",\"0x1f\",\"1_000\",\".\",\"-\",\"1e\","
		    "\"yes\",\"1:30\",\".inf\",\"1e999\"]|");
}

/* YAML 1.1 and 1.2 read it as different numbers. */
static void test_yaml_takes_leading_zeros_for_text(void **state)
{
	(void)state;
	assert_read("[0080, 0, -0, 0.5, 00.5]\n", "1.1@1:[\"0080\",0,0,0.5,\"00.5\"]|");
}

static void test_yaml_error_costs_only_its_document(void **state)
{
	(void)state;
	assert_found("a: 1\n---\nb: [1, 2\n---\nc: 3\n", "1.1@1:{\"a\":1}|2.0@");
	assert_found("a: 1\n---\nb: [1, 2\n---\nc: 3\n", "|3.1@5:{\"c\":3}|");
	assert_found("}\n---\nc: 3\n", "|2.1@3:{\"c\":3}|");
	assert_found("a: 'open\n--- \nc: 3\n", "|2.1@3:{\"c\":3}|");
	assert_found("a: \xff\xfe\n---\nc: 3\n", "|2.1@3:{\"c\":3}|");
}

static void test_yaml_error_keeps_earlier_items(void **state)
{
	(void)state;
	assert_found("items:\n- a: 1\n- b: [\n  c: }\n", "1.1@2:{\"a\":1}|1.0@");
}

static void test_yaml_error_lines_are_those_of_the_file(void **state)
{
	(void)state;
	assert_found("a: 1\n---\n\n\nb: 1\nb: 2\n", "|2.1@6!the key 'b' comes twice|");
	assert_found("a: 1\n---\n\n\nb: @\n", "|2.0@5!");
}

static void test_yaml_reads_behind_document_end_marks(void **state)
{
	(void)state;
	assert_read("a: 1\n...\n# comment\n%YAML 1.1\n---\nb: 2\n...\n",
		    "1.1@1:{\"a\":1}|2.1@6:{\"b\":2}|");
	assert_read("%YAML 1.1\n# comment\n---\na: 1\n", "1.1@4:{\"a\":1}|");
}

static void test_yaml_takes_marks_only_at_line_starts(void **state)
{
	(void)state;
	assert_read("a: |\n  ---\n  x\nb: ---\n", "1.1@1:{\"a\":\"---\\nx\\n\",\"b\":\"---\"}|");
	assert_read("---a: 1\n", "1.1@1:{\"---a\":1}|");
	assert_read("--- {a: 1}\n---\t\nb: 2", "1.1@1:{\"a\":1}|2.1@3:{\"b\":2}|");
}

static void test_yaml_takes_windows_line_ends_and_byte_order_mark(void **state)
{
	(void)state;
	assert_read("\xef\xbb\xbf"
		    "a: 1\r\n---\r\nb: 2\r\n",
		    "1.1@1:{\"a\":1}|2.1@3:{\"b\":2}|");
}

static void test_yaml_refuses_duplicate_keys_and_merge_keys(void **state)
{
	(void)state;
	assert_read("items:\n- {a: 1, a: 2}\n- <<: {x: 1}\n- '<<': 1\n- ? [x]\n  : 1\n- b: 2\n",
		    "1.1@2!the key 'a' comes twice|1.2@3!the merge key << is not supported|"
		    "1.3@4:{\"<<\":1}|1.4@5!a key that is not a scalar|1.5@7:{\"b\":2}|");
	assert_read("items: [{a: 1}]\nitems: [{b: 1}]\n",
		    "1.1@1:{\"a\":1}|1.0@2!the key 'items' comes twice|");
}

static void on_duplicate(void *arg, const struct kp_place *place, const char *key)
{
	(void)arg;
	note(place, '=', key);
}

static void test_yaml_tells_of_duplicate_keys_whoever_asks(void **state)
{
	const struct kp_object_sink asking = {
		.object = on_object, .error = on_error, .duplicate = on_duplicate};
	const char *text = "a: {b: 1,\n b: 2}\nc: 1\nc: 2\n";
	struct stream stream = {.text = text, .size = strlen(text), .step = 3};
	struct kp_err err;

	(void)state;
	found[0] = 0;
	assert_int_equal(kp_yaml_read(read_stream, &stream, &asking, &err), 0);
	assert_string_equal(found, "1.1@2=b|1.1@4=c|1.1@1:{\"a\":{\"b\":2},\"c\":2}|");
}

static void test_yaml_shares_what_aliases_stand_for(void **state)
{
	(void)state;
	assert_read("a: &x {k: [1]}\nb: *x\nc: [*x, *x]\n",
		    "1.1@1:{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":[{\"k\":[1]},{\"k\":[1]}]}|");
	assert_read("items:\n- &x {k: 1}\n- *x\n", "1.1@2:{\"k\":1}|1.2@3:{\"k\":1}|");
	assert_read("[&x 1, &x 2, *x]\n", "1.1@1:[1,2,2]|");
}

static void test_yaml_refuses_an_alias_inside_its_anchor(void **state)
{
	(void)state;
	assert_read("items:\n- &x [*x]\n- a: 1\n",
		    "1.1@2!the alias 'x' stands inside its own anchor|1.2@3:{\"a\":1}|");
}

static void test_yaml_anchors_end_with_their_document(void **state)
{
	(void)state;
	assert_read("a: &x 1\n---\nb: *x\n", "1.1@1:{\"a\":1}|2.1@3!the alias 'x' has no anchor|");
}

/* Nine levels of nine aliases: small to read, 387 million nodes to walk. */
static void test_yaml_counts_aliases_in_full(void **state)
{
	char text[1024] = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";

	(void)state;
	for (int i = 1; i < 9; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len,
			 "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
			 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	}
	strcat(text, "---\nb: 1\n");
	assert_found(text, "!" KP_OBJECT_TOO_LARGE "|2.1@");
}

/* Freeing recurses, so a chain of anchors must not be deeper than what is written out. */
static void test_yaml_counts_the_depth_of_aliases(void **state)
{
	char text[1024] = "a0: &a0 [[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]\n";

	(void)state;
	for (int i = 1; i < 6; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len,
			 "a%d: &a%d [[[[[[[[[[[[[[[[[[[[*a%d]]]]]]]]]]]]]]]]]]]]\n", i, i, i - 1);
	}
	assert_found(text, "1.1@5!" KP_OBJECT_TOO_DEEP "|");
}

static void test_yaml_limits_the_depth(void **state)
{
	char text[1024] = "";

	(void)state;
	memset(text, '[', KP_OBJECT_MAX_DEPTH);
	memset(text + KP_OBJECT_MAX_DEPTH, ']', KP_OBJECT_MAX_DEPTH);
	assert_found(text, "1.1@1:[[[");
	memset(text, '[', KP_OBJECT_MAX_DEPTH + 1);
	text[KP_OBJECT_MAX_DEPTH + 1] = 0;
	strcat(text, "\n---\nb: 1\n");
	assert_read(text, "1.0@1!" KP_OBJECT_TOO_DEEP "|2.1@3:{\"b\":1}|");
}

static void test_yaml_never_builds_managed_fields(void **state)
{
	(void)state;
	assert_read("metadata:\n  name: x\n  managedFields:\n  - {f: {a: 1, a: 2}}\n",
		    "1.1@1:{\"metadata\":{\"name\":\"x\",\"managedFields\":null}}|");
	assert_read("items:\n- metadata: {managedFields: &x [1], name: y}\n",
		    "1.1@2:{\"metadata\":{\"managedFields\":null,\"name\":\"y\"}}|");
	assert_read("spec: {managedFields: [1]}\n", "1.1@1:{\"spec\":{\"managedFields\":[1]}}|");
}

/* before + n times 'x' + after */
static char *with_filling(const char *before, size_t n, const char *after)
{
	size_t len = strlen(before);
	char *text = kp_xmalloc(len + n + strlen(after) + 1);

	memcpy(text, before, len);
	memset(text + len, 'x', n);
	strcpy(text + len + n, after);
	return text;
}

static void test_yaml_refuses_only_the_object_that_is_too_large(void **state)
{
	kp_autofree char *text = with_filling("items:\n- a: 1\n- a: ", 10 << 20, "\n- a: 3\n");

	(void)state;
	assert_string_equal(read_in_steps(text, 1 << 20),
			    "1.1@2:{\"a\":1}|1.2@3!" KP_OBJECT_TOO_LARGE "|1.3@4:{\"a\":3}|");
}

static void test_yaml_counts_nodes_without_text(void **state)
{
	const size_t n = 1 << 20;
	kp_autofree char *text = kp_xmalloc(2 * n + 64);

	(void)state;
	strcpy(text, "items:\n- [");
	for (size_t i = 0; i < n; i++)
		strcpy(text + 10 + 2 * i, "0,");
	strcpy(text + 10 + 2 * n, "]\n- a: 1\n");
	assert_string_equal(read_in_steps(text, 1 << 20),
			    "1.1@2!" KP_OBJECT_TOO_LARGE "|1.2@3:{\"a\":1}|");
}

static void test_yaml_gives_up_a_document_with_an_endless_scalar(void **state)
{
	kp_autofree char *text = with_filling("items:\n- a: \"", 20 << 20, "\"\n---\nb: 1\n");

	(void)state;
	read_in_steps(text, 1 << 20);
	assert_non_null(strstr(found, "!a value larger than 16 MiB|2.1@4:{\"b\":1}|"));
}

static void test_yaml_returns_the_error_of_the_stream(void **state)
{
	struct stream stream = {.text = "a: 1\n", .size = 5, .step = 5, .error = -EIO};
	struct kp_err err;

	(void)state;
	found[0] = 0;
	assert_int_equal(kp_yaml_read(read_stream, &stream, &sink, &err), -EIO);
	/* The document might have gone on. */
	assert_string_equal(found, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_yields_an_object_per_document),
		cmocka_unit_test(test_yaml_yields_items_without_their_list),
		cmocka_unit_test(test_yaml_takes_an_object_whose_items_are_no_sequence),
		cmocka_unit_test(test_yaml_passes_over_empty_documents),
		cmocka_unit_test(test_yaml_resolves_plain_scalars),
		cmocka_unit_test(test_yaml_takes_leading_zeros_for_text),
		cmocka_unit_test(test_yaml_error_costs_only_its_document),
		cmocka_unit_test(test_yaml_error_keeps_earlier_items),
		cmocka_unit_test(test_yaml_error_lines_are_those_of_the_file),
		cmocka_unit_test(test_yaml_reads_behind_document_end_marks),
		cmocka_unit_test(test_yaml_takes_marks_only_at_line_starts),
		cmocka_unit_test(test_yaml_takes_windows_line_ends_and_byte_order_mark),
		cmocka_unit_test(test_yaml_refuses_duplicate_keys_and_merge_keys),
		cmocka_unit_test(test_yaml_tells_of_duplicate_keys_whoever_asks),
		cmocka_unit_test(test_yaml_shares_what_aliases_stand_for),
		cmocka_unit_test(test_yaml_refuses_an_alias_inside_its_anchor),
		cmocka_unit_test(test_yaml_anchors_end_with_their_document),
		cmocka_unit_test(test_yaml_counts_aliases_in_full),
		cmocka_unit_test(test_yaml_counts_the_depth_of_aliases),
		cmocka_unit_test(test_yaml_limits_the_depth),
		cmocka_unit_test(test_yaml_never_builds_managed_fields),
		cmocka_unit_test(test_yaml_refuses_only_the_object_that_is_too_large),
		cmocka_unit_test(test_yaml_counts_nodes_without_text),
		cmocka_unit_test(test_yaml_gives_up_a_document_with_an_endless_scalar),
		cmocka_unit_test(test_yaml_returns_the_error_of_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
