/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events are written, and when.  Pure.
 *
 * The same event again is not a new object but a higher count in the one that is there, written
 * after five seconds, then once a minute.  New objects are limited for each reason: ten, then one a
 * minute, so that whatever happens to a thousand Services at once does not become a thousand
 * writes.  What is not written within six minutes is old, and forgotten.
 *
 * Times: ms of any monotonic clock, us of Unix time. */
#ifndef KPROXY_EVENTS_SERIES_H
#define KPROXY_EVENTS_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kproxy/events.h"
#include "util/bucket.h"

#define KP_EVENT_SERIES_NEVER UINT64_MAX

enum {
	KP_EVENT_SERIES_MAX = 64,
	KP_EVENT_SERIES_REASONS_MAX = 16,
	KP_EVENT_SERIES_REASON_BURST = 10,
	KP_EVENT_SERIES_REASON_AGAIN_S = 60,
	KP_EVENT_SERIES_FIRST_UPDATE_MS = 5000,
	KP_EVENT_SERIES_UPDATE_MS = 60000,
	KP_EVENT_SERIES_FORGET_MS = 360000,
};

/* One event and how often it happened. */
struct kp_event_item {
	struct kp_event_item *prev, *next;
	enum kp_severity severity;
	const char *reason, *action;
	char *service, *note;	   /* service: NULL for the Node */
	uint64_t id;		   /* never used again by this process */
	int64_t first_us, last_us; /* when it happened */
	uint64_t seen_ms;	   /* the same as last_us */
	uint64_t count;
	uint64_t written_count; /* what the server has; 0: nothing yet */
	uint64_t written_ms;
};

struct kp_event_series {
	struct kp_event_item *items; /* in the order of their first event */
	size_t n_items;
	uint64_t last_id;
	uint64_t n_dropped; /* events that will never be written */
	size_t n_reasons;
	struct kp_event_series_reason {
		const char *reason;
		struct kp_bucket bucket;
	} reasons[KP_EVENT_SERIES_REASONS_MAX];
};

/* Starts as zero. */
void kp_event_series_clear(struct kp_event_series *series);

/* An event has happened. */
void kp_event_series_add(struct kp_event_series *series, const struct kp_event *event,
			 uint64_t now_ms, int64_t now_us);

/* What has to be written now: as a new object where 'written_count' is 0, else as a new count.
 * NULL: nothing.  Forgets what is too old. */
struct kp_event_item *kp_event_series_next(struct kp_event_series *series, uint64_t now_ms);

/* When there is something to write next; KP_EVENT_SERIES_NEVER when nothing is waiting. */
uint64_t kp_event_series_due_ms(const struct kp_event_series *series);

/* The server has 'count' of this item. */
void kp_event_series_written(struct kp_event_item *item, uint64_t count, uint64_t now_ms);

/* Writing it failed, or the server has it no more.  The same event again would be a new object. */
void kp_event_series_drop(struct kp_event_series *series, struct kp_event_item *item);

#endif
