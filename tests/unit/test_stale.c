/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual services are written as "FRONTENDS > CLUSTER SET | LOCAL SET", a node port as "*:30053".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conntrack/stale.h"

struct fixture {
	struct kp_stale stale;
	struct kp_plan plan;
	struct kp_vservices have[4];
};

static int setup(void **state)
{
	*state = kp_xcalloc(1, sizeof(struct fixture));
	return 0;
}

static void clear_plan(struct fixture *f)
{
	kp_plan_clear(&f->plan);
	for (int i = 0; i < 4; i++)
		kp_vservices_clear(&f->have[i]);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clear_plan(f);
	kp_stale_clear(&f->stale);
	free(f);
	return 0;
}

static void parse_target(char *text, uint8_t *family, struct kp_target *ret)
{
	char *colon = strrchr(text, ':');
	enum kp_family parsed;

	memset(ret, 0, sizeof(*ret));
	ret->port = atoi(colon + 1);
	*colon = 0;
	if (strcmp(text, "*") == 0)
		return;
	assert_int_equal(kp_addr_parse(text, &parsed, &ret->addr), 0);
	*family = parsed;
}

static void parse_service(const char *text, uint8_t proto, const char *port_name,
			  struct kp_vservices *ret)
{
	struct kp_vservice *v = kp_vservices_add(ret);
	kp_autofree char *copy = kp_xstrdup(text);
	struct kp_endpoint_set *set = NULL;

	v->port_name = kp_name_get(port_name);
	v->proto = proto;
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		struct kp_target t;

		if (strchr(">|+", *word)) {
			set = *word == '>' ? &v->cluster : *word == '|' ? &v->local : &v->serving;
			continue;
		}
		parse_target(word, &v->family, &t);
		if (set) {
			kp_endpoint_set_add(set, &t.addr, t.port);
		} else {
			struct kp_frontend *f = kp_vservice_add_frontend(v);

			f->addr = t.addr;
			f->port = t.port;
			f->type = kp_addr_is_zero(&t.addr) ? KP_NODE_PORT : KP_CLUSTER_IP;
		}
	}
}

/* Adds the change of one more owner to the plan; NULL: not there. */
static void change_proto(struct fixture *f, uint8_t proto, const char *have, const char *want)
{
	struct kp_vservices *h = &f->have[f->plan.n_changes], w = {0};

	if (have)
		parse_service(have, proto, "dns", h);
	if (want)
		parse_service(want, proto, "dns", &w);
	kp_plan_add(&f->plan, "default/dns", h, &w);
}

static void change(struct fixture *f, const char *have, const char *want)
{
	change_proto(f, IPPROTO_UDP, have, want);
}

static void carry_out(struct fixture *f)
{
	struct kp_prefix node[2];

	assert_int_equal(kp_prefix_parse("192.0.2.1/32", &node[0]), 0);
	assert_int_equal(kp_prefix_parse("2001:db8::1/128", &node[1]), 0);
	kp_stale_update(&f->stale, &f->plan, node, 2);
	clear_plan(f);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void assert_stale(const struct fixture *f, const char *expected)
{
	char lines[16][160], text[2048] = "", from[KP_ADDR_TEXT_SIZE], to[KP_ADDR_TEXT_SIZE];
	size_t n = 0;

	for (struct kp_stale_flow *s = f->stale.flows; s; s = s->hh.next)
		snprintf(lines[n++], sizeof(lines[0]), "%s>%s ",
			 kp_addr_port_text(s->flow.family, &s->flow.frontend, s->flow.frontend_port,
					   from),
			 kp_addr_port_text(s->flow.family, &s->flow.endpoint, s->flow.endpoint_port,
					   to));
	qsort(lines, n, sizeof(lines[0]), by_text);
	for (size_t i = 0; i < n; i++)
		strcat(text, lines[i]);
	assert_string_equal(text, expected);
}

/* CT-4 */
static void test_stale_endpoint_leaves(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 203.0.113.1:53 *:30053 > 10.180.0.1:80 10.180.0.2:80",
	       "10.96.0.1:53 203.0.113.1:53 *:30053 > 10.180.0.2:80");
	carry_out(f);
	assert_stale(f, "0.0.0.0:30053>10.180.0.1:80 10.96.0.1:53>10.180.0.1:80 "
			"203.0.113.1:53>10.180.0.1:80 ");
}

static void test_stale_ipv6_endpoint_leaves(void **state)
{
	struct fixture *f = *state;

	change(f, "fd00::1:53 *:30053 > fd00:180::1:80 fd00:180::2:80",
	       "fd00::1:53 *:30053 > fd00:180::2:80");
	carry_out(f);
	assert_stale(f, "[::]:30053>[fd00:180::1]:80 [fd00::1]:53>[fd00:180::1]:80 ");
}

static void test_stale_endpoint_moves_to_another_port(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80", "10.96.0.1:53 > 10.180.0.1:81");
	carry_out(f);
	assert_stale(f, "10.96.0.1:53>10.180.0.1:80 ");
}

static void test_stale_slots_that_move_are_not(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80 10.180.0.3:80",
	       "10.96.0.1:53 > 10.180.0.3:80 10.180.0.1:80 10.180.0.2:80");
	carry_out(f);
	assert_stale(f, "");
}

/* CT-3 */
static void test_stale_policies_do_not_matter(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80 | 10.180.0.3:80",
	       "10.96.0.1:53 > 10.180.0.1:80 10.180.0.3:80 | 10.180.0.2:80");
	carry_out(f);
	assert_stale(f, "");
}

/* CT-3 */
static void test_stale_endpoint_that_still_serves_is_not(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80 + 10.180.0.1:80 10.180.0.2:80",
	       "10.96.0.1:53 > 10.180.0.2:80 + 10.180.0.1:80 10.180.0.2:80");
	carry_out(f);
	assert_stale(f, "");
	change(f, "10.96.0.1:53 > 10.180.0.2:80 + 10.180.0.1:80 10.180.0.2:80",
	       "10.96.0.1:53 > 10.180.0.2:80 + 10.180.0.2:80");
	carry_out(f);
	assert_stale(f, "10.96.0.1:53>10.180.0.1:80 ");
}

/* CT-13 */
static void test_stale_last_endpoint_leaves(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 *:30053 > 10.180.0.1:80", "10.96.0.1:53 *:30053 >");
	carry_out(f);
	assert_stale(f, "0.0.0.0:30053>10.180.0.1:80 10.96.0.1:53>10.180.0.1:80 ");
}

/* CT-13 */
static void test_stale_service_goes(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80", NULL);
	carry_out(f);
	assert_stale(f, "10.96.0.1:53>10.180.0.1:80 10.96.0.1:53>10.180.0.2:80 ");
}

static void test_stale_frontends_move(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 *:30053 > 10.180.0.1:80", "10.96.0.2:53 *:30054 > 10.180.0.1:80");
	carry_out(f);
	assert_stale(f, "0.0.0.0:30053>10.180.0.1:80 10.96.0.1:53>10.180.0.1:80 "
			"10.96.0.2:53>10.96.0.2:53 192.0.2.1:30054>192.0.2.1:30054 ");
}

/* CT-5, CT-11 */
static void test_stale_first_endpoint_comes(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 *:30053 >", "10.96.0.1:53 *:30053 > 10.180.0.1:80");
	change(f, "fd00::1:53 *:30053 >", "fd00::1:53 *:30053 > fd00:180::1:80");
	assert_true(kp_stale_needs_node_addrs(&f->plan));
	carry_out(f);
	assert_stale(f, "10.96.0.1:53>10.96.0.1:53 192.0.2.1:30053>192.0.2.1:30053 "
			"[2001:db8::1]:30053>[2001:db8::1]:30053 [fd00::1]:53>[fd00::1]:53 ");
}

static void test_stale_second_endpoint_concerns_nobody(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 *:30053 > 10.180.0.1:80",
	       "10.96.0.1:53 *:30053 > 10.180.0.1:80 10.180.0.2:80");
	assert_false(kp_stale_needs_node_addrs(&f->plan));
	carry_out(f);
	assert_stale(f, "");
}

/* The rules may have been away for a while. */
static void test_stale_after_a_repair(void **state)
{
	struct fixture *f = *state;
	struct kp_state installed = {0};
	struct kp_vservices vs = {0};
	struct kp_prefix node;

	parse_service("10.96.0.1:53 *:30053 > 10.180.0.1:80", IPPROTO_UDP, "dns", &vs);
	parse_service("10.96.0.2:53 >", IPPROTO_UDP, "empty", &vs);
	parse_service("10.96.0.3:53 > 10.180.0.1:80", IPPROTO_TCP, "tcp", &vs);
	/* Looks untranslated when it is right (CT-3). */
	parse_service("203.0.113.1:53 > 10.180.0.1:80 203.0.113.1:53", IPPROTO_UDP, "self", &vs);
	kp_state_put(&installed, "default/dns", &vs);
	assert_int_equal(kp_prefix_parse("192.0.2.1/32", &node), 0);
	kp_stale_add_unserved(&f->stale, &installed, &node, 1);
	assert_stale(f, "10.96.0.1:53>10.96.0.1:53 10.96.0.3:53>10.96.0.3:53 "
			"192.0.2.1:30053>192.0.2.1:30053 ");
	/* A second repair while a pass is running: it may be beyond what has come since. */
	for (struct kp_stale_flow *s = f->stale.flows; s; s = s->hh.next)
		s->selected = true;
	kp_stale_add_unserved(&f->stale, &installed, &node, 1);
	kp_stale_remove_selected(&f->stale);
	assert_stale(f, "10.96.0.1:53>10.96.0.1:53 10.96.0.3:53>10.96.0.3:53 "
			"192.0.2.1:30053>192.0.2.1:30053 ");
	kp_state_clear(&installed);
}

/* CT-7 */
static void test_stale_tcp_and_sctp_never(void **state)
{
	struct fixture *f = *state;

	change_proto(f, IPPROTO_TCP, "10.96.0.1:53 *:30053 > 10.180.0.1:80", NULL);
	change_proto(f, IPPROTO_SCTP, NULL, "10.96.0.1:53 *:30053 > 10.180.0.1:80");
	assert_false(kp_stale_needs_node_addrs(&f->plan));
	carry_out(f);
	assert_stale(f, "");
}

static void assert_handover(struct fixture *f)
{
	carry_out(f);
	/* 10.180.0.2 serves the frontend before and after, 10.180.0.1 does no more. */
	assert_stale(f, "10.96.0.1:53>10.180.0.1:80 10.96.0.1:53>10.96.0.1:53 ");
}

static void test_stale_frontend_passes_to_a_later_owner(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80", NULL);
	change(f, NULL, "10.96.0.1:53 > 10.180.0.2:80 10.180.0.3:80");
	assert_handover(f);
}

static void test_stale_frontend_passes_to_an_earlier_owner(void **state)
{
	struct fixture *f = *state;

	change(f, NULL, "10.96.0.1:53 > 10.180.0.2:80 10.180.0.3:80");
	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80", NULL);
	assert_handover(f);
}

/* The flows of the Service that lost the endpoint end, those of the other one go on. */
static void test_stale_endpoint_passes_to_another_service(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80", "10.96.0.1:53 > 10.180.0.1:80");
	change(f, "10.96.0.2:53 > 10.180.0.3:80", "10.96.0.2:53 > 10.180.0.3:80 10.180.0.2:80");
	carry_out(f);
	assert_stale(f, "10.96.0.1:53>10.180.0.2:80 ");
}

static void test_stale_port_is_renamed(void **state)
{
	struct fixture *f = *state;
	struct kp_vservices want = {0};

	parse_service("10.96.0.1:53 > 10.180.0.1:80", IPPROTO_UDP, "old", &f->have[0]);
	parse_service("10.96.0.1:53 > 10.180.0.1:80", IPPROTO_UDP, "new", &want);
	kp_plan_add(&f->plan, "default/dns", &f->have[0], &want);
	carry_out(f);
	assert_stale(f, "10.96.0.1:53>10.96.0.1:53 ");
}

static void test_stale_endpoint_comes_back_before_the_deletion(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80", "10.96.0.1:53 > 10.180.0.2:80");
	carry_out(f);
	change(f, "10.96.0.1:53 > 10.180.0.2:80", "10.96.0.1:53 > 10.180.0.2:80 10.180.0.1:80");
	carry_out(f);
	assert_stale(f, "");
}

static void test_stale_the_same_is_noted_once(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		change(f, "10.96.0.1:53 > 10.180.0.1:80", "10.96.0.1:53 >");
		carry_out(f);
	}
	assert_stale(f, "10.96.0.1:53>10.180.0.1:80 ");
}

static struct kp_flow_filter select_some(struct fixture *f)
{
	struct kp_flow_filter filter;

	kp_stale_select(&f->stale, &filter);
	return filter;
}

static void test_stale_filter_knows_the_endpoint_that_left(void **state)
{
	struct fixture *f = *state;
	struct kp_flow_filter filter;

	change(f, "10.96.0.1:53 *:30053 > 10.180.0.1:80", "10.96.0.1:53 *:30053 >");
	carry_out(f);
	filter = select_some(f);
	assert_true(filter.translated_only);
	assert_true(kp_addr_is_zero(&filter.like.frontend));
	assert_int_equal(filter.like.frontend_port, 0);
	assert_int_equal(filter.like.endpoint_port, 80);
	assert_memory_equal(filter.like.endpoint.bytes, ((uint8_t[]){10, 180, 0, 1}), 4);
}

static void test_stale_filter_knows_the_frontend_that_left(void **state)
{
	struct fixture *f = *state;
	struct kp_flow_filter filter;

	change(f, "10.96.0.1:53 > 10.180.0.1:80 10.180.0.2:80", NULL);
	carry_out(f);
	filter = select_some(f);
	assert_memory_equal(filter.like.frontend.bytes, ((uint8_t[]){10, 96, 0, 1}), 4);
	assert_int_equal(filter.like.frontend_port, 53);
	assert_true(kp_addr_is_zero(&filter.like.endpoint));
}

static void test_stale_untranslated_flows_are_looked_for_apart(void **state)
{
	struct fixture *f = *state;
	struct kp_flow_filter filter;

	change(f, "10.96.0.1:53 > 10.180.0.1:80", "10.96.0.2:53 > 10.180.0.1:80");
	carry_out(f);
	filter = select_some(f);
	assert_true(filter.translated_only);
	kp_stale_remove_selected(&f->stale);
	assert_stale(f, "10.96.0.2:53>10.96.0.2:53 ");
	filter = select_some(f);
	assert_false(filter.translated_only);
}

static void test_stale_selects_a_family_and_keeps_what_comes_later(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 > 10.180.0.1:80", NULL);
	change(f, "fd00::1:53 > fd00:180::1:80", NULL);
	carry_out(f);
	assert_int_equal(select_some(f).like.family, KP_IPV4);
	change(f, "10.96.0.1:54 > 10.180.0.1:80", NULL);
	carry_out(f);
	kp_stale_remove_selected(&f->stale);
	assert_stale(f, "10.96.0.1:54>10.180.0.1:80 [fd00::1]:53>[fd00:180::1]:80 ");
}

static void test_stale_very_many_are_looked_for_together(void **state)
{
	struct fixture *f = *state;

	change(f,
	       "10.96.0.1:53 10.96.0.2:53 10.96.0.3:53 > 10.180.0.1:80 10.180.0.2:80 10.180.0.3:80",
	       NULL);
	change(f, "fd00::1:53 > fd00:180::1:80", NULL);
	carry_out(f);
	assert_int_equal(select_some(f).like.frontend_port, 53);
	kp_stale_remove_selected(&f->stale);
	assert_stale(f, "[fd00::1]:53>[fd00:180::1]:80 ");
}

static void assert_matches(struct fixture *f, bool expected, const char *from, const char *to)
{
	kp_autofree char *a = kp_xstrdup(from), *b = kp_xstrdup(to);
	struct kp_target frontend, endpoint;
	struct kp_flow flow = {0};
	uint8_t family = 0;

	parse_target(a, &family, &frontend);
	parse_target(b, &family, &endpoint);
	flow = (struct kp_flow){.frontend = frontend.addr,
				.frontend_port = frontend.port,
				.endpoint = endpoint.addr,
				.endpoint_port = endpoint.port,
				.family = family,
				.proto = IPPROTO_UDP};
	assert_int_equal(kp_stale_matches(&f->stale, &flow), expected);
}

static void test_stale_matches_exactly_and_node_ports_anywhere(void **state)
{
	struct fixture *f = *state;

	change(f, "10.96.0.1:53 *:30053 > 10.180.0.1:30053", "10.96.0.1:53 *:30053 >");
	carry_out(f);
	assert_matches(f, true, "10.96.0.1:53", "10.180.0.1:30053");
	assert_matches(f, true, "192.0.2.99:30053", "10.180.0.1:30053");
	assert_matches(f, false, "10.96.0.2:53", "10.180.0.1:30053");
	assert_matches(f, false, "10.96.0.1:53", "10.180.0.2:30053");
	assert_matches(f, false, "192.0.2.99:30054", "10.180.0.1:30053");
	/* Straight to the pod, without any Service. */
	assert_matches(f, false, "10.180.0.1:30053", "10.180.0.1:30053");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_stale_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(endpoint_leaves),
		TEST(ipv6_endpoint_leaves),
		TEST(endpoint_moves_to_another_port),
		TEST(slots_that_move_are_not),
		TEST(policies_do_not_matter),
		TEST(endpoint_that_still_serves_is_not),
		TEST(last_endpoint_leaves),
		TEST(service_goes),
		TEST(frontends_move),
		TEST(first_endpoint_comes),
		TEST(second_endpoint_concerns_nobody),
		TEST(after_a_repair),
		TEST(tcp_and_sctp_never),
		TEST(frontend_passes_to_a_later_owner),
		TEST(frontend_passes_to_an_earlier_owner),
		TEST(endpoint_passes_to_another_service),
		TEST(port_is_renamed),
		TEST(endpoint_comes_back_before_the_deletion),
		TEST(the_same_is_noted_once),
		TEST(filter_knows_the_endpoint_that_left),
		TEST(filter_knows_the_frontend_that_left),
		TEST(untranslated_flows_are_looked_for_apart),
		TEST(selects_a_family_and_keeps_what_comes_later),
		TEST(very_many_are_looked_for_together),
		TEST(matches_exactly_and_node_ports_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
