/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the reflector asks next, and when; the clock and chance are the test's. */
#include "api/reflector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kproxy/err.h"

#define START 1000000

struct fixture {
	struct kp_reflector r;
	uint64_t now;
	char request[512];
};

/* Always the lowest number that can be drawn. */
static uint32_t no_chance(void *arg, uint32_t n)
{
	(void)arg;
	(void)n;
	return 0;
}

static const struct kp_reflector_settings services = {
	.selection = {.path = "/s", .label_selector = "%21x"}, .random = {.below = no_chance}};

static void begin(struct fixture *f, const struct kp_reflector_settings *settings, int minor)
{
	kp_reflector_clear(&f->r);
	f->now = START;
	kp_reflector_init(&f->r, settings, f->now);
	kp_reflector_set_server(&f->r, 1, minor, false);
}

static int setup(void **state)
{
	struct fixture *f = kp_xcalloc(1, sizeof(*f));

	begin(f, &services, 31);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_reflector_clear(&f->r);
	free(f);
	return 0;
}

/* Lets time pass until the next request is due, and sends it. */
static const char *send_next(struct fixture *f)
{
	kp_autofree char *request = NULL;

	if (f->now < f->r.due_ms)
		f->now = f->r.due_ms;
	request = kp_reflector_request(&f->r, f->now);
	snprintf(f->request, sizeof(f->request), "%s", request);
	return f->request;
}

static void end(struct fixture *f, enum kp_end_kind kind)
{
	struct kp_end how;

	kp_end_set(&how, kind, "test");
	kp_reflector_end(&f->r, f->now, &how);
}

static void list(struct fixture *f, const char *version)
{
	send_next(f);
	kp_reflector_alive(&f->r, f->now);
	assert_int_equal(kp_reflector_listed(&f->r, f->now, version, ""), KP_LIST_COMPLETE);
}

static void watch(struct fixture *f)
{
	assert_non_null(strstr(send_next(f), "watch=1"));
	kp_reflector_alive(&f->r, f->now);
}

static enum kp_event_result event(struct fixture *f, enum kp_event_type type, const char *version)
{
	return kp_reflector_event(&f->r, f->now, type, version, false);
}

static bool is_watch(const char *request)
{
	return strstr(request, "watch=1");
}

static bool asks_for(const char *request, const char *part)
{
	size_t len = strlen(part);

	for (const char *p = strpbrk(request, "?&"); p; p = strpbrk(p + 1, "?&"))
		if (strncmp(p + 1, part, len) == 0 && (!p[1 + len] || p[1 + len] == '&'))
			return true;
	return false;
}

/* --- requests --- */

static void test_reflector_lists_then_watches_from_the_list(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(send_next(f), "/s?labelSelector=%21x");
	assert_int_equal(kp_reflector_listed(&f->r, f->now, "7", ""), KP_LIST_COMPLETE);
	assert_true(f->r.synced);
	assert_string_equal(send_next(f), "/s?labelSelector=%21x&watch=1&allowWatchBookmarks=true"
					  "&timeoutSeconds=300&resourceVersion=7");
}

static void test_reflector_asks_old_servers_for_any_version_first(void **state)
{
	struct fixture *f = *state;

	begin(f, &services, 30);
	send_next(f);
	assert_true(asks_for(f->request, "resourceVersion=0"));
	assert_true(asks_for(f->request, "resourceVersionMatch=NotOlderThan"));
	assert_null(strstr(f->request, "limit="));
}

static void test_reflector_pages_the_newest_of_old_servers(void **state)
{
	struct fixture *f = *state;

	begin(f, &services, 30);
	send_next(f);
	end(f, KP_END_TOO_NEW);
	assert_int_equal(f->r.due_ms, f->now);
	assert_string_equal(send_next(f), "/s?labelSelector=%21x&limit=500");
}

static void test_reflector_goes_through_pages(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	assert_int_equal(kp_reflector_listed(&f->r, f->now, "7", "a/b="), KP_LIST_MORE);
	assert_false(f->r.synced);
	assert_string_equal(send_next(f), "/s?labelSelector=%21x&limit=500&continue=a%2Fb%3D");
	assert_int_equal(kp_reflector_listed(&f->r, f->now, "7", ""), KP_LIST_COMPLETE);
	assert_true(asks_for(send_next(f), "resourceVersion=7"));
}

static void test_reflector_lists_in_one_piece_when_a_page_has_expired(void **state) /* RF-6 */
{
	struct fixture *f = *state;

	begin(f, &services, 30);
	send_next(f);
	kp_reflector_listed(&f->r, f->now, "7", "next");
	send_next(f);
	end(f, KP_END_EXPIRED);
	assert_int_equal(f->r.due_ms, f->now);
	send_next(f);
	assert_null(strstr(f->request, "limit="));
	assert_null(strstr(f->request, "continue="));
}

static void test_reflector_refuses_a_list_without_version(void **state) /* RF-7 */
{
	static const char *const versions[] = {"", "0"};
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		send_next(f);
		assert_int_equal(kp_reflector_listed(&f->r, f->now, versions[i], ""),
				 KP_LIST_REFUSED);
		assert_false(f->r.synced);
		assert_true(f->r.due_ms >= f->now + 800);
	}
	assert_false(is_watch(send_next(f)));
}

static void test_reflector_drops_a_refused_field_selector_once(void **state) /* RF-1 */
{
	struct kp_reflector_settings settings = services;
	struct fixture *f = *state;

	settings.selection.field_selector = "y";
	begin(f, &settings, 31);
	assert_true(asks_for(send_next(f), "fieldSelector=y"));
	end(f, KP_END_REFUSED);
	assert_int_equal(f->r.due_ms, f->now);
	assert_null(strstr(send_next(f), "fieldSelector"));
	end(f, KP_END_REFUSED);
	assert_true(f->r.due_ms >= f->now + 30000);
}

/* --- versions --- */

static void test_reflector_resumes_behind_the_last_event(void **state) /* RF-8 */
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	event(f, KP_EVENT_ADDED, "8");
	event(f, KP_EVENT_MODIFIED, "9");
	event(f, KP_EVENT_DELETED, "10");
	event(f, KP_EVENT_UNKNOWN, "99");
	end(f, KP_END_BROKEN);
	assert_true(asks_for(send_next(f), "resourceVersion=10"));
	event(f, KP_EVENT_BOOKMARK, "20");
	end(f, KP_END_OK);
	assert_true(asks_for(send_next(f), "resourceVersion=20"));
}

static void test_reflector_keeps_versions_that_are_no_numbers(void **state)
{
	struct fixture *f = *state;

	list(f, "a=b");
	assert_true(asks_for(send_next(f), "resourceVersion=a%3Db"));
	assert_int_equal(event(f, KP_EVENT_ADDED, "a"), KP_EVENT_GO_ON);
}

static void test_reflector_lists_anew_when_history_is_lost(void **state) /* RF-9 */
{
	struct fixture *f = *state;

	list(f, "100");
	watch(f);
	assert_int_equal(event(f, KP_EVENT_BOOKMARK, "99"), KP_EVENT_STOP);
	end(f, KP_END_BROKEN);
	assert_string_equal(send_next(f), "/s?labelSelector=%21x");
	kp_reflector_listed(&f->r, f->now, "99", "");
	watch(f);
	assert_int_equal(event(f, KP_EVENT_BOOKMARK, "98"), KP_EVENT_GO_ON);
}

static void test_version_compare_orders_numbers_only(void **state)
{
	(void)state;
	assert_true(kp_version_compare("9", "10") < 0);
	assert_true(kp_version_compare("123", "99") > 0);
	assert_int_equal(kp_version_compare("5", "5"), 0);
	assert_int_equal(kp_version_compare("05", "6"), 0);
	assert_int_equal(kp_version_compare("x", "6"), 0);
	assert_int_equal(kp_version_compare("", "6"), 0);
}

/* --- ends of a watch: the table --- */

static void test_reflector_watches_again_at_once_after_a_clean_end(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	f->now += 400000;
	end(f, KP_END_OK);
	assert_int_equal(f->r.due_ms, f->now);
	assert_true(is_watch(send_next(f)));
}

static void test_reflector_backs_off_when_watches_are_short(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	end(f, KP_END_OK);
	assert_int_equal(f->r.due_ms, f->now);
	for (unsigned int delay = 800; delay <= 3200; delay *= 2) {
		watch(f);
		end(f, KP_END_OK);
		assert_int_equal(f->r.due_ms, f->now + delay);
	}
	assert_true(is_watch(send_next(f)));
}

static void test_reflector_resumes_the_watch_after_a_transport_error(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	end(f, KP_END_BROKEN);
	assert_int_equal(f->r.due_ms, f->now);
	watch(f);
	end(f, KP_END_BROKEN);
	assert_int_equal(f->r.due_ms, f->now + 800);
	assert_true(asks_for(send_next(f), "resourceVersion=7"));
	end(f, KP_END_NO_CONNECTION);
	assert_true(is_watch(send_next(f)));
}

/* As client-go does: another server may stand behind the same address. */
static void test_reflector_resumes_at_once_what_worked(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	for (int i = 0; i < 3; i++) {
		watch(f);
		event(f, KP_EVENT_ADDED, "8");
		end(f, KP_END_BROKEN);
		assert_int_equal(f->r.due_ms, f->now);
	}
	watch(f);
	f->now += 1000;
	end(f, KP_END_BROKEN);
	assert_int_equal(f->r.due_ms, f->now);
	/* A list that breaks off says nothing. */
	f->r.version_lost = true;
	watch(f);
	end(f, KP_END_BROKEN);
	send_next(f);
	kp_reflector_alive(&f->r, f->now);
	f->now += 1000;
	end(f, KP_END_BROKEN);
	assert_int_equal(f->r.due_ms, f->now + 800);
}

static void test_reflector_lists_at_once_when_the_version_has_expired(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	end(f, KP_END_EXPIRED);
	assert_int_equal(f->r.due_ms, f->now);
	assert_true(asks_for(send_next(f), "resourceVersion=7"));
	assert_false(is_watch(f->request));
	/* The list with this version fails as well: the newest. */
	end(f, KP_END_EXPIRED);
	assert_int_equal(f->r.due_ms, f->now);
	assert_string_equal(send_next(f), "/s?labelSelector=%21x");
	end(f, KP_END_EXPIRED);
	assert_true(f->r.due_ms >= f->now + 800);
}

static void test_reflector_never_lists_in_a_tight_loop(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		list(f, "7");
		watch(f);
		end(f, KP_END_EXPIRED);
	}
	/* The first one was free, the others waited 0.8, 1.6 and 3.2 s. */
	assert_int_equal(f->r.due_ms, START + 800 + 1600 + 3200);
}

static void test_reflector_lists_the_newest_when_the_version_is_too_new(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	end(f, KP_END_TOO_NEW);
	assert_int_equal(f->r.due_ms, f->now);
	assert_string_equal(send_next(f), "/s?labelSelector=%21x");
}

static void test_reflector_lists_after_garbage(void **state) /* RF-15 */
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	end(f, KP_END_GARBAGE);
	assert_int_equal(f->r.due_ms, f->now + 800);
	assert_false(is_watch(send_next(f)));
}

static void test_reflector_comes_back_no_sooner_than_told(void **state) /* RF-19 */
{
	struct kp_end how = {.kind = KP_END_BUSY, .retry_after_s = 17};
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	kp_reflector_end(&f->r, f->now, &how);
	assert_int_equal(f->r.due_ms, f->now + 17000);
	assert_true(asks_for(send_next(f), "resourceVersion=7"));
	assert_true(is_watch(f->request));
	how.retry_after_s = 1;
	kp_reflector_end(&f->r, f->now, &how);
	assert_int_equal(f->r.due_ms, f->now + 1600);
}

static void test_reflector_keeps_its_page_when_the_server_is_busy(void **state)
{
	struct kp_end how = {.kind = KP_END_BUSY, .retry_after_s = 1};
	struct fixture *f = *state;

	send_next(f);
	kp_reflector_listed(&f->r, f->now, "7", "next");
	send_next(f);
	kp_reflector_end(&f->r, f->now, &how);
	assert_true(asks_for(send_next(f), "continue=next"));
}

static void test_reflector_lists_after_five_server_errors(void **state)
{
	struct fixture *f = *state;

	list(f, "7");
	for (int i = 0; i < 5; i++) {
		assert_true(is_watch(send_next(f)));
		end(f, KP_END_SERVER_ERROR);
		assert_true(f->r.due_ms >= f->now + 800);
	}
	assert_false(is_watch(send_next(f)));
}

static void test_reflector_tries_new_credentials_once(void **state)
{
	struct kp_end how = {.kind = KP_END_UNAUTHORIZED, .renewed = true};
	struct fixture *f = *state;

	list(f, "7");
	send_next(f);
	kp_reflector_end(&f->r, f->now, &how);
	assert_int_equal(f->r.due_ms, f->now);
	send_next(f);
	kp_reflector_end(&f->r, f->now, &how);
	assert_int_equal(f->r.due_ms, f->now + 800);
	assert_true(is_watch(send_next(f)));
}

static void test_reflector_waits_for_permission(void **state)
{
	struct fixture *f = *state;

	send_next(f);
	end(f, KP_END_FORBIDDEN);
	assert_false(f->r.fatal);
	assert_false(f->r.synced);
	assert_int_equal(f->r.due_ms, f->now + 800);
}

static void test_reflector_gives_up_on_a_wrong_url_before_the_first_list_only(void **state)
{
	static const enum kp_end_kind kinds[] = {KP_END_NOT_FOUND, KP_END_UNUSABLE};
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		begin(f, &services, 31);
		send_next(f);
		end(f, kinds[i]);
		assert_true(f->r.fatal);
		begin(f, &services, 31);
		list(f, "7");
		watch(f);
		end(f, kinds[i]);
		assert_false(f->r.fatal);
		assert_true(f->r.due_ms > f->now);
	}
}

static void test_reflector_does_without_an_optional_resource(void **state) /* IN-8 */
{
	static const enum kp_end_kind kinds[] = {KP_END_NOT_FOUND, KP_END_FORBIDDEN};
	struct kp_reflector_settings settings = services;
	struct fixture *f = *state;

	settings.selection.optional = true;
	for (int i = 0; i < 2; i++) {
		begin(f, &settings, 31);
		send_next(f);
		end(f, kinds[i]);
		assert_true(f->r.synced);
		assert_int_equal(f->r.due_ms, f->now + 300000);
		assert_false(is_watch(send_next(f)));
	}
}

static void test_reflector_backs_off_up_to_30_s(void **state) /* RF-18 */
{
	static const unsigned int delays[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		send_next(f);
		end(f, KP_END_SERVER_ERROR);
		assert_int_equal(f->r.due_ms, f->now + delays[i]);
	}
	/* Time alone mends nothing. */
	f->now = f->r.due_ms + 120001;
	send_next(f);
	end(f, KP_END_SERVER_ERROR);
	assert_int_equal(f->r.due_ms, f->now + 30000);
}

static void test_reflector_starts_anew_after_a_watch_that_worked(void **state) /* RF-18 */
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	end(f, KP_END_BROKEN);
	for (unsigned int delay = 800; delay <= 3200; delay *= 2) {
		watch(f);
		f->now += 999;
		end(f, KP_END_BROKEN);
		assert_int_equal(f->r.due_ms, f->now + delay);
	}
	watch(f);
	f->now += 1000;
	end(f, KP_END_SERVER_ERROR);
	assert_int_equal(f->r.due_ms, f->now + 800);
	/* The server did not answer. */
	send_next(f);
	f->now += 75000;
	end(f, KP_END_SERVER_ERROR);
	assert_int_equal(f->r.due_ms, f->now + 1600);
	/* A moment is enough when it brought something. */
	watch(f);
	event(f, KP_EVENT_ADDED, "8");
	end(f, KP_END_SERVER_ERROR);
	assert_int_equal(f->r.due_ms, f->now + 800);
}

static void test_reflector_lists_now_and_then(void **state) /* RF-13 */
{
	struct fixture *f = *state;

	list(f, "7");
	watch(f);
	f->now += 6 * 3600 * 1000;
	end(f, KP_END_OK);
	assert_false(is_watch(send_next(f)));
	assert_true(asks_for(f->request, "resourceVersion=7"));
}

/* --- guards --- */

static void test_reflector_guards_every_phase(void **state) /* RF-25, RF-26 */
{
	struct fixture *f = *state;

	assert_true(kp_reflector_guard(&f->r) == KP_NEVER);
	send_next(f);
	assert_int_equal(kp_reflector_guard(&f->r), f->now + 30000);
	f->now += 5000;
	kp_reflector_alive(&f->r, f->now);
	assert_int_equal(kp_reflector_guard(&f->r), f->now + 30000);
	kp_reflector_listed(&f->r, f->now, "7", "");
	assert_true(kp_reflector_guard(&f->r) == KP_NEVER);
	send_next(f);
	assert_int_equal(kp_reflector_guard(&f->r), f->now + 75000);
	kp_reflector_alive(&f->r, f->now);
	assert_int_equal(kp_reflector_guard(&f->r), f->now + 330000);
	event(f, KP_EVENT_BOOKMARK, "8");
	assert_int_equal(kp_reflector_guard(&f->r), f->now + 150000);
}

/* --- lists as streams --- */

static void begin_streaming(struct fixture *f)
{
	begin(f, &services, 34);
	kp_reflector_set_server(&f->r, 1, 34, true);
}

static void test_reflector_streams_a_list(void **state)
{
	struct fixture *f = *state;

	begin_streaming(f);
	assert_string_equal(send_next(f),
			    "/s?labelSelector=%21x&watch=1&allowWatchBookmarks=true"
			    "&timeoutSeconds=300&resourceVersion=&sendInitialEvents=true"
			    "&resourceVersionMatch=NotOlderThan");
	kp_reflector_alive(&f->r, f->now);
	assert_int_equal(event(f, KP_EVENT_ADDED, "9"), KP_EVENT_GO_ON);
	assert_int_equal(event(f, KP_EVENT_ADDED, "3"), KP_EVENT_GO_ON);
	assert_false(f->r.synced);
	assert_int_equal(kp_reflector_event(&f->r, f->now, KP_EVENT_BOOKMARK, "10", true),
			 KP_EVENT_LIST_COMPLETE);
	assert_true(f->r.synced);
	event(f, KP_EVENT_MODIFIED, "11");
	end(f, KP_END_BROKEN);
	assert_true(asks_for(send_next(f), "resourceVersion=11"));
	assert_null(strstr(f->request, "sendInitialEvents"));
}

static bool streams(struct fixture *f)
{
	return strstr(send_next(f), "sendInitialEvents");
}

static void test_reflector_stops_streaming_lists_for_good(void **state) /* RF-21 */
{
	struct kp_end old_etcd;
	struct fixture *f = *state;

	begin_streaming(f);
	send_next(f);
	end(f, KP_END_REFUSED);
	assert_int_equal(f->r.due_ms, f->now);
	assert_false(streams(f));

	begin_streaming(f);
	send_next(f);
	end(f, KP_END_OK);
	assert_true(streams(f));
	end(f, KP_END_BROKEN);
	assert_false(streams(f));

	begin_streaming(f);
	send_next(f);
	kp_end_set(&old_etcd, KP_END_SERVER_ERROR, "500: no RequestWatchProgress");
	kp_reflector_end(&f->r, f->now, &old_etcd);
	assert_false(streams(f));

	begin_streaming(f);
	send_next(f);
	end(f, KP_END_TOO_NEW);
	assert_true(streams(f));
	end(f, KP_END_TOO_NEW);
	assert_false(streams(f));
}

static void test_reflector_does_not_wait_for_the_end_of_a_stream_for_ever(void **state) /* RF-22 */
{
	struct fixture *f = *state;

	begin_streaming(f);
	send_next(f);
	kp_reflector_alive(&f->r, f->now);
	event(f, KP_EVENT_ADDED, "9");
	assert_int_equal(kp_reflector_guard(&f->r), f->now + 10000);
	f->now += 55000;
	event(f, KP_EVENT_ADDED, "10");
	assert_int_equal(kp_reflector_guard(&f->r), START + 60000);
	kp_reflector_guard_struck(&f->r);
	end(f, KP_END_BROKEN);
	assert_false(streams(f));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_reflector_lists_then_watches_from_the_list),
		TEST(test_reflector_asks_old_servers_for_any_version_first),
		TEST(test_reflector_pages_the_newest_of_old_servers),
		TEST(test_reflector_goes_through_pages),
		TEST(test_reflector_lists_in_one_piece_when_a_page_has_expired),
		TEST(test_reflector_refuses_a_list_without_version),
		TEST(test_reflector_drops_a_refused_field_selector_once),
		TEST(test_reflector_resumes_behind_the_last_event),
		TEST(test_reflector_keeps_versions_that_are_no_numbers),
		TEST(test_reflector_lists_anew_when_history_is_lost),
		TEST(test_version_compare_orders_numbers_only),
		TEST(test_reflector_watches_again_at_once_after_a_clean_end),
		TEST(test_reflector_backs_off_when_watches_are_short),
		TEST(test_reflector_resumes_the_watch_after_a_transport_error),
		TEST(test_reflector_resumes_at_once_what_worked),
		TEST(test_reflector_lists_at_once_when_the_version_has_expired),
		TEST(test_reflector_never_lists_in_a_tight_loop),
		TEST(test_reflector_lists_the_newest_when_the_version_is_too_new),
		TEST(test_reflector_lists_after_garbage),
		TEST(test_reflector_comes_back_no_sooner_than_told),
		TEST(test_reflector_keeps_its_page_when_the_server_is_busy),
		TEST(test_reflector_lists_after_five_server_errors),
		TEST(test_reflector_tries_new_credentials_once),
		TEST(test_reflector_waits_for_permission),
		TEST(test_reflector_gives_up_on_a_wrong_url_before_the_first_list_only),
		TEST(test_reflector_does_without_an_optional_resource),
		TEST(test_reflector_backs_off_up_to_30_s),
		TEST(test_reflector_starts_anew_after_a_watch_that_worked),
		TEST(test_reflector_lists_now_and_then),
		TEST(test_reflector_guards_every_phase),
		TEST(test_reflector_streams_a_list),
		TEST(test_reflector_stops_streaming_lists_for_good),
		TEST(test_reflector_does_not_wait_for_the_end_of_a_stream_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
