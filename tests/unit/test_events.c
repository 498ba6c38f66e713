/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events are written and how; the limits behind them. */
#include "events/body.h"
#include "events/series.h"
#include "util/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- token buckets --- */

static void test_bucket_gives_a_burst_and_then_its_rate(void **state)
{
	struct kp_bucket b;

	(void)state;
	kp_bucket_init(&b, 5, 10);
	for (int i = 0; i < 10; i++)
		assert_true(kp_bucket_take(&b, 1000));
	assert_false(kp_bucket_take(&b, 1000));
	assert_false(kp_bucket_take(&b, 1199));
	assert_true(kp_bucket_take(&b, 1201));
	assert_false(kp_bucket_take(&b, 1202));
	/* Never more than the burst, however long nobody asked. */
	for (int i = 0; i < 10; i++)
		assert_true(kp_bucket_take(&b, 900000));
	assert_false(kp_bucket_take(&b, 900000));
}

static void test_bucket_waiting_is_enough(void **state)
{
	uint64_t now = 7;
	struct kp_bucket b;

	(void)state;
	kp_bucket_init(&b, 0.3, 1);
	assert_true(kp_bucket_take(&b, now));
	for (int i = 0; i < 1000; i++) {
		uint64_t wait = kp_bucket_wait_ms(&b, now);

		assert_in_range(wait, 3330, 3340);
		now += wait;
		assert_true(kp_bucket_take(&b, now));
	}
}

static void test_bucket_without_limit(void **state)
{
	struct kp_bucket b;

	(void)state;
	kp_bucket_init(&b, 0, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(kp_bucket_take(&b, 1));
}

/* --- series --- */

static const struct kp_event repaired = {.severity = KP_WARNING,
					 .reason = "RulesRepaired",
					 .action = "Repair",
					 .note = "they are back"};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct kp_event_series));
	return 0;
}

static int teardown(void **state)
{
	kp_event_series_clear(*state);
	free(*state);
	return 0;
}

static struct kp_event of_service(const char *service)
{
	struct kp_event event = repaired;

	event.service = service;
	return event;
}

static void test_events_same_again_is_a_count(void **state)
{
	struct kp_event_series *s = *state;
	struct kp_event_item *item;

	kp_event_series_add(s, &repaired, 1000, 5);
	item = kp_event_series_next(s, 1000);
	assert_non_null(item);
	assert_int_equal(item->written_count, 0);
	kp_event_series_written(item, 1, 1000);
	assert_null(kp_event_series_next(s, 1000));
	assert_int_equal(kp_event_series_due_ms(s), KP_EVENT_SERIES_NEVER);
	for (int i = 0; i < 20; i++)
		kp_event_series_add(s, &repaired, 1001 + i, 6 + i);
	assert_null(kp_event_series_next(s, 5999));
	assert_int_equal(kp_event_series_due_ms(s), 6000);
	assert_ptr_equal(kp_event_series_next(s, 6000), item);
	assert_int_equal(item->count, 21);
	assert_int_equal(item->last_us, 25);
	kp_event_series_written(item, 21, 6000);
	kp_event_series_add(s, &repaired, 6001, 26);
	assert_null(kp_event_series_next(s, 65999));
	assert_ptr_equal(kp_event_series_next(s, 66000), item);
	assert_int_equal(s->n_items, 1);
}

static void test_events_differ_by_note_service_reason_and_severity(void **state)
{
	struct kp_event other[] = {repaired, repaired, repaired, of_service("a/b"),
				   of_service("a/c")};
	struct kp_event_series *s = *state;

	other[0].note = "another";
	other[1].reason = "Another";
	other[2].severity = KP_NORMAL;
	kp_event_series_add(s, &repaired, 1, 1);
	for (size_t i = 0; i < 5; i++)
		kp_event_series_add(s, &other[i], 1, 1);
	assert_int_equal(s->n_items, 6);
}

static void test_events_of_one_reason_are_limited(void **state)
{
	struct kp_event_series *s = *state;
	struct kp_event other = repaired;
	char name[32];

	for (int i = 0; i < 1000; i++) {
		struct kp_event event = of_service(name);

		snprintf(name, sizeof(name), "default/s%d", i);
		kp_event_series_add(s, &event, 1, 1);
	}
	assert_int_equal(s->n_items, KP_EVENT_SERIES_REASON_BURST);
	assert_int_equal(s->n_dropped, 1000 - KP_EVENT_SERIES_REASON_BURST);
	/* Other reasons have their own limit, and time brings the next one. */
	other.reason = "Other";
	kp_event_series_add(s, &other, 1, 1);
	other = of_service("default/late");
	kp_event_series_add(s, &other, 60002, 1);
	assert_int_equal(s->n_items, KP_EVENT_SERIES_REASON_BURST + 2);
}

static void test_events_nobody_fetches_are_forgotten(void **state)
{
	struct kp_event_series *s = *state;

	kp_event_series_add(s, &repaired, 1000, 1);
	kp_event_series_add(s, &repaired, 2000, 1);
	assert_non_null(kp_event_series_next(s, 2000 + KP_EVENT_SERIES_FORGET_MS - 1));
	assert_null(kp_event_series_next(s, 2000 + KP_EVENT_SERIES_FORGET_MS));
	assert_int_equal(s->n_items, 0);
	assert_int_equal(s->n_dropped, 2);
}

static void test_events_memory_is_bounded(void **state)
{
	struct kp_event_series *s = *state;
	static char reasons[KP_EVENT_SERIES_REASONS_MAX + 4][16], note[16];
	struct kp_event event = repaired;

	for (int i = 0; i < KP_EVENT_SERIES_REASONS_MAX + 4; i++) {
		snprintf(reasons[i], sizeof(reasons[i]), "Reason%d", i);
		event.reason = reasons[i];
		event.note = note;
		for (int j = 0; j < 10; j++) {
			snprintf(note, sizeof(note), "note %d", j);
			kp_event_series_add(s, &event, 1, 1);
		}
	}
	assert_int_equal(s->n_items, KP_EVENT_SERIES_MAX);
}

/* --- in the words of the API --- */

static const struct kp_event_writer writer = {.node_name = "node1", .start_us = 0xabc};

static void assert_json(json_t *have, const char *want_text)
{
	json_t *want = json_loads(want_text, 0, NULL);
	char *text = json_dumps(have, JSON_SORT_KEYS);

	assert_non_null(want);
	if (!json_equal(have, want))
		assert_string_equal(text, want_text);
	free(text);
	json_decref(have);
	json_decref(want);
}

static void test_events_of_the_node(void **state)
{
	struct kp_event_series *s = *state;
	struct kp_event_item *item;
	char *path;

	kp_event_series_add(s, &repaired, 1, 1500000);
	item = kp_event_series_next(s, 1);
	path = kp_event_path(&writer, item);
	assert_string_equal(path, "/apis/events.k8s.io/v1/namespaces/default/events");
	free(path);
	assert_json(kp_event_object(&writer, item, ""),
		    "{\"apiVersion\": \"events.k8s.io/v1\", \"kind\": \"Event\","
		    " \"metadata\": {\"name\": \"node1.abc.1\", \"namespace\": \"default\"},"
		    " \"eventTime\": \"1970-01-01T00:00:01.500000Z\","
		    " \"reportingController\": \"kproxy\", \"reportingInstance\": \"node1\","
		    " \"type\": \"Warning\", \"reason\": \"RulesRepaired\", \"action\": \"Repair\","
		    " \"note\": \"they are back\", \"regarding\": {\"apiVersion\": \"v1\","
		    " \"kind\": \"Node\", \"name\": \"node1\", \"uid\": \"node1\"}}");
}

static void test_events_of_a_service_and_their_counts(void **state)
{
	const struct kp_event event = of_service("shop/web");
	struct kp_event_series *s = *state;
	struct kp_event_item *item;
	json_t *object;
	char *path;

	kp_event_series_add(s, &event, 1, 1000000);
	kp_event_series_add(s, &event, 1, 2000000);
	item = kp_event_series_next(s, 1);
	path = kp_event_path(&writer, item);
	assert_string_equal(path, "/apis/events.k8s.io/v1/namespaces/shop/events");
	free(path);
	object = kp_event_object(&writer, item, "u-1");
	assert_json(json_incref(json_object_get(object, "regarding")),
		    "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"namespace\": \"shop\","
		    " \"name\": \"web\", \"uid\": \"u-1\"}");
	assert_json(json_incref(json_object_get(object, "series")),
		    "{\"count\": 2, \"lastObservedTime\": \"1970-01-01T00:00:02.000000Z\"}");
	json_decref(object);
	kp_event_series_written(item, 2, 1);
	kp_event_series_add(s, &event, 1, 3000000);
	path = kp_event_path(&writer, item);
	assert_string_equal(path, "/apis/events.k8s.io/v1/namespaces/shop/events/web.abc.1");
	free(path);
	assert_json(kp_event_patch(item),
		    "{\"series\": {\"count\": 3,"
		    " \"lastObservedTime\": \"1970-01-01T00:00:03.000000Z\"}}");
}

static void test_events_with_odd_bytes_are_still_valid(void **state)
{
	struct kp_event_series *s = *state;
	struct kp_event event = repaired;
	json_t *object;

	event.note = "\xff\xfe";
	kp_event_series_add(s, &event, 1, 1);
	object = kp_event_object(&writer, kp_event_series_next(s, 1), "");
	assert_string_equal(json_string_value(json_object_get(object, "note")),
			    "(not UTF-8, see the log)");
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket_gives_a_burst_and_then_its_rate),
		cmocka_unit_test(test_bucket_waiting_is_enough),
		cmocka_unit_test(test_bucket_without_limit),
		cmocka_unit_test_setup_teardown(test_events_same_again_is_a_count, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_events_differ_by_note_service_reason_and_severity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_of_one_reason_are_limited, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_events_nobody_fetches_are_forgotten, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_events_memory_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_of_the_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_of_a_service_and_their_counts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_events_with_odd_bytes_are_still_valid, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
