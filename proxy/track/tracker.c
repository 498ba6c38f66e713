/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of Service names that wait for the next sync.  It holds names only: what has become of
 * a Service is read from the store when the sync runs. */
#include "track/tracker.h"

#include <string.h>
#include <uthash.h>

#include "kproxy/err.h"

struct mark {
	UT_hash_handle hh;
	char key[];
};

struct kp_tracker {
	void (*wake)(void *arg);
	void *arg;
	struct mark *marks;
	bool facts;
};

struct kp_tracker *kp_tracker_new(void (*wake)(void *arg), void *arg)
{
	struct kp_tracker *tracker = kp_xcalloc(1, sizeof(*tracker));

	tracker->wake = wake;
	tracker->arg = arg;
	return tracker;
}

void kp_tracker_free(struct kp_tracker *tracker)
{
	if (!tracker)
		return;
	kp_tracker_clear(tracker);
	free(tracker);
}

static void wake_if(struct kp_tracker *tracker, bool was_clean)
{
	if (was_clean && tracker->wake)
		tracker->wake(tracker->arg);
}

void kp_tracker_mark_service(struct kp_tracker *tracker, const char *key)
{
	bool was_clean = !kp_tracker_is_dirty(tracker);
	size_t len = strlen(key);
	struct mark *mark;

	HASH_FIND(hh, tracker->marks, key, len, mark);
	if (mark)
		return;
	mark = kp_xmalloc(sizeof(*mark) + len + 1);
	memcpy(mark->key, key, len + 1);
	HASH_ADD_KEYPTR(hh, tracker->marks, mark->key, len, mark);
	wake_if(tracker, was_clean);
}

void kp_tracker_mark_facts(struct kp_tracker *tracker)
{
	bool was_clean = !kp_tracker_is_dirty(tracker);

	tracker->facts = true;
	wake_if(tracker, was_clean);
}

bool kp_tracker_is_dirty(const struct kp_tracker *tracker)
{
	return tracker->facts || tracker->marks;
}

bool kp_tracker_facts_dirty(const struct kp_tracker *tracker)
{
	return tracker->facts;
}

size_t kp_tracker_n_services(const struct kp_tracker *tracker)
{
	return HASH_COUNT(tracker->marks);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void kp_tracker_each(const struct kp_tracker *tracker, void (*fn)(void *arg, const char *key),
		     void *arg)
{
	size_t n = HASH_COUNT(tracker->marks), i = 0;
	kp_autofree const char **keys = NULL;

	if (n == 0)
		return;
	keys = kp_xcalloc(n, sizeof(*keys));
	for (const struct mark *mark = tracker->marks; mark; mark = mark->hh.next)
		keys[i++] = mark->key;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 0; i < n; i++)
		fn(arg, keys[i]);
}

void kp_tracker_clear(struct kp_tracker *tracker)
{
	struct mark *mark, *next;

	HASH_ITER (hh, tracker->marks, mark, next) {
		HASH_DEL(tracker->marks, mark);
		free(mark);
	}
	tracker->facts = false;
}
