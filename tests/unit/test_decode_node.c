/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes and ServiceCIDRs. */
#include "decoding.h"

static void test_decode_other_nodes_are_skipped(void **state)
{
	assert_skipped(*state, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'node-2'}}",
		       "not our own node");
}

/* ND-2 */
static void test_decode_node_addresses_internal_first(void **state)
{
	struct fixture *f = *state;
	const struct kp_node *n =
		decode_node(f, NODE("},'status':{'addresses':[{'type':'Hostname','address':'x'},"
				    "{'type':'ExternalIP','address':'192.0.2.1'},"
				    "{'type':'ExternalIP','address':'2001:db8::1'},"
				    "{'type':'InternalIP','address':'y'},"
				    "{'type':'InternalIP','address':'10.0.0.1'},"
				    "{'type':'InternalIP','address':'10.0.0.2'}]}"));

	assert_addr(KP_IPV4, &n->ip[KP_IPV4], "10.0.0.1");
	assert_addr(KP_IPV6, &n->ip[KP_IPV6], "2001:db8::1");
	assert_string_equal(
		f->warnings,
		"status.addresses[3].address: 'y' is not a node's IP address, ignored|");
}

/* ND-4, LD-3 */
static void test_decode_node_pod_cidrs_first_of_each_family(void **state)
{
	struct fixture *f = *state;
	const struct kp_node *n = decode_node(
		f, NODE("},'spec':{'podCIDRs':['10.1.0.0/24','10.2.0.0/24','fd00:1::/64']}"));

	assert_prefix(&n->pod_cidr[KP_IPV4], "10.1.0.0/24");
	assert_prefix(&n->pod_cidr[KP_IPV6], "fd00:1::/64");
	n = decode_node(f, NODE("},'spec':{'podCIDR':'10.3.0.0/24'}"));
	assert_prefix(&n->pod_cidr[KP_IPV4], "10.3.0.0/24");
	assert_false(n->has_pod_cidr[KP_IPV6]);
}

/* ND-5 */
static void test_decode_node_zone(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(decode_node(f, NODE("}"))->zone, "");
	assert_string_equal(
		decode_node(f, NODE(",'labels':{'topology.kubernetes.io/zone':'a'}}"))->zone, "a");
}

/* ND-6 */
static void test_decode_node_eligible(void **state)
{
	struct fixture *f = *state;

	assert_true(decode_node(f, NODE("},'spec':{'taints':[{'key':'x'}]}"))->eligible);
	assert_true(decode_node(f, NODE(",'deletionTimestamp':null}"))->eligible);
	assert_false(
		decode_node(f, NODE(",'deletionTimestamp':'2024-01-01T00:00:00Z'}"))->eligible);
	assert_false(
		decode_node(f,
			    NODE("},'spec':{'taints':[{'key':'ToBeDeletedByClusterAutoscaler'}]}"))
			->eligible);
}

static void test_decode_servicecidr(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, CIDR("['10.96.0.0/16','fd00::/108']")), KP_DECODED);
	assert_int_equal(f->object.cidr->cidrs.n, 2);
	assert_prefix(&f->object.cidr->cidrs.items[0], "10.96.0.0/16");
	assert_bad(f, CIDR("['10.96.0.0/16','x']"), "spec.cidrs[1]: 'x' is not a CIDR");
}

/* RJ-3 would drop everything. */
static void test_decode_servicecidr_of_all_addresses_is_refused(void **state)
{
	assert_bad(*state, CIDR("['0.0.0.0/0']"), "spec.cidrs[0]: '0.0.0.0/0' is every address");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_decode_other_nodes_are_skipped),
		TEST(test_decode_node_addresses_internal_first),
		TEST(test_decode_node_pod_cidrs_first_of_each_family),
		TEST(test_decode_node_zone),
		TEST(test_decode_node_eligible),
		TEST(test_decode_servicecidr),
		TEST(test_decode_servicecidr_of_all_addresses_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
