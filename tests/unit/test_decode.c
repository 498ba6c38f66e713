/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which objects concern us: kinds, names, opt-out labels. */
#include "decoding.h"

static void test_decode_other_kinds_are_foreign(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, "{'apiVersion':'v1','kind':'Pod'}"), KP_DECODE_FOREIGN);
	assert_string_equal(f->why, "kind Pod of v1");
	assert_null(f->id.name);
	assert_int_equal(decode(f, "{'apiVersion':'v1','kind':'ServiceList'}"), KP_DECODE_FOREIGN);
	assert_int_equal(decode(f, "{'apiVersion':'v1','kind':'List'}"), KP_DECODE_FOREIGN);
}

static void test_decode_other_versions_are_foreign(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, "{'apiVersion':'serving.knative.dev/v1','kind':'Service'}"),
			 KP_DECODE_FOREIGN);
	assert_string_equal(f->why, "Service of serving.knative.dev/v1, we read only v1");
	assert_int_equal(decode(f,
				"{'apiVersion':'discovery.k8s.io/v1beta1','kind':'EndpointSlice'}"),
			 KP_DECODE_FOREIGN);
}

static void test_decode_what_has_no_kind_is_bad(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, "[1]", "expected an object, got a list");
	assert_bad(f, "'x'", "expected an object, got a string");
	assert_bad(f, "{}", "kind: missing");
	assert_bad(f, "{'kind':'Service'}", "apiVersion: missing");
	assert_bad(f, "{'kind':1,'apiVersion':'v1'}", "kind: expected a string, got a number");
	assert_bad(f, "{'kind':'Service','apiVersion':{}}",
		   "apiVersion: expected a string, got an object");
	assert_null(f->id.name);
}

static void test_decode_bad_names_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, "{'kind':'Service','apiVersion':'v1'}", "metadata.name: missing");
	assert_bad(f, "{'kind':'Service','apiVersion':'v1','metadata':[]}",
		   "metadata: expected an object, got a list");
	assert_bad(f, "{'kind':'Service','apiVersion':'v1','metadata':{'name':7}}",
		   "metadata.name: expected a string, got a number");
	assert_bad(f, "{'kind':'Service','apiVersion':'v1','metadata':{'name':''}}",
		   "metadata.name: 0 characters, not 1..63");
	assert_bad(f, "{'kind':'Service','apiVersion':'v1','metadata':{'name':'a b'}}",
		   "metadata.name: 'a b' is not made of a-z 0-9 . -");
	assert_bad(f, "{'kind':'Service','apiVersion':'v1','metadata':{'name':'a\\u0000b'}}",
		   "metadata.name: holds a NUL character");
	assert_bad(f,
		   "{'kind':'Service','apiVersion':'v1','metadata':{'name':'a','namespace':'B'}}",
		   "metadata.namespace: 'B' is not made of a-z 0-9 . -");
	assert_null(f->id.name);
}

static void test_decode_long_names_are_refused(void **state)
{
	static const char service[] =
		"{'kind':'Service','apiVersion':'v1','metadata':{'namespace':'%s','name':'%s'}}";
	struct fixture *f = *state;
	char name[65];

	memset(name, 'a', 64);
	name[64] = 0;
	assert_int_equal(decode(f, service, "shop", name), KP_DECODE_BAD);
	assert_string_equal(f->err.text, "metadata.name: 64 characters, not 1..63");
	assert_int_equal(decode(f, service, name, "web"), KP_DECODE_BAD);
	assert_string_equal(f->err.text, "metadata.namespace: 64 characters, not 1..63");
	assert_int_equal(decode(f, service, name + 1, name + 1), KP_DECODE_SKIP);
}

static void test_decode_bad_object_keeps_its_name(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, SERVICE(",'ports':7", ""), "spec.ports: expected a list, got a number");
	assert_string_equal(f->id.ns, "shop");
	assert_string_equal(f->id.name, "web");
}

static void test_decode_fills_in_the_namespace(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(decode_slice(f, SLICE4(""))->ns, "default");
	assert_string_equal(f->id.ns, "default");
	decode(f, CIDR("[]"));
	assert_string_equal(f->id.ns, "");
}

/* IN-5 */
static void test_decode_opt_out_labels_count_by_their_key(void **state)
{
	struct fixture *f = *state;

	assert_skipped(f,
		       "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','labels':"
		       "{'service.kubernetes.io/headless':''}},'spec':7}",
		       "has the label service.kubernetes.io/headless");
	assert_skipped(f,
		       "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':"
		       "{'name':'web','labels':{'service.kubernetes.io/service-proxy-name':null}}}",
		       "has the label service.kubernetes.io/service-proxy-name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_decode_other_kinds_are_foreign),
		TEST(test_decode_other_versions_are_foreign),
		TEST(test_decode_what_has_no_kind_is_bad),
		TEST(test_decode_bad_names_are_refused),
		TEST(test_decode_long_names_are_refused),
		TEST(test_decode_bad_object_keeps_its_name),
		TEST(test_decode_fills_in_the_namespace),
		TEST(test_decode_opt_out_labels_count_by_their_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
