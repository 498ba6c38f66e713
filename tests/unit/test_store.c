/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects in the store, and what their changes mark. */
#include "model/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "track/tracker.h"

struct fixture {
	struct kp_tracker *tracker;
	struct kp_store *store;
};

static int setup(void **state)
{
	struct fixture *f = kp_xcalloc(1, sizeof(*f));

	f->tracker = kp_tracker_new(NULL, NULL);
	f->store = kp_store_new(f->tracker);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_store_free(f->store);
	kp_tracker_free(f->tracker);
	free(f);
	return 0;
}

static struct kp_addr addr4(uint8_t last)
{
	return (struct kp_addr){.bytes = {10, 0, 0, last}};
}

static bool put_service(struct fixture *f, const char *name, uint16_t port)
{
	struct kp_service *service = kp_xcalloc(1, sizeof(*service));
	struct kp_object object = {.kind = KP_KIND_SERVICE, .service = service};
	bool changed;

	service->ns = kp_name_get("default");
	service->name = kp_xstrdup(name);
	service->cluster_ip[KP_IPV4] = addr4(1);
	service->n_ports = 1;
	service->ports = kp_xcalloc(1, sizeof(*service->ports));
	service->ports[0] = (struct kp_service_port){
		.name = kp_name_get("http"), .proto = IPPROTO_TCP, .port = port};
	changed = kp_store_put(f->store, &object);
	assert_null(object.any);
	return changed;
}

static bool put_slice(struct fixture *f, const char *name, const char *service, bool ready,
		      const char *zone)
{
	struct kp_endpointslice *slice = kp_xcalloc(1, sizeof(*slice));
	struct kp_object object = {.kind = KP_KIND_ENDPOINTSLICE, .slice = slice};

	slice->ns = kp_name_get("default");
	slice->name = kp_xstrdup(name);
	slice->service = kp_xstrdup(service);
	slice->n_endpoints = 1;
	slice->endpoints = kp_xcalloc(1, sizeof(*slice->endpoints));
	slice->endpoints[0] = (struct kp_endpoint){.addr = addr4(2), .ready = ready};
	if (zone)
		slice->endpoints[0].zone_hints = kp_name_get(zone);
	return kp_store_put(f->store, &object);
}

static bool put_node(struct fixture *f, const char *zone, uint8_t ip)
{
	struct kp_node *node = kp_xcalloc(1, sizeof(*node));
	struct kp_object object = {.kind = KP_KIND_NODE, .node = node};

	node->name = kp_xstrdup("node-1");
	node->zone = kp_xstrdup(zone);
	node->ip[KP_IPV4] = addr4(ip);
	return kp_store_put(f->store, &object);
}

static bool put_cidr(struct fixture *f, const char *name, uint8_t len)
{
	struct kp_servicecidr *cidr = kp_xcalloc(1, sizeof(*cidr));
	struct kp_object object = {.kind = KP_KIND_SERVICECIDR, .cidr = cidr};

	cidr->name = kp_xstrdup(name);
	cidr->cidrs.n = 1;
	cidr->cidrs.items = kp_xcalloc(1, sizeof(*cidr->cidrs.items));
	cidr->cidrs.items[0].len = len;
	return kp_store_put(f->store, &object);
}

static void append_key(void *arg, const char *key)
{
	strcat(arg, key);
	strcat(arg, " ");
}

/* What is marked, as "key key ", and forgets it. */
static void assert_marked(struct fixture *f, const char *expected)
{
	char text[256] = "";

	kp_tracker_each(f->tracker, append_key, text);
	assert_string_equal(text, expected);
	kp_tracker_clear(f->tracker);
}

static void test_store_put_marks_the_service(void **state)
{
	assert_true(put_service(*state, "web", 80));
	assert_marked(*state, "default/web ");
}

/* ES-12, SY-6 */
static void test_store_put_of_an_equal_object_marks_nothing(void **state)
{
	put_service(*state, "web", 80);
	put_slice(*state, "web-1", "web", true, "zone-a");
	put_node(*state, "zone-a", 1);
	put_cidr(*state, "kubernetes", 16);
	assert_marked(*state, "default/web ");
	assert_false(put_service(*state, "web", 80));
	assert_false(put_slice(*state, "web-1", "web", true, "zone-a"));
	assert_false(put_node(*state, "zone-a", 1));
	assert_false(put_cidr(*state, "kubernetes", 16));
	assert_false(kp_tracker_is_dirty(((struct fixture *)*state)->tracker));
}

static void test_store_sees_a_change_of_a_condition_or_hint(void **state)
{
	put_slice(*state, "web-1", "web", true, NULL);
	assert_true(put_slice(*state, "web-1", "web", false, NULL));
	assert_true(put_slice(*state, "web-1", "web", false, "zone-a"));
	assert_true(put_slice(*state, "web-1", "web", false, "zone-b"));
	assert_marked(*state, "default/web ");
}

/* ES-9 */
static void test_store_keeps_slices_that_come_before_their_service(void **state)
{
	struct fixture *f = *state;
	struct kp_store_service found;

	put_slice(f, "web-1", "web", true, NULL);
	assert_true(kp_store_get(f->store, "default/web", &found));
	assert_null(found.service);
	assert_int_equal(kp_store_count(f->store, KP_KIND_SERVICE), 0);
	put_service(f, "web", 80);
	assert_true(kp_store_get(f->store, "default/web", &found));
	assert_non_null(found.service);
	assert_int_equal(found.n_slices, 1);
}

/* ES-9 */
static void test_store_keeps_slices_that_survive_their_service(void **state)
{
	struct fixture *f = *state;
	struct kp_store_service found;

	put_service(f, "web", 80);
	put_slice(f, "web-1", "web", true, NULL);
	assert_true(kp_store_remove(f->store, KP_KIND_SERVICE, "default", "web"));
	assert_true(kp_store_get(f->store, "default/web", &found));
	assert_null(found.service);
	assert_true(kp_store_remove(f->store, KP_KIND_ENDPOINTSLICE, "default", "web-1"));
	assert_false(kp_store_get(f->store, "default/web", &found));
}

/* ES-7 */
static void test_store_sorts_slices_by_name(void **state)
{
	struct fixture *f = *state;
	struct kp_store_service found;

	put_slice(f, "web-b", "web", true, NULL);
	put_slice(f, "web-c", "web", true, NULL);
	put_slice(f, "web-a", "web", true, NULL);
	kp_store_remove(f->store, KP_KIND_ENDPOINTSLICE, "default", "web-b");
	kp_store_get(f->store, "default/web", &found);
	assert_int_equal(found.n_slices, 2);
	assert_string_equal(found.slices[0]->name, "web-a");
	assert_string_equal(found.slices[1]->name, "web-c");
}

/* ES-10 */
static void test_store_slice_that_changes_its_service_marks_both(void **state)
{
	struct fixture *f = *state;
	struct kp_store_service found;

	put_slice(f, "web-1", "web", true, NULL);
	kp_tracker_clear(f->tracker);
	put_slice(f, "web-1", "api", true, NULL);
	assert_marked(f, "default/api default/web ");
	assert_false(kp_store_get(f->store, "default/web", &found));
	assert_true(kp_store_get(f->store, "default/api", &found));
	assert_int_equal(kp_store_count(f->store, KP_KIND_ENDPOINTSLICE), 1);
}

static void test_store_remove_of_what_is_not_there_marks_nothing(void **state)
{
	struct fixture *f = *state;

	put_slice(f, "web-1", "web", true, NULL);
	kp_tracker_clear(f->tracker);
	assert_false(kp_store_remove(f->store, KP_KIND_SERVICE, "default", "web"));
	assert_false(kp_store_remove(f->store, KP_KIND_ENDPOINTSLICE, "other", "web-1"));
	assert_false(kp_store_remove(f->store, KP_KIND_NODE, "", "node-1"));
	assert_false(kp_store_remove(f->store, KP_KIND_SERVICECIDR, "", "kubernetes"));
	assert_false(kp_tracker_is_dirty(f->tracker));
}

/* FW-4 */
static bool put_triggered_slice(struct fixture *f, const char *service, int64_t trigger_us,
				uint8_t ip)
{
	struct kp_endpointslice *slice = kp_xcalloc(1, sizeof(*slice));
	struct kp_object object = {.kind = KP_KIND_ENDPOINTSLICE, .slice = slice};

	slice->ns = kp_name_get("default");
	slice->name = kp_xstrdup("web-1");
	slice->service = kp_xstrdup(service);
	slice->trigger_us = trigger_us;
	slice->n_endpoints = 1;
	slice->endpoints = kp_xcalloc(1, sizeof(*slice->endpoints));
	slice->endpoints[0] = (struct kp_endpoint){.addr = addr4(ip), .ready = true};
	return kp_store_put(f->store, &object);
}

static void append_trigger(void *arg, enum kp_family family, int64_t at_us)
{
	(void)family;
	sprintf((char *)arg + strlen(arg), "%d ", (int)at_us);
}

static void assert_triggers(struct fixture *f, const char *expected)
{
	char text[64] = "";

	kp_tracker_each_trigger(f->tracker, append_trigger, text);
	assert_string_equal(text, expected);
}

static void test_store_hands_trigger_times_of_real_changes_on(void **state) /* ES-11, ES-12 */
{
	struct fixture *f = *state;

	put_triggered_slice(f, "web", 5, 1);
	assert_false(put_triggered_slice(f, "web", 6, 1));
	put_triggered_slice(f, "web", 7, 2);
	assert_triggers(f, "5 7 ");
	put_triggered_slice(f, "api", 8, 2); /* the times of "web" were about its slice */
	assert_triggers(f, "8 ");
	kp_store_remove(f->store, KP_KIND_ENDPOINTSLICE, "default", "web-1");
	assert_triggers(f, "");
}

static void test_store_counts_changes(void **state) /* ME-6 */
{
	struct fixture *f = *state;

	put_service(f, "web", 80);
	put_service(f, "web", 80);
	put_service(f, "web", 81);
	put_triggered_slice(f, "web", 0, 1);
	put_triggered_slice(f, "web", 0, 2);
	kp_store_remove(f->store, KP_KIND_ENDPOINTSLICE, "default", "web-1");
	assert_int_equal(kp_tracker_n_changes(f->tracker, KP_CHANGE_OF_SERVICE), 2);
	assert_int_equal(kp_tracker_n_changes(f->tracker, KP_CHANGE_OF_ENDPOINTS), 3);
	assert_int_equal(kp_tracker_n_pending(f->tracker, KP_CHANGE_OF_ENDPOINTS), 1);
}

static void test_store_node_address_marks_all_services(void **state)
{
	struct fixture *f = *state;

	put_service(f, "web", 80);
	put_node(f, "zone-a", 1);
	kp_tracker_clear(f->tracker);
	put_node(f, "zone-a", 2);
	assert_true(kp_tracker_facts_dirty(f->tracker));
	assert_marked(f, "default/web ");
}

/* ND-5 */
static void test_store_node_zone_marks_all_services(void **state)
{
	struct fixture *f = *state;

	put_service(f, "web", 80);
	put_service(f, "api", 80);
	put_slice(f, "only-a-slice", "nothing", true, NULL);
	put_node(f, "zone-a", 1);
	kp_tracker_clear(f->tracker);
	put_node(f, "zone-b", 1);
	assert_marked(f, "default/api default/web ");
}

/* ND-3 */
static void test_store_given_address_is_the_nodes(void **state)
{
	const struct kp_addr given = addr4(9), loopback = {.bytes = {127, 0, 0, 1}};
	struct fixture *f = *state;

	assert_null(kp_store_node_ip(f->store, KP_IPV4));
	kp_store_override_node_ip(f->store, KP_IPV4, &given);
	assert_true(kp_addr_equal(kp_store_node_ip(f->store, KP_IPV4), &given));
	put_node(f, "zone-a", 1);
	assert_true(kp_addr_equal(kp_store_node_ip(f->store, KP_IPV4), &given));
	assert_true(kp_addr_equal(&kp_store_node(f->store)->ip[KP_IPV4], &given));
	assert_null(kp_store_node_ip(f->store, KP_IPV6));
	kp_store_override_node_ip(f->store, KP_IPV4, &loopback);
	assert_null(kp_store_node_ip(f->store, KP_IPV4));
}

static void test_store_removed_node_is_gone(void **state)
{
	struct fixture *f = *state;

	put_node(f, "zone-a", 1);
	assert_false(kp_store_remove(f->store, KP_KIND_NODE, "", "node-2"));
	assert_true(kp_store_remove(f->store, KP_KIND_NODE, "", "node-1"));
	assert_null(kp_store_node(f->store));
}

/* A Node object that is deleted and made anew does not change who we are (ND-8). */
static void test_store_remembers_the_last_node(void **state)
{
	struct kp_node *fresh = kp_xcalloc(1, sizeof(*fresh));
	struct kp_object object = {.kind = KP_KIND_NODE, .node = fresh};
	struct fixture *f = *state;
	const struct kp_node *last;

	put_service(f, "web", 80);
	put_node(f, "zone-a", 1);
	kp_store_remove(f->store, KP_KIND_NODE, "", "node-1");
	assert_int_equal(kp_store_node_ip(f->store, KP_IPV4)->bytes[3], 1);
	kp_tracker_clear(f->tracker);
	fresh->name = kp_xstrdup("node-1");
	fresh->zone = kp_xstrdup("zone-a");
	kp_store_put(f->store, &object);
	last = kp_store_last_node(f->store);
	assert_ptr_equal(last, kp_store_node(f->store));
	assert_int_equal(last->ip[KP_IPV4].bytes[3], 1);
	assert_marked(f, "");
}

static void sum_len(void *arg, const struct kp_prefix *cidr)
{
	*(unsigned int *)arg += cidr->len;
}

static void test_store_replaces_and_removes_service_ranges(void **state)
{
	struct fixture *f = *state;
	unsigned int sum = 0;

	put_cidr(f, "a", 16);
	put_cidr(f, "b", 24);
	assert_true(put_cidr(f, "a", 20));
	kp_store_each_service_cidr(f->store, sum_len, &sum);
	assert_int_equal(sum, 44);
	kp_tracker_clear(f->tracker);
	assert_true(kp_store_remove(f->store, KP_KIND_SERVICECIDR, "", "b"));
	assert_true(kp_tracker_facts_dirty(f->tracker));
	assert_int_equal(kp_store_count(f->store, KP_KIND_SERVICECIDR), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void test_store_removes_what_a_complete_list_lacks(void **state) /* RF-10 */
{
	struct fixture *f = *state;

	put_service(f, "a", 80);
	put_service(f, "b", 80);
	put_service(f, "c", 80);
	kp_tracker_clear(f->tracker);
	kp_store_begin_list(f->store, KP_KIND_SERVICE);
	put_service(f, "a", 80);
	/* A list that breaks off removes nothing; the next one begins anew. */
	kp_store_begin_list(f->store, KP_KIND_SERVICE);
	put_service(f, "b", 80);
	kp_store_keep(f->store, KP_KIND_SERVICE, "default", "c");
	kp_store_keep(f->store, KP_KIND_SERVICE, "default", "unknown");
	assert_int_equal(kp_store_count(f->store, KP_KIND_SERVICE), 3);
	assert_int_equal(kp_tracker_n_services(f->tracker), 0);
	assert_int_equal(kp_store_end_list(f->store, KP_KIND_SERVICE), 1);
	assert_int_equal(kp_store_count(f->store, KP_KIND_SERVICE), 2);
	assert_int_equal(kp_tracker_n_services(f->tracker), 1);
}

static void test_store_keeps_the_lists_of_kinds_apart(void **state)
{
	struct fixture *f = *state;

	put_service(f, "a", 80);
	kp_store_begin_list(f->store, KP_KIND_ENDPOINTSLICE);
	assert_int_equal(kp_store_end_list(f->store, KP_KIND_ENDPOINTSLICE), 0);
	kp_store_begin_list(f->store, KP_KIND_NODE);
	assert_int_equal(kp_store_end_list(f->store, KP_KIND_NODE), 0);
	assert_int_equal(kp_store_count(f->store, KP_KIND_SERVICE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_put_marks_the_service),
		TEST(test_store_put_of_an_equal_object_marks_nothing),
		TEST(test_store_sees_a_change_of_a_condition_or_hint),
		TEST(test_store_keeps_slices_that_come_before_their_service),
		TEST(test_store_keeps_slices_that_survive_their_service),
		TEST(test_store_sorts_slices_by_name),
		TEST(test_store_slice_that_changes_its_service_marks_both),
		TEST(test_store_remove_of_what_is_not_there_marks_nothing),
		TEST(test_store_hands_trigger_times_of_real_changes_on),
		TEST(test_store_counts_changes),
		TEST(test_store_node_address_marks_all_services),
		TEST(test_store_node_zone_marks_all_services),
		TEST(test_store_given_address_is_the_nodes),
		TEST(test_store_removed_node_is_gone),
		TEST(test_store_remembers_the_last_node),
		TEST(test_store_replaces_and_removes_service_ranges),
		TEST(test_store_removes_what_a_complete_list_lacks),
		TEST(test_store_keeps_the_lists_of_kinds_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
