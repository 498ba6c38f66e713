/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "events/series.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "kproxy/err.h"

static void remove_item(struct kp_event_series *series, struct kp_event_item *item)
{
	DL_DELETE(series->items, item);
	series->n_items--;
	free(item->service);
	free(item->note);
	free(item);
}

void kp_event_series_clear(struct kp_event_series *series)
{
	while (series->items)
		remove_item(series, series->items);
}

void kp_event_series_drop(struct kp_event_series *series, struct kp_event_item *item)
{
	series->n_dropped += item->count - item->written_count;
	remove_item(series, item);
}

static void forget_old(struct kp_event_series *series, uint64_t now_ms)
{
	struct kp_event_item *item, *next;

	DL_FOREACH_SAFE (series->items, item, next)
		if (now_ms >= item->seen_ms + KP_EVENT_SERIES_FORGET_MS)
			kp_event_series_drop(series, item);
}

static bool same_service(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct kp_event_item *find(const struct kp_event_series *series,
				  const struct kp_event *event)
{
	struct kp_event_item *item;

	DL_FOREACH (series->items, item)
		if (item->severity == event->severity && strcmp(item->reason, event->reason) == 0 &&
		    same_service(item->service, event->service) &&
		    strcmp(item->note, event->note) == 0)
			return item;
	return NULL;
}

/* Reasons are constants of this program, and fewer than there is room for. */
static bool may_begin(struct kp_event_series *series, const char *reason, uint64_t now_ms)
{
	size_t i = 0;

	while (i < series->n_reasons && strcmp(series->reasons[i].reason, reason) != 0)
		i++;
	if (i == KP_EVENT_SERIES_REASONS_MAX)
		return false;
	if (i == series->n_reasons) {
		series->reasons[i].reason = reason;
		kp_bucket_init(&series->reasons[i].bucket, 1.0 / KP_EVENT_SERIES_REASON_AGAIN_S,
			       KP_EVENT_SERIES_REASON_BURST);
		series->n_reasons++;
	}
	return kp_bucket_take(&series->reasons[i].bucket, now_ms);
}

static struct kp_event_item *begin(struct kp_event_series *series, const struct kp_event *event,
				   int64_t now_us)
{
	struct kp_event_item *item = kp_xcalloc(1, sizeof(*item));

	item->severity = event->severity;
	item->reason = event->reason;
	item->action = event->action;
	item->service = event->service ? kp_xstrdup(event->service) : NULL;
	item->note = kp_xstrdup(event->note);
	item->id = ++series->last_id;
	item->first_us = now_us;
	DL_APPEND(series->items, item);
	series->n_items++;
	return item;
}

void kp_event_series_add(struct kp_event_series *series, const struct kp_event *event,
			 uint64_t now_ms, int64_t now_us)
{
	struct kp_event_item *item;

	forget_old(series, now_ms);
	item = find(series, event);
	if (!item) {
		if (series->n_items == KP_EVENT_SERIES_MAX ||
		    !may_begin(series, event->reason, now_ms)) {
			series->n_dropped++;
			return;
		}
		item = begin(series, event, now_us);
	}
	item->count++;
	item->last_us = now_us;
	item->seen_ms = now_ms;
}

static uint64_t due_ms(const struct kp_event_item *item)
{
	if (item->count == item->written_count)
		return KP_EVENT_SERIES_NEVER;
	if (item->written_count == 0)
		return 0;
	return item->written_ms + (item->written_count == 1 ? KP_EVENT_SERIES_FIRST_UPDATE_MS
							    : KP_EVENT_SERIES_UPDATE_MS);
}

struct kp_event_item *kp_event_series_next(struct kp_event_series *series, uint64_t now_ms)
{
	struct kp_event_item *item;

	forget_old(series, now_ms);
	DL_FOREACH (series->items, item)
		if (due_ms(item) <= now_ms)
			return item;
	return NULL;
}

uint64_t kp_event_series_due_ms(const struct kp_event_series *series)
{
	const struct kp_event_item *item;
	uint64_t due = KP_EVENT_SERIES_NEVER;

	DL_FOREACH (series->items, item)
		if (due_ms(item) < due)
			due = due_ms(item);
	return due;
}

void kp_event_series_written(struct kp_event_item *item, uint64_t count, uint64_t now_ms)
{
	item->written_count = count;
	item->written_ms = now_ms;
}
