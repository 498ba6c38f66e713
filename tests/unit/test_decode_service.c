/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Services. */
#include "decoding.h"

static void test_decode_service_fields(void **state)
{
	const struct kp_service *s = decode_service(
		*state,
		SERVICE(",'ports':[{'name':'dns','protocol':'UDP','port':53,'nodePort':30053},"
			"{'name':'dns','port':53}]",
			""));

	assert_string_equal(s->ns, "shop");
	assert_string_equal(s->name, "web");
	assert_addr(KP_IPV4, &s->cluster_ip[KP_IPV4], "10.96.0.1");
	assert_true(kp_addr_is_zero(&s->cluster_ip[KP_IPV6]));
	assert_int_equal(s->n_ports, 2);
	assert_string_equal(s->ports[0].name, "dns");
	assert_int_equal(s->ports[0].proto, IPPROTO_UDP);
	assert_int_equal(s->ports[0].node_port, 30053);
	assert_int_equal(s->ports[1].proto, IPPROTO_TCP);
	assert_int_equal(s->ports[1].port, 53);
}

static void test_decode_null_equals_missing(void **state)
{
	const struct kp_service *s = decode_service(
		*state, SERVICE(",'ports':null,'externalIPs':null,'sessionAffinity':null,"
				"'externalTrafficPolicy':null",
				",'status':null"));

	assert_int_equal(s->n_ports, 0);
	assert_int_equal(s->sticky_timeout_s, 0);
}

/* SV-2 */
static void test_decode_service_without_cluster_ip_is_skipped(void **state)
{
	struct fixture *f = *state;
	const char *format = "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},"
			     "'spec':{%s}}";

	assert_int_equal(decode(f, format, ""), KP_DECODE_SKIP);
	assert_int_equal(decode(f, format, "'clusterIP':''"), KP_DECODE_SKIP);
	assert_int_equal(decode(f, format, "'clusterIP':'None'"), KP_DECODE_SKIP);
	assert_string_equal(f->why, "headless");
	assert_int_equal(decode(f, format, "'clusterIP':'10.0.0.1','type':'ExternalName'"),
			 KP_DECODE_SKIP);
	assert_string_equal(f->why, "of type ExternalName");
}

/* SV-3 */
static void test_decode_cluster_ips_follow_ip_families(void **state)
{
	const struct kp_service *s = decode_service(
		*state,
		SERVICE(",'clusterIPs':['fd00::1','10.96.0.2'],'ipFamilies':['IPv6','IPv4']", ""));

	assert_addr(KP_IPV6, &s->cluster_ip[KP_IPV6], "fd00::1");
	assert_addr(KP_IPV4, &s->cluster_ip[KP_IPV4], "10.96.0.2");
}

/* SV-3 */
static void test_decode_without_ip_families_cluster_ip_counts(void **state)
{
	const struct kp_service *s =
		decode_service(*state, SERVICE(",'clusterIPs':['10.96.0.1','fd00::1']", ""));

	assert_addr(KP_IPV4, &s->cluster_ip[KP_IPV4], "10.96.0.1");
	assert_true(kp_addr_is_zero(&s->cluster_ip[KP_IPV6]));
}

static void test_decode_cluster_ips_default_to_cluster_ip(void **state)
{
	const struct kp_service *s = decode_service(*state,
						    SERVICE(",'ipFamilies':['IPv4','IPv6']", ""));

	assert_addr(KP_IPV4, &s->cluster_ip[KP_IPV4], "10.96.0.1");
	assert_true(kp_addr_is_zero(&s->cluster_ip[KP_IPV6]));
}

/* SV-3 */
static void test_decode_contradicting_families_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, SERVICE(",'clusterIPs':['fd00::1'],'ipFamilies':['IPv4']", ""),
		   "spec.clusterIPs[0]: not of the family IPv4 that ipFamilies wants");
	assert_bad(f, SERVICE(",'ipFamilies':['IPv6']", ""),
		   "spec.clusterIP: not of the family IPv6 that ipFamilies wants");
	assert_bad(f,
		   SERVICE(",'clusterIPs':['10.0.0.1','10.0.0.2'],'ipFamilies':['IPv4','IPv4']",
			   ""),
		   "spec.ipFamilies[1]: IPv4 twice");
	assert_bad(f, SERVICE(",'clusterIPs':['10.0.0.1'],'ipFamilies':['ipv4']", ""),
		   "spec.ipFamilies[0]: 'ipv4' is neither IPv4 nor IPv6");
	assert_bad(f, SERVICE(",'clusterIPs':['10.0.0.1','10.0.0.2','10.0.0.3']", ""),
		   "spec.clusterIPs: 3 items, more than 2");
}

static void test_decode_unusable_cluster_ips_are_refused(void **state)
{
	static const struct {
		const char *ip, *reason;
	} cases[] = {
		{"'10.96.0'", "spec.clusterIP: '10.96.0' is not a plain IP address"},
		{"'10.96.0.256'", "spec.clusterIP: '10.96.0.256' is not a plain IP address"},
		{"'::ffff:10.0.0.1'",
		 "spec.clusterIP: '::ffff:10.0.0.1' is not a plain IP address"},
		{"'0.0.0.0'", "spec.clusterIP: '0.0.0.0' cannot be a cluster IP"},
		{"'::'", "spec.clusterIP: '::' cannot be a cluster IP"},
		{"'127.0.0.1'", "spec.clusterIP: '127.0.0.1' cannot be a cluster IP"},
		{"'ff02::1'", "spec.clusterIP: 'ff02::1' cannot be a cluster IP"},
		{"1", "spec.clusterIP: expected a string, got a number"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(decode(f,
					"{'apiVersion':'v1','kind':'Service','metadata':"
					"{'name':'web'},'spec':{'clusterIP':%s}}",
					cases[i].ip),
				 KP_DECODE_BAD);
		assert_string_equal(f->err.text, cases[i].reason);
	}
}

/* SV-7 */
static void test_decode_addresses_become_canonical(void **state)
{
	const struct kp_service *s =
		decode_service(*state, SERVICE(",'clusterIPs':['172.030.0.041','FD00:0::0001'],"
					       "'ipFamilies':['IPv4','IPv6'],"
					       "'loadBalancerSourceRanges':['010.1.2.3/8']",
					       ""));

	assert_addr(KP_IPV4, &s->cluster_ip[KP_IPV4], "172.30.0.41");
	assert_addr(KP_IPV6, &s->cluster_ip[KP_IPV6], "fd00::1");
	assert_prefix(&s->source_ranges.items[0], "10.0.0.0/8");
}

static void test_decode_ports_out_of_range_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, SERVICE(",'ports':[{'port':80},{'port':0}]", ""),
		   "spec.ports[1].port: 0 is not in 1..65535");
	assert_bad(f, SERVICE(",'ports':[{'port':80},{'port':65536}]", ""),
		   "spec.ports[1].port: 65536 is not in 1..65535");
	assert_bad(f, SERVICE(",'ports':[{'port':-1}]", ""),
		   "spec.ports[0].port: -1 is not in 1..65535");
	assert_bad(f, SERVICE(",'ports':[{'port':80,'nodePort':65536}]", ""),
		   "spec.ports[0].nodePort: 65536 is not in 0..65535");
	assert_bad(f, SERVICE(",'ports':[{}]", ""), "spec.ports[0].port: missing");
	assert_bad(f, SERVICE(",'ports':[{'port':'80'}]", ""),
		   "spec.ports[0].port: expected a whole number, got a string");
	assert_bad(f, SERVICE(",'ports':[{'port':80.5}]", ""),
		   "spec.ports[0].port: expected a whole number, got a fraction or a number that "
		   "is too large");
	assert_bad(f, SERVICE(",'ports':[7]", ""),
		   "spec.ports[0]: expected an object, got a number");
	assert_bad(f, SERVICE(",'healthCheckNodePort':-5", ""),
		   "spec.healthCheckNodePort: -5 is not in 0..65535");
}

/* SV-1 */
static void test_decode_duplicate_ports_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, SERVICE(",'ports':[{'port':80},{'name':'a','port':81},{'port':82}]", ""),
		   "spec.ports[2]: same name and protocol as ports[0]");
	assert_bad(f, SERVICE(",'ports':[{'name':'a','port':80},{'name':'b','port':80}]", ""),
		   "spec.ports[1]: same port and protocol as ports[0]");
	assert_bad(f,
		   SERVICE(",'ports':[{'name':'a','port':80,'nodePort':30080},"
			   "{'name':'b','port':81,'nodePort':30080}]",
			   ""),
		   "spec.ports[1]: same nodePort and protocol as ports[0]");
	decode_service(f, SERVICE(",'ports':[{'name':'a','port':80,'nodePort':30080},"
				  "{'name':'a','port':80,'nodePort':30080,'protocol':'UDP'},"
				  "{'name':'b','port':81},{'name':'c','port':82}]",
				  ""));
}

static void test_decode_port_names_are_checked(void **state)
{
	struct fixture *f = *state;

	assert_bad(f, SERVICE(",'ports':[{'port':80,'name':'a_b'}]", ""),
		   "spec.ports[0].name: 'a_b' is not made of a-z A-Z 0-9 -");
	assert_bad(
		f,
		SERVICE(",'ports':[{'port':80,'name':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaaaaaaaaaa'}]",
			""),
		"spec.ports[0].name: 64 characters, more than 63");
}

static void test_decode_unknown_protocol_costs_its_port(void **state)
{
	struct fixture *f = *state;
	const struct kp_service *s = decode_service(
		f, SERVICE(",'ports':[{'port':80,'protocol':'QUIC'},{'port':81}]", ""));

	assert_int_equal(s->n_ports, 1);
	assert_int_equal(s->ports[0].port, 81);
	assert_string_equal(
		f->warnings,
		"spec.ports[0].protocol: 'QUIC' is not a protocol that we know, port ignored|");
}

static void test_decode_unusable_external_ips_are_ignored(void **state)
{
	struct fixture *f = *state;
	const struct kp_service *s = decode_service(
		f, SERVICE(",'externalIPs':['x','192.0.2.1','0.0.0.0','2001:db8::1']", ""));

	assert_int_equal(s->external_ips.n, 2);
	assert_list_addr(&s->external_ips, 0, "192.0.2.1");
	assert_list_addr(&s->external_ips, 1, "2001:db8::1");
	assert_string_equal(f->warnings,
			    "spec.externalIPs[0]: 'x' is not a plain IP address, ignored|"
			    "spec.externalIPs[2]: '0.0.0.0' cannot belong to a Service, ignored|");
	assert_bad(f, SERVICE(",'externalIPs':[1]", ""),
		   "spec.externalIPs[0]: expected a string, got a number");
}

/* SV-5 */
static void test_decode_vips_are_ingress_of_mode_vip(void **state)
{
	struct fixture *f = *state;
	const struct kp_service *s = decode_service(
		f, SERVICE("", ",'status':{'loadBalancer':{'ingress':[{'ip':'192.0.2.1'},"
			       "{'ip':'192.0.2.2','ipMode':'Proxy'},{'hostname':'x'},"
			       "{'ip':'192.0.2.3','ipMode':'VIP'},{'ip':'y'},"
			       "{'ip':'192.0.2.4','ipMode':'Z'}]}}"));

	assert_int_equal(s->vips.n, 2);
	assert_list_addr(&s->vips, 0, "192.0.2.1");
	assert_list_addr(&s->vips, 1, "192.0.2.3");
	assert_string_equal(
		f->warnings,
		"status.loadBalancer.ingress[4].ip: 'y' is not a plain IP address, ignored|"
		"status.loadBalancer.ingress[5].ipMode: 'Z' is neither VIP nor Proxy, address "
		"ignored|");
}

/* SV-6 */
static void test_decode_source_ranges_are_trimmed_and_filtered(void **state)
{
	struct fixture *f = *state;
	const struct kp_service *s = decode_service(
		f,
		SERVICE(",'loadBalancerSourceRanges':[' 10.0.0.0/8\\n','x','2001:db8::/32']", ""));

	assert_int_equal(s->source_ranges.n, 2);
	assert_prefix(&s->source_ranges.items[0], "10.0.0.0/8");
	assert_prefix(&s->source_ranges.items[1], "2001:db8::/32");
	assert_string_equal(f->warnings,
			    "spec.loadBalancerSourceRanges[1]: 'x' is not a CIDR, ignored|");
}

/* SV-6, FW-5 */
static void test_decode_unusable_source_ranges_leave_none(void **state)
{
	const struct kp_service *s =
		decode_service(*state, SERVICE(",'loadBalancerSourceRanges':['x']", ""));

	assert_int_equal(s->source_ranges.n, 0);
}

/* SV-8 */
static void test_decode_external_local_needs_an_external_type(void **state)
{
	struct fixture *f = *state;

	assert_false(
		decode_service(f, SERVICE(",'externalTrafficPolicy':'Local'", ""))->external_local);
	assert_true(decode_service(f, SERVICE(",'externalTrafficPolicy':'Local',"
					      "'externalIPs':['192.0.2.1']",
					      ""))
			    ->external_local);
	assert_true(
		decode_service(f, SERVICE(",'externalTrafficPolicy':'Local','type':'NodePort'", ""))
			->external_local);
}

/* SV-8 */
static void test_decode_health_port_is_for_local_load_balancers(void **state)
{
	struct fixture *f = *state;
	const struct kp_service *s =
		decode_service(f, SERVICE(",'externalTrafficPolicy':'Local','type':'LoadBalancer',"
					  "'healthCheckNodePort':31000",
					  ""));

	assert_true(s->external_local);
	assert_true(s->needs_health_port);
	assert_int_equal(s->health_check_node_port, 31000);
	assert_false(decode_service(f, SERVICE(",'type':'LoadBalancer'", ""))->needs_health_port);
	decode_service(f, SERVICE(",'externalTrafficPolicy':'Local','type':'LoadBalancer'", ""));
	assert_string_equal(
		f->warnings,
		"spec.healthCheckNodePort: 0, so load balancers cannot check this node's health|");
}

/* SV-8 */
static void test_decode_internal_policy(void **state)
{
	struct fixture *f = *state;

	assert_true(
		decode_service(f, SERVICE(",'internalTrafficPolicy':'Local'", ""))->internal_local);
	assert_false(
		decode_service(f, SERVICE(",'internalTrafficPolicy':'X'", ""))->internal_local);
	assert_string_equal(
		f->warnings,
		"spec.internalTrafficPolicy: 'X' is neither Local nor Cluster, taken as Cluster|");
}

/* SV-8 */
static void test_decode_session_affinity_timeout(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		decode_service(f, SERVICE(",'sessionAffinity':'ClientIP'", ""))->sticky_timeout_s,
		10800);
	assert_int_equal(decode_service(f, SERVICE(",'sessionAffinity':'ClientIP',"
						   "'sessionAffinityConfig':{'clientIP':"
						   "{'timeoutSeconds':86400}}",
						   ""))
				 ->sticky_timeout_s,
			 86400);
	assert_bad(f,
		   SERVICE(",'sessionAffinity':'ClientIP',"
			   "'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':86401}}",
			   ""),
		   "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 is not in 1..86400");
	assert_int_equal(decode_service(f,
					SERVICE(",'sessionAffinity':'None','sessionAffinityConfig':"
						"{'clientIP':{'timeoutSeconds':5}}",
						""))
				 ->sticky_timeout_s,
			 0);
}

static int64_t decode_created(struct fixture *f, const char *time)
{
	assert_int_equal(decode(f,
				"{'apiVersion':'v1','kind':'Service','metadata':{'name':'web',"
				"'creationTimestamp':'%s'},'spec':{'clusterIP':'10.96.0.1'}}",
				time),
			 KP_DECODED);
	return f->object.service->created_s;
}

static void test_decode_creation_time(void **state)
{
	assert_int_equal(decode_created(*state, "1970-01-02T00:00:01Z"), 86401);
	assert_int_equal(decode_created(*state, "1970-01-01T01:00:00.5+00:30"), 1800);
	assert_int_equal(decode_created(*state, "1970-01-01T00:00:00-00:30"), 1800);
	assert_int_equal(decode_created(*state, "2024-01-02T03:04:05Zzz"), 0);
	assert_int_equal(decode_created(*state, "yesterday"), 0);
	assert_int_equal(decode_created(*state, "1970-01-02T00:00:01"), 0);
}

/* The number of each item stands in the place of the three %d. */
static json_t *make_list(const char *format, int n)
{
	json_t *list = json_array();

	for (int i = 1; i <= n; i++) {
		char text[64];

		snprintf(text, sizeof(text), format, i >> 16, i >> 8 & 255, i & 255);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static enum kp_decode_result decode_large(struct fixture *f, int n_external, int n_ranges)
{
	json_auto_t *json = json_pack(
		"{s:s s:s s:{s:s s:s} s:{s:s s:[{s:s s:i}{s:s s:i}] s:o s:o} s:{s:{s:[{s:s}]}}}",
		"kind", "Service", "apiVersion", "v1", "metadata", "name", "web", "namespace",
		"shop", "spec", "clusterIP", "10.96.0.1", "ports", "name", "a", "port", 1, "name",
		"b", "port", 2, "externalIPs", make_list("203.%d.%d.%d", n_external),
		"loadBalancerSourceRanges", make_list("198.%d.%d.%d/32", n_ranges), "status",
		"loadBalancer", "ingress", "ip", "192.0.2.9");

	assert_non_null(json);
	return decode_json(f, json);
}

static void test_decode_products_of_lists_are_limited(void **state)
{
	struct fixture *f = *state;

	/* Two ports; a cluster IP, a node port and a load balancer address each. */
	assert_int_equal(decode_large(f, 65535 / 2 - 3, 1), KP_DECODED);
	assert_int_equal(decode_large(f, 65535 / 2 - 2, 1), KP_DECODE_BAD);
	assert_non_null(strstr(f->err.text, "more than 65535"));
	assert_int_equal(decode_large(f, 1, 1 << 19), KP_DECODED);
	assert_int_equal(decode_large(f, 1, (1 << 19) + 1), KP_DECODE_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_decode_service_fields),
		TEST(test_decode_null_equals_missing),
		TEST(test_decode_service_without_cluster_ip_is_skipped),
		TEST(test_decode_cluster_ips_follow_ip_families),
		TEST(test_decode_without_ip_families_cluster_ip_counts),
		TEST(test_decode_cluster_ips_default_to_cluster_ip),
		TEST(test_decode_contradicting_families_are_refused),
		TEST(test_decode_unusable_cluster_ips_are_refused),
		TEST(test_decode_addresses_become_canonical),
		TEST(test_decode_ports_out_of_range_are_refused),
		TEST(test_decode_duplicate_ports_are_refused),
		TEST(test_decode_port_names_are_checked),
		TEST(test_decode_unknown_protocol_costs_its_port),
		TEST(test_decode_unusable_external_ips_are_ignored),
		TEST(test_decode_vips_are_ingress_of_mode_vip),
		TEST(test_decode_source_ranges_are_trimmed_and_filtered),
		TEST(test_decode_unusable_source_ranges_leave_none),
		TEST(test_decode_external_local_needs_an_external_type),
		TEST(test_decode_health_port_is_for_local_load_balancers),
		TEST(test_decode_internal_policy),
		TEST(test_decode_session_affinity_timeout),
		TEST(test_decode_creation_time),
		TEST(test_decode_products_of_lists_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
