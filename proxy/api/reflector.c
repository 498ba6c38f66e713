/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/reflector.h"

#include <stdio.h>
#include <string.h>

#include "kproxy/err.h"

enum {
	PAGE_SIZE = 500,
	WATCH_MIN_S = 300, /* the server ends a watch after 300 to 600 s (RF-17) */
	WATCH_SPREAD_S = 300,
	WATCH_GRACE_MS = 30000,
	HEADERS_LIST_MS = 30000,
	HEADERS_WATCH_MS = 75000,
	BODY_SILENCE_MS = 30000,
	HEARTBEAT_MS = 150000, /* bookmarks come once a minute */
	REPLACE_MS = 30000,    /* a watch that is dead */
	STREAM_LIST_MS = 60000,
	STREAM_SILENCE_MS = 10000,
	SHORT_WATCH_MS = 1000,
	RESUME_JITTER_MS = 200,
	ABSENT_MS = 300000,
	WENT_BACK_MS = 60000,
	RELIST_MS = 12 * 3600 * 1000,
	SERVER_ERRORS_MAX = 5,
	STREAM_FAILURES_MAX = 2,
};

static uint32_t random_below(struct kp_reflector *r, uint32_t n)
{
	return r->settings.random.below(r->settings.random.arg, n);
}

void kp_reflector_init(struct kp_reflector *r, const struct kp_reflector_settings *settings,
		       uint64_t now_ms)
{
	*r = (struct kp_reflector){
		.settings = *settings,
		.phase = KP_REFLECTOR_LIST,
		.due_ms = now_ms,
		.heard_ms = now_ms,
	};
}

void kp_reflector_clear(struct kp_reflector *r)
{
	free(KP_TAKE(r->continue_token));
}

void kp_reflector_set_server(struct kp_reflector *r, int major, int minor, bool stream_lists)
{
	/* Older servers ask etcd for the newest: thousands of nodes that start together must not
	 * do that, and not in one piece either (RF-3, RF-4). */
	r->newest_first = major > 1 || (major == 1 && minor >= 31);
	r->pages = !r->newest_first;
	r->stream_lists = stream_lists;
	if (stream_lists)
		r->phase = KP_REFLECTOR_STREAM_LIST;
}

void kp_reflector_restart(struct kp_reflector *r, uint64_t now_ms)
{
	free(KP_TAKE(r->continue_token));
	r->phase = KP_REFLECTOR_LIST;
	r->in_flight = false;
	r->version_lost = true;
	r->drop_field_selector = r->no_pages_once = false;
	r->relisted_at_once = r->renewed = r->watch_failed = false;
	r->n_server_errors = r->n_stream_failures = 0;
	r->backoff = (struct kp_backoff){0};
	r->due_ms = now_ms;
}

int kp_version_compare(const char *a, const char *b)
{
	size_t len_a = strlen(a), len_b = strlen(b);
	bool numbers = len_a > 0 && strspn(a, "0123456789") == len_a && *a != '0' && len_b > 0 &&
		       strspn(b, "0123456789") == len_b && *b != '0';

	if (!numbers)
		return 0;
	if (len_a != len_b)
		return len_a < len_b ? -1 : 1;
	return strcmp(a, b);
}

/* --- requests --- */

/* The list and the watch of a resource select by the same bytes (RF-1). */
static char *with_selectors(const struct kp_reflector *r)
{
	const char *labels = r->settings.selection.label_selector;
	const char *fields = r->drop_field_selector ? NULL : r->settings.selection.field_selector;

	return kp_xasprintf("%s?%s%s%s%s%s", r->settings.selection.path,
			    labels ? "labelSelector=" : "", labels ? labels : "",
			    labels && fields ? "&" : "", fields ? "fieldSelector=" : "",
			    fields ? fields : "");
}

/* The version to ask a list for (RF-3); NULL: the newest. */
static const char *list_version(const struct kp_reflector *r)
{
	if (r->version_lost)
		return NULL;
	if (*r->version)
		return r->version;
	return r->newest_first ? NULL : "0";
}

static char *list_request(const struct kp_reflector *r)
{
	kp_autofree char *base = with_selectors(r), *token = NULL, *version = NULL;

	if (r->continue_token) {
		token = kp_query_escape(r->continue_token);
		return kp_xasprintf("%s&limit=%d&continue=%s", base, PAGE_SIZE, token);
	}
	if (!list_version(r))
		return r->pages && !r->no_pages_once ? kp_xasprintf("%s&limit=%d", base, PAGE_SIZE)
						     : KP_TAKE(base);
	version = kp_query_escape(list_version(r));
	/* Without a limit: the cache ignores one, or takes it for the wish of an exact version
	 * (RF-4). */
	return kp_xasprintf("%s&resourceVersion=%s&resourceVersionMatch=NotOlderThan", base,
			    version);
}

static char *watch_request(const struct kp_reflector *r, uint32_t timeout_s)
{
	kp_autofree char *base = with_selectors(r), *version = NULL;
	bool initial = r->phase == KP_REFLECTOR_STREAM_LIST;

	version = kp_query_escape(initial && r->version_lost ? "" : r->version);
	return kp_xasprintf("%s&watch=1&allowWatchBookmarks=true&timeoutSeconds=%u"
			    "&resourceVersion=%s%s",
			    base, timeout_s, version,
			    initial ? "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
				    : "");
}

static void forget_pages(struct kp_reflector *r)
{
	free(KP_TAKE(r->continue_token));
}

char *kp_reflector_request(struct kp_reflector *r, uint64_t now_ms)
{
	uint32_t timeout_s = WATCH_MIN_S + random_below(r, WATCH_SPREAD_S);

	if (r->phase == KP_REFLECTOR_ABSENT)
		r->phase = KP_REFLECTOR_LIST;
	r->in_flight = true;
	r->answered = r->has_bookmark = false;
	r->n_events = 0;
	r->sent_ms = r->byte_ms = r->event_ms = now_ms;
	r->deadline_ms = now_ms + timeout_s * 1000 + WATCH_GRACE_MS;
	return r->phase == KP_REFLECTOR_LIST ? list_request(r) : watch_request(r, timeout_s);
}

void kp_reflector_alive(struct kp_reflector *r, uint64_t now_ms)
{
	r->answered = true;
	r->renewed = false;
	r->byte_ms = r->heard_ms = now_ms;
}

/* --- answers --- */

static bool is_version(const char *version)
{
	return *version && strcmp(version, "0") != 0 && strlen(version) < KP_VERSION_SIZE;
}

static void set_version(struct kp_reflector *r, const char *version)
{
	snprintf(r->version, sizeof(r->version), "%s", version);
	r->version_lost = false;
}

static void wait_backoff(struct kp_reflector *r, uint64_t now_ms)
{
	r->due_ms = kp_backoff_next(&r->backoff, KP_BACKOFF_REQUEST_MS, now_ms,
				    &r->settings.random);
}

static void list_complete(struct kp_reflector *r, uint64_t now_ms, const char *version)
{
	set_version(r, version);
	forget_pages(r);
	r->no_pages_once = false;
	r->n_stream_failures = 0;
	r->n_server_errors = 0;
	r->synced = true;
	r->phase = KP_REFLECTOR_WATCH;
	r->relist_ms = now_ms + RELIST_MS / 2 + random_below(r, RELIST_MS);
}

enum kp_list_result kp_reflector_listed(struct kp_reflector *r, uint64_t now_ms,
					const char *version, const char *continue_token)
{
	r->in_flight = false;
	if (!is_version(version)) {
		forget_pages(r);
		wait_backoff(r, now_ms);
		return KP_LIST_REFUSED;
	}
	r->due_ms = now_ms;
	/* The version to watch from is the first page's; all pages have the same (RF-7). */
	if (!r->continue_token)
		memcpy(r->list_version, version, strlen(version) + 1);
	forget_pages(r);
	if (*continue_token) {
		r->continue_token = kp_xstrdup(continue_token);
		r->pages = true;
		return KP_LIST_MORE;
	}
	list_complete(r, now_ms, r->list_version);
	return KP_LIST_COMPLETE;
}

/* True when the version is one from before what we know.  At most once a minute: a server that
 * cannot make up its mind must not make us list all the time (RF-9). */
static bool goes_back(struct kp_reflector *r, uint64_t now_ms, const char *version)
{
	if (kp_version_compare(version, r->version) >= 0)
		return false;
	if (r->went_back_ms && now_ms < r->went_back_ms + WENT_BACK_MS)
		return false;
	r->went_back_ms = now_ms;
	return true;
}

enum kp_event_result kp_reflector_event(struct kp_reflector *r, uint64_t now_ms,
					enum kp_event_type type, const char *version,
					bool ends_initial)
{
	if (type == KP_EVENT_UNKNOWN || !is_version(version))
		return KP_EVENT_GO_ON;
	r->n_events++;
	r->event_ms = now_ms;
	r->relisted_at_once = false;
	r->n_server_errors = 0;
	if (type == KP_EVENT_BOOKMARK)
		r->has_bookmark = r->sends_bookmarks = true;
	if (r->phase == KP_REFLECTOR_STREAM_LIST) {
		/* Initial events come in no order of versions (RF-8). */
		if (type != KP_EVENT_BOOKMARK || !ends_initial)
			return KP_EVENT_GO_ON;
		list_complete(r, now_ms, version);
		return KP_EVENT_LIST_COMPLETE;
	}
	if (goes_back(r, now_ms, version)) {
		r->version_lost = true;
		return KP_EVENT_STOP;
	}
	set_version(r, version);
	return KP_EVENT_GO_ON;
}

/* --- ends: what follows --- */

static void wait_longest(struct kp_reflector *r, uint64_t now_ms)
{
	r->due_ms = kp_backoff_longest(&r->backoff, now_ms, &r->settings.random);
}

static void start_over(struct kp_reflector *r)
{
	forget_pages(r);
	r->phase = r->stream_lists ? KP_REFLECTOR_STREAM_LIST : KP_REFLECTOR_LIST;
}

static void stop_streaming_lists(struct kp_reflector *r)
{
	r->stream_lists = false;
	r->phase = KP_REFLECTOR_LIST;
}

/* Lists at once, unless that was done already and no watch has worked since. */
static void relist(struct kp_reflector *r, uint64_t now_ms)
{
	start_over(r);
	if (r->relisted_at_once)
		wait_backoff(r, now_ms);
	else
		r->due_ms = now_ms;
	r->relisted_at_once = true;
}

/* There is a server that can be watched. */
static bool watch_worked(const struct kp_reflector *r, uint64_t now_ms)
{
	return r->phase == KP_REFLECTOR_WATCH && r->answered &&
	       (r->n_events > 0 || now_ms >= r->sent_ms + SHORT_WATCH_MS);
}

/* The next watch: at once, unless two in a row did not work. */
static void resume(struct kp_reflector *r, uint64_t now_ms)
{
	if (r->watch_failed)
		wait_backoff(r, now_ms);
	else
		r->due_ms = now_ms + random_below(r, RESUME_JITTER_MS);
	r->watch_failed = !watch_worked(r, now_ms);
}

static void on_watch_ended(struct kp_reflector *r, uint64_t now_ms)
{
	if (watch_worked(r, now_ms)) {
		r->relisted_at_once = false;
		r->n_server_errors = 0;
	}
	if (r->version_lost || now_ms >= r->relist_ms)
		relist(r, now_ms);
	else
		resume(r, now_ms);
}

/* The stream ended before its initial events were complete. */
static void on_stream_list_failed(struct kp_reflector *r, uint64_t now_ms)
{
	if (++r->n_stream_failures >= STREAM_FAILURES_MAX)
		stop_streaming_lists(r);
	wait_backoff(r, now_ms);
}

/* The server ended it, or the connection broke: of a list, that it was not complete. */
static void on_stopped(struct kp_reflector *r, uint64_t now_ms)
{
	if (r->phase == KP_REFLECTOR_STREAM_LIST) {
		on_stream_list_failed(r, now_ms);
	} else if (r->phase == KP_REFLECTOR_WATCH) {
		on_watch_ended(r, now_ms);
	} else {
		forget_pages(r);
		wait_backoff(r, now_ms);
	}
}

/* The known version leads nowhere: the newest is asked for, at once the first time. */
static void lose_version(struct kp_reflector *r, uint64_t now_ms)
{
	bool first = !r->version_lost;

	if (r->phase == KP_REFLECTOR_STREAM_LIST && !first)
		stop_streaming_lists(r);
	r->version_lost = true;
	start_over(r);
	if (first)
		r->due_ms = now_ms;
	else
		wait_backoff(r, now_ms);
}

static void on_expired(struct kp_reflector *r, uint64_t now_ms)
{
	if (r->phase == KP_REFLECTOR_WATCH) {
		relist(r, now_ms);
	} else if (r->continue_token) {
		/* The token that the 410 itself offers leads to an inconsistent list (RF-6). */
		forget_pages(r);
		r->no_pages_once = true;
		r->due_ms = now_ms;
	} else {
		lose_version(r, now_ms);
	}
}

static void on_too_new(struct kp_reflector *r, uint64_t now_ms)
{
	if (r->phase == KP_REFLECTOR_WATCH) {
		r->version_lost = true;
		relist(r, now_ms);
	} else {
		lose_version(r, now_ms);
	}
}

/* The same request again, not before the server wants it (RF-19). */
static void on_busy(struct kp_reflector *r, uint64_t now_ms, const struct kp_end *end)
{
	uint64_t told = now_ms + end->retry_after_s * 1000ULL + random_below(r, 1000);

	wait_backoff(r, now_ms);
	if (r->due_ms < told)
		r->due_ms = told;
}

static void on_server_error(struct kp_reflector *r, uint64_t now_ms, const struct kp_end *end)
{
	wait_backoff(r, now_ms);
	/* etcd before 3.4.31 and 3.5.13 cannot do what a streamed list needs (RF-21). */
	if (r->phase == KP_REFLECTOR_STREAM_LIST) {
		if (strstr(end->text, "RequestWatchProgress") ||
		    ++r->n_stream_failures >= STREAM_FAILURES_MAX)
			stop_streaming_lists(r);
	} else if (r->phase == KP_REFLECTOR_WATCH && ++r->n_server_errors >= SERVER_ERRORS_MAX) {
		r->n_server_errors = 0;
		start_over(r);
	}
}

static void on_unauthorized(struct kp_reflector *r, uint64_t now_ms, bool renewed)
{
	if (renewed && !r->renewed)
		r->due_ms = now_ms;
	else
		wait_backoff(r, now_ms);
	r->renewed = true;
}

/* 403 or 404 */
static void on_absent(struct kp_reflector *r, uint64_t now_ms, bool forbidden)
{
	if (r->settings.selection.optional) {
		start_over(r);
		r->phase = KP_REFLECTOR_ABSENT;
		r->synced = true;
		r->heard_ms = now_ms;
		r->due_ms = now_ms + ABSENT_MS + random_below(r, ABSENT_MS);
		return;
	}
	if (!forbidden && !r->synced)
		r->fatal = true;
	if (!forbidden && r->phase == KP_REFLECTOR_WATCH)
		start_over(r);
	wait_backoff(r, now_ms);
}

static bool refuses_streams(const struct kp_end *end)
{
	return strstr(end->text, "sendInitialEvents") || strstr(end->text, "resourceVersionMatch");
}

static void on_refused(struct kp_reflector *r, uint64_t now_ms, const struct kp_end *end)
{
	const struct kp_selection *selection = &r->settings.selection;
	bool streams = r->phase == KP_REFLECTOR_STREAM_LIST;

	if (selection->field_selector && !selection->field_selector_required &&
	    !r->drop_field_selector && !(streams && refuses_streams(end))) {
		r->drop_field_selector = true;
		start_over(r);
		r->due_ms = now_ms;
	} else if (streams) {
		stop_streaming_lists(r);
		r->due_ms = now_ms;
	} else {
		start_over(r);
		wait_longest(r, now_ms);
	}
}

static void on_unusable(struct kp_reflector *r, uint64_t now_ms)
{
	if (!r->synced)
		r->fatal = true;
	wait_longest(r, now_ms);
}

void kp_reflector_end(struct kp_reflector *r, uint64_t now_ms, const struct kp_end *end)
{
	r->in_flight = false;
	if (watch_worked(r, now_ms)) {
		kp_backoff_reset(&r->backoff);
		r->watch_failed = false;
	}
	switch (end->kind) {
	case KP_END_OK:
	case KP_END_BROKEN:
		on_stopped(r, now_ms);
		break;
	case KP_END_NO_CONNECTION:
		/* Waiting for the connection is common to all resources, see source.c. */
		forget_pages(r);
		r->due_ms = now_ms;
		break;
	case KP_END_GARBAGE:
		/* Resuming would bring the same bytes again. */
		start_over(r);
		wait_backoff(r, now_ms);
		break;
	case KP_END_EXPIRED:
		on_expired(r, now_ms);
		break;
	case KP_END_TOO_NEW:
		on_too_new(r, now_ms);
		break;
	case KP_END_BUSY:
		on_busy(r, now_ms, end);
		break;
	case KP_END_SERVER_ERROR:
		on_server_error(r, now_ms, end);
		break;
	case KP_END_UNAUTHORIZED:
		on_unauthorized(r, now_ms, end->renewed);
		break;
	case KP_END_FORBIDDEN:
		on_absent(r, now_ms, true);
		break;
	case KP_END_NOT_FOUND:
		on_absent(r, now_ms, false);
		break;
	case KP_END_REFUSED:
		on_refused(r, now_ms, end);
		break;
	case KP_END_UNUSABLE:
		on_unusable(r, now_ms);
		break;
	}
}

/* --- guards --- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t kp_reflector_guard(const struct kp_reflector *r)
{
	if (!r->in_flight)
		return KP_NEVER;
	switch (r->phase) {
	case KP_REFLECTOR_LIST:
		return r->answered ? r->byte_ms + BODY_SILENCE_MS : r->sent_ms + HEADERS_LIST_MS;
	case KP_REFLECTOR_STREAM_LIST:
		if (!r->answered)
			return r->sent_ms + STREAM_LIST_MS;
		return earlier(r->event_ms + STREAM_SILENCE_MS, r->sent_ms + STREAM_LIST_MS);
	case KP_REFLECTOR_WATCH:
		if (!r->answered)
			return r->sent_ms + HEADERS_WATCH_MS;
		return r->has_bookmark ? earlier(r->byte_ms + HEARTBEAT_MS, r->deadline_ms)
				       : r->deadline_ms;
	case KP_REFLECTOR_ABSENT:
		break;
	}
	return KP_NEVER;
}

void kp_reflector_guard_struck(struct kp_reflector *r)
{
	/* Some servers accept the parameters, and never send the bookmark (RF-22). */
	if (r->phase == KP_REFLECTOR_STREAM_LIST)
		stop_streaming_lists(r);
}

bool kp_reflector_is_stale(const struct kp_reflector *r, uint64_t now_ms)
{
	uint64_t silence = r->sends_bookmarks
				   ? HEARTBEAT_MS
				   : (WATCH_MIN_S + WATCH_SPREAD_S) * 1000 + WATCH_GRACE_MS;

	return r->phase != KP_REFLECTOR_ABSENT && now_ms > r->heard_ms + silence + REPLACE_MS;
}
