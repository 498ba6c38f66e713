/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From JSON to the model.
 *
 * Objects are written with ' for " and decoded as node "node-1" would. */
#include "decode/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct kp_object_id id;
	struct kp_object object;
	char why[128];
	struct kp_err err;
	char warnings[1024]; /* "text|text|" */
};

static int setup(void **state)
{
	*state = kp_xcalloc(1, sizeof(struct fixture));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_object_id_clear(&f->id);
	kp_object_clear(&f->object);
	free(f);
	return 0;
}

static void on_warning(void *arg, const char *text)
{
	struct fixture *f = arg;
	size_t len = strlen(f->warnings);

	snprintf(f->warnings + len, sizeof(f->warnings) - len, "%s|", text);
}

static enum kp_decode_result decode_json(struct fixture *f, const json_t *json)
{
	const struct kp_decode_options options = {
		.node_name = "node-1", .warn = on_warning, .warn_arg = f};

	kp_object_id_clear(&f->id);
	kp_object_clear(&f->object);
	f->warnings[0] = 0;
	return kp_decode_object(json, &options, &f->id, &f->object, f->why, &f->err);
}

static enum kp_decode_result decode(struct fixture *f, const char *format, ...)
{
	enum kp_decode_result result;
	json_error_t error;
	json_t *json;
	va_list ap;
	char *text;

	va_start(ap, format);
	assert_true(vasprintf(&text, format, ap) > 0);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!json)
		fail_msg("%s in %s", error.text, text);
	free(text);
	result = decode_json(f, json);
	json_decref(json);
	return result;
}

/* Further members of spec, and what stands behind it. */
#define SERVICE(spec, rest)                                                                 \
	"{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':'shop'}," \
	"'spec':{'clusterIP':'10.96.0.1'" spec "}" rest "}"

#define SLICE(rest)                                                                              \
	"{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'web-1'," \
	"'labels':{'kubernetes.io/service-name':'web'}}" rest "}"
#define SLICE4(rest) SLICE(",'addressType':'IPv4'" rest)
#define ENDPOINT(members) SLICE4(",'endpoints':[{'addresses':['10.0.0.2']" members "}]")

#define NODE(rest) "{'apiVersion':'v1','kind':'Node','metadata':{'name':'node-1'" rest "}"

#define CIDR(cidrs)                                                                          \
	"{'apiVersion':'networking.k8s.io/v1','kind':'ServiceCIDR','metadata':{'name':'x'}," \
	"'spec':{'cidrs':" cidrs "}}"

static void assert_bad(struct fixture *f, const char *object, const char *reason)
{
	assert_int_equal(decode(f, "%s", object), KP_DECODE_BAD);
	assert_string_equal(f->err.text, reason);
}

static void assert_skipped(struct fixture *f, const char *object, const char *why)
{
	assert_int_equal(decode(f, "%s", object), KP_DECODE_SKIP);
	assert_string_equal(f->why, why);
	assert_non_null(f->id.name);
}

static const struct kp_service *decode_service(struct fixture *f, const char *object)
{
	if (decode(f, "%s", object) != KP_DECODED)
		fail_msg("%s: %s", object, f->err.text);
	assert_int_equal(f->object.kind, KP_KIND_SERVICE);
	return f->object.service;
}

static const struct kp_endpointslice *decode_slice(struct fixture *f, const char *object)
{
	if (decode(f, "%s", object) != KP_DECODED)
		fail_msg("%s: %s", object, f->err.text);
	assert_int_equal(f->object.kind, KP_KIND_ENDPOINTSLICE);
	return f->object.slice;
}

static const struct kp_node *decode_node(struct fixture *f, const char *object)
{
	if (decode(f, "%s", object) != KP_DECODED)
		fail_msg("%s: %s", object, f->err.text);
	assert_int_equal(f->object.kind, KP_KIND_NODE);
	return f->object.node;
}

static void assert_addr(enum kp_family family, const struct kp_addr *addr, const char *expected)
{
	char text[KP_ADDR_TEXT_SIZE];

	assert_string_equal(kp_addr_text(family, addr, text), expected);
}

static void assert_list_addr(const struct kp_addr_list *list, size_t i, const char *expected)
{
	assert_true(i < list->n);
	assert_addr(list->items[i].family, &list->items[i].addr, expected);
}

static void assert_prefix(const struct kp_prefix *prefix, const char *expected)
{
	char text[KP_ADDR_TEXT_SIZE];

	assert_string_equal(kp_prefix_text(prefix, text), expected);
}

/* --- kinds and names --- */

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

/* --- Services --- */

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

	assert_true(s->has_source_ranges);
	assert_int_equal(s->source_ranges.n, 2);
	assert_prefix(&s->source_ranges.items[0], "10.0.0.0/8");
	assert_prefix(&s->source_ranges.items[1], "2001:db8::/32");
	assert_string_equal(f->warnings,
			    "spec.loadBalancerSourceRanges[1]: 'x' is not a CIDR, ignored|");
}

/* SV-6 */
static void test_decode_remembers_that_there_were_source_ranges(void **state)
{
	const struct kp_service *s =
		decode_service(*state, SERVICE(",'loadBalancerSourceRanges':['x']", ""));

	assert_true(s->has_source_ranges);
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

/* --- EndpointSlices --- */

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

/* --- Nodes and ServiceCIDRs --- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		TEST(test_decode_remembers_that_there_were_source_ranges),
		TEST(test_decode_external_local_needs_an_external_type),
		TEST(test_decode_health_port_is_for_local_load_balancers),
		TEST(test_decode_internal_policy),
		TEST(test_decode_session_affinity_timeout),
		TEST(test_decode_creation_time),
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
