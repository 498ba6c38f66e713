/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a table of iptables goes.  A table is written as "CHAIN > TARGET" for each rule; built-in
 * chains have no dash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "takeover/names.h"
#include "takeover/table.h"

static int teardown(void **state)
{
	kp_kube_table_clear(*state);
	free(*state);
	return 0;
}

static int setup(void **state)
{
	*state = kp_xcalloc(1, sizeof(struct kp_kube_table));
	return 0;
}

static void add_chain(struct kp_kube_table *table, const char *name)
{
	struct kp_kube_chain *found;

	HASH_FIND_STR(table->chains, name, found);
	if (!found)
		kp_kube_table_add_chain(table, name, !strchr(name, '-'));
}

static void fill(struct kp_kube_table *table, const char *const *rules)
{
	char from[64], to[64];

	for (const char *const *r = rules; *r; r++) {
		assert_int_equal(sscanf(*r, "%63s > %63s", from, to), 2);
		add_chain(table, from);
		add_chain(table, to);
	}
	for (const char *const *r = rules; *r; r++) {
		sscanf(*r, "%63s > %63s", from, to);
		kp_kube_table_add_rule(table, from, to, 1, NULL);
	}
	kp_kube_table_settle(table);
}

static void assert_chain(struct kp_kube_table *table, const char *name, bool goes)
{
	struct kp_kube_chain *found;

	HASH_FIND_STR(table->chains, name, found);
	assert_non_null(found);
	assert_int_equal(kp_kube_chain_goes(found), goes);
}

static size_t n_rules_that_go(const struct kp_kube_table *table)
{
	size_t n = 0;

	for (size_t i = 0; i < table->n_rules; i++)
		n += kp_kube_rule_goes(&table->rules[i]);
	return n;
}

static void test_chains_go_with_the_jumps_of_builtin_chains(void **state)
{
	static const char *const rules[] = {
		"PREROUTING > KUBE-SERVICES", "OUTPUT > KUBE-SERVICES",	 "OUTPUT > KUBE-FIREWALL",
		"KUBE-SERVICES > KUBE-SVC-A", "KUBE-SVC-A > KUBE-SEP-B", NULL};

	fill(*state, rules);
	assert_true(kp_kube_table_is_concerned(*state));
	assert_chain(*state, "KUBE-SERVICES", true);
	assert_chain(*state, "KUBE-SVC-A", true);
	assert_chain(*state, "KUBE-SEP-B", true);
	assert_chain(*state, "KUBE-FIREWALL", false);
	assert_chain(*state, "OUTPUT", false);
	assert_int_equal(n_rules_that_go(*state), 2);
}

static void test_chains_that_others_use_stay_with_all_they_lead_to(void **state)
{
	static const char *const rules[] = {"KUBE-SEP-D > KUBE-MARK-MASQ",
					    "KUBE-SVC-C > KUBE-SEP-D",
					    "CNI-DN-A > KUBE-SVC-C",
					    "OUTPUT > KUBE-SERVICES",
					    "KUBE-SERVICES > KUBE-SVC-C",
					    "OUTPUT > CNI-DN-A",
					    NULL};

	fill(*state, rules);
	assert_chain(*state, "KUBE-SVC-C", false);
	assert_chain(*state, "KUBE-SEP-D", false);
	assert_chain(*state, "KUBE-MARK-MASQ", false);
	assert_chain(*state, "KUBE-SERVICES", true);
	assert_int_equal(n_rules_that_go(*state), 1);
}

static void test_a_table_of_others_is_no_concern(void **state)
{
	static const char *const rules[] = {"INPUT > KUBE-FIREWALL", "INPUT > KUBE-ROUTER-INPUT",
					    "FORWARD > DOCKER-USER", NULL};

	fill(*state, rules);
	assert_false(kp_kube_table_is_concerned(*state));
	assert_int_equal(n_rules_that_go(*state), 0);
}

static void test_names_of_chains(void **state)
{
	static const char *const theirs[] = {
		"KUBE-SERVICES",     "KUBE-SVC-NPX46M4PTMTKRN6Y", "KUBE-XLB-A", "KUBE-FW-A",
		"KUBE-PROXY-CANARY", "KUBE-IPVS-FILTER",	  NULL};
	static const char *const others[] = {"KUBE-KUBELET-CANARY",
					     "KUBE-FIREWALL",
					     "KUBE-IPTABLES-HINT",
					     "KUBE-MARK-DROP",
					     "KUBE-ROUTER-INPUT",
					     "KUBE-POD-FW-A",
					     "KUBE-NWPLCY-A",
					     "KUBE-SERVICES-2",
					     "DOCKER",
					     "",
					     NULL};

	(void)state;
	for (const char *const *name = theirs; *name; name++)
		assert_true(kp_is_kube_proxy_chain(*name));
	for (const char *const *name = others; *name; name++)
		assert_false(kp_is_kube_proxy_chain(*name));
}

static void test_names_of_ipsets(void **state)
{
	static const char *const theirs[] = {"KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP",
					     "KUBE-LOAD-BALANCER-SOURCE-CIDR",
					     "KUBE-6-LOAD-BALANCER-SOURCE-CID",
					     /* 31 characters */ NULL};
	static const char *const others[] = {"KUBE-SRC-A",
					     "KUBE-DST-A",
					     "KUBE-CLUSTER-IPS",
					     "KUBE-LOAD-BALANCER-SOURCE-CID",
					     "KUBE-",
					     "",
					     NULL};

	(void)state;
	for (const char *const *name = theirs; *name; name++)
		assert_true(kp_is_kube_proxy_ipset(*name));
	for (const char *const *name = others; *name; name++)
		assert_false(kp_is_kube_proxy_ipset(*name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chains_go_with_the_jumps_of_builtin_chains,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_chains_that_others_use_stay_with_all_they_lead_to, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_table_of_others_is_no_concern, setup,
						teardown),
		cmocka_unit_test(test_names_of_chains),
		cmocka_unit_test(test_names_of_ipsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
