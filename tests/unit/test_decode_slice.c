/* SPDX-License-Identifier: GPL-2.0-or-later */
/* EndpointSlices. */
#include "decoding.h"

/* ES-1 */
static void test_decode_slice_without_service_is_skipped(void **state)
{
	struct fixture *f = *state;

	assert_skipped(f,
		       "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice',"
		       "'metadata':{'name':'x'},'addressType':'IPv4'}",
		       "no label kubernetes.io/service-name");
}

static void test_decode_service_label_is_checked(void **state)
{
	assert_bad(*state,
		   "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':"
		   "{'name':'x','labels':{'kubernetes.io/service-name':'a/b'}},"
		   "'addressType':'IPv4'}",
		   "metadata.labels[kubernetes.io/service-name]: 'a/b' is not made of a-z 0-9 . -");
}

/* ES-2 */
static void test_decode_address_types(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode_slice(f, SLICE(",'addressType':'IPv6'"))->family, KP_IPV6);
	assert_skipped(f, SLICE(",'addressType':'FQDN'"), "address type FQDN");
	assert_bad(f, SLICE(""), "addressType: missing");
	assert_bad(f, SLICE(",'addressType':'IP'"), "addressType: 'IP' is not IPv4, IPv6 or FQDN");
}

static int64_t decode_trigger(struct fixture *f, const char *time)
{
	assert_int_equal(
		decode(f,
		       "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice',"
		       "'metadata':{'name':'x','labels':{'kubernetes.io/service-name':'a'},"
		       "'annotations':{'endpoints.kubernetes.io/last-change-trigger-time':"
		       "'%s'}},'addressType':'IPv4'}",
		       time),
		KP_DECODED);
	return f->object.slice->trigger_us;
}

static void test_decode_trigger_time(void **state) /* ES-11 */
{
	struct fixture *f = *state;

	assert_int_equal(decode_trigger(f, "1970-01-01T00:00:02Z"), 2000000);
	assert_int_equal(decode_trigger(f, "1970-01-01T00:00:02.25Z"), 2250000);
	assert_int_equal(decode_trigger(f, "yesterday"), 0);
	assert_int_equal(decode_slice(f, SLICE4(""))->trigger_us, 0);
}

/* ES-3 */
static void test_decode_slice_ports(void **state)
{
	struct fixture *f = *state;
	const struct kp_endpointslice *s = decode_slice(
		f, SLICE4(",'ports':[{'name':'','port':80},{'port':81},{'name':'a'},"
			  "{'name':'b','port':0},{'name':'c','port':53,'protocol':'UDP'},"
			  "{'name':'d','port':1,'protocol':'X'}]"));

	assert_int_equal(s->n_ports, 3);
	assert_string_equal(s->ports[0].name, "");
	assert_int_equal(s->ports[0].proto, IPPROTO_TCP);
	assert_string_equal(s->ports[1].name, "");
	assert_int_equal(s->ports[1].port, 81);
	assert_int_equal(s->ports[2].proto, IPPROTO_UDP);
	assert_int_equal(s->ports[2].port, 53);
	assert_string_equal(f->warnings,
			    "ports[2].port: missing or 0, port ignored|"
			    "ports[3].port: missing or 0, port ignored|"
			    "ports[5].protocol: 'X' is not a protocol that we know, port ignored|");
	assert_bad(f, SLICE4(",'ports':[{'name':'','port':65536}]"),
		   "ports[0].port: 65536 is not in 0..65535");
}

/* ES-5 */
static void test_decode_conditions_have_defaults(void **state)
{
	struct fixture *f = *state;
	const struct kp_endpoint *e = decode_slice(f, ENDPOINT(""))->endpoints;

	assert_true(e->ready && e->serving && !e->terminating && !e->local);
	e = decode_slice(f, ENDPOINT(",'conditions':{'ready':null,'serving':false,"
				     "'terminating':true}"))
		    ->endpoints;
	assert_true(e->ready && !e->serving && e->terminating);
	assert_bad(f, ENDPOINT(",'conditions':{'ready':'yes'}"),
		   "endpoints[0].conditions.ready: expected true or false, got a string");
}

/* ES-6 */
static void test_decode_local_endpoints(void **state)
{
	struct fixture *f = *state;

	assert_true(decode_slice(f, ENDPOINT(",'nodeName':'node-1'"))->endpoints->local);
	assert_false(decode_slice(f, ENDPOINT(",'nodeName':'node-10'"))->endpoints->local);
	assert_false(decode_slice(f, ENDPOINT(",'nodeName':null"))->endpoints->local);
}

/* ES-5 */
static void test_decode_hints(void **state)
{
	struct fixture *f = *state;
	const struct kp_endpoint *e =
		decode_slice(f, ENDPOINT(",'hints':{'forZones':[{'name':'a'},{'name':'bc'}],"
					 "'forNodes':[{'name':'node-2'},{'name':'node-1'}]}"))
			->endpoints;

	assert_string_equal(e->zone_hints, "a,bc");
	assert_true(e->has_node_hints && e->hinted_here);
	e = decode_slice(f, ENDPOINT(",'hints':{'forZones':[],'forNodes':[{'name':'x'}]}"))
		    ->endpoints;
	assert_null(e->zone_hints);
	assert_true(e->has_node_hints && !e->hinted_here);
	assert_bad(f, ENDPOINT(",'hints':{'forZones':[{'name':1}]}"),
		   "endpoints[0].hints.forZones[0].name: expected a string, got a number");
}

/* ES-5, SV-7 */
static void test_decode_unusable_endpoints_are_left_out(void **state)
{
	struct fixture *f = *state;
	const struct kp_endpointslice *s = decode_slice(
		f, SLICE4(",'endpoints':[{'addresses':['10.0.0.01','x']},{'addresses':[]},"
			  "{'addresses':['fd00::1']},{'addresses':['a']},{'addresses':['0.0.0.0']},"
			  "{'addresses':['127.0.0.1']},{'addresses':['224.0.0.1']},"
			  "{'addresses':['::ffff:1.2.3.4']}]"));

	assert_int_equal(s->n_endpoints, 1);
	assert_addr(KP_IPV4, &s->endpoints[0].addr, "10.0.0.1");
	assert_string_equal(
		f->warnings,
		"endpoints[1].addresses: empty, endpoint ignored|"
		"endpoints[2].addresses[0]: 'fd00::1' is not IPv4 as addressType says, endpoint "
		"ignored|"
		"endpoints[3].addresses[0]: 'a' is not a plain IP address, endpoint ignored|"
		"endpoints[4].addresses[0]: '0.0.0.0' cannot be an endpoint, ignored|"
		"endpoints[5].addresses[0]: '127.0.0.1' cannot be an endpoint, ignored|"
		"endpoints[6].addresses[0]: '224.0.0.1' cannot be an endpoint, ignored|"
		"endpoints[7].addresses[0]: '::ffff:1.2.3.4' is not a plain IP address, endpoint "
		"ignored|");
}

/* A slice whose list 'name' has 'n' items. */
static enum kp_decode_result decode_long_list(struct fixture *f, const char *name, size_t n)
{
	json_t *items = json_array(), *slice;
	enum kp_decode_result result;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, json_pack("{s:[s], s:s, s:i}", "addresses", "10.0.0.1",
						       "name", "a", "port", 80));
	slice = json_pack("{s:s, s:s, s:s, s:{s:s, s:{s:s}}, s:o}", "kind", "EndpointSlice",
			  "apiVersion", "discovery.k8s.io/v1", "addressType", "IPv4", "metadata",
			  "name", "x", "labels", "kubernetes.io/service-name", "web", name, items);
	result = decode_json(f, slice);
	json_decref(slice);
	return result;
}

static void test_decode_absurd_sizes_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode_long_list(f, "endpoints", 1000), KP_DECODED);
	assert_int_equal(decode_long_list(f, "endpoints", 1001), KP_DECODE_BAD);
	assert_string_equal(f->err.text, "endpoints: 1001 items, more than 1000");
	assert_int_equal(decode_long_list(f, "ports", 20001), KP_DECODE_BAD);
	assert_string_equal(f->err.text, "ports: 20001 items, more than 20000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_decode_slice_without_service_is_skipped),
		TEST(test_decode_service_label_is_checked),
		TEST(test_decode_address_types),
		TEST(test_decode_trigger_time),
		TEST(test_decode_slice_ports),
		TEST(test_decode_conditions_have_defaults),
		TEST(test_decode_local_endpoints),
		TEST(test_decode_hints),
		TEST(test_decode_unusable_endpoints_are_left_out),
		TEST(test_decode_absurd_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
