/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The set of Service names that wait for the next sync.  What has become of a Service is read from
 * the store when the sync runs; here are only its name, and what metrics want to know of the wait.
 */
#include "track/tracker.h"

#include <string.h>
#include <uthash.h>

#include "kproxy/err.h"

enum {
	MAX_TRIGGERS = 64 /* of a Service */
};

struct trigger {
	int64_t at_us;
	enum kp_family family;
};

struct mark {
	UT_hash_handle hh;
	bool changed[KP_N_CHANGES_OF];
	unsigned int n_triggers;
	struct trigger *triggers;
	char key[];
};

struct kp_tracker {
	void (*wake)(void *arg);
	void *arg;
	struct mark *marks;
	bool facts;
	size_t n_pending[KP_N_CHANGES_OF];
	uint64_t n_changes[KP_N_CHANGES_OF];
	int64_t ignore_before_us;
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

static struct mark *find_mark(const struct kp_tracker *tracker, const char *key)
{
	struct mark *mark;

	HASH_FIND_STR(tracker->marks, key, mark);
	return mark;
}

static struct mark *get_or_add_mark(struct kp_tracker *tracker, const char *key)
{
	bool was_clean = !kp_tracker_is_dirty(tracker);
	struct mark *mark = find_mark(tracker, key);
	size_t len = strlen(key);

	if (mark)
		return mark;
	mark = kp_xcalloc(1, sizeof(*mark) + len + 1);
	memcpy(mark->key, key, len + 1);
	HASH_ADD_KEYPTR(hh, tracker->marks, mark->key, len, mark);
	wake_if(tracker, was_clean);
	return mark;
}

void kp_tracker_mark_service(struct kp_tracker *tracker, const char *key)
{
	get_or_add_mark(tracker, key);
}

void kp_tracker_mark_changed(struct kp_tracker *tracker, const char *key, enum kp_change_of of)
{
	struct mark *mark = get_or_add_mark(tracker, key);

	tracker->n_changes[of]++;
	if (!mark->changed[of])
		tracker->n_pending[of]++;
	mark->changed[of] = true;
}

size_t kp_tracker_n_pending(const struct kp_tracker *tracker, enum kp_change_of of)
{
	return tracker->n_pending[of];
}

uint64_t kp_tracker_n_changes(const struct kp_tracker *tracker, enum kp_change_of of)
{
	return tracker->n_changes[of];
}

void kp_tracker_ignore_before(struct kp_tracker *tracker, int64_t start_us)
{
	tracker->ignore_before_us = start_us;
}

void kp_tracker_add_trigger(struct kp_tracker *tracker, const char *key, enum kp_family family,
			    int64_t at_us)
{
	struct mark *mark = find_mark(tracker, key);

	if (!mark || at_us < tracker->ignore_before_us || mark->n_triggers == MAX_TRIGGERS)
		return;
	mark->triggers = kp_xrealloc(mark->triggers,
				     (mark->n_triggers + 1) * sizeof(*mark->triggers));
	mark->triggers[mark->n_triggers++] = (struct trigger){.at_us = at_us, .family = family};
}

void kp_tracker_drop_triggers(struct kp_tracker *tracker, const char *key)
{
	struct mark *mark = find_mark(tracker, key);

	if (!mark)
		return;
	free(KP_TAKE(mark->triggers));
	mark->n_triggers = 0;
}

void kp_tracker_each_trigger(const struct kp_tracker *tracker,
			     void (*fn)(void *arg, enum kp_family family, int64_t at_us), void *arg)
{
	for (const struct mark *mark = tracker->marks; mark; mark = mark->hh.next)
		for (unsigned int i = 0; i < mark->n_triggers; i++)
			fn(arg, mark->triggers[i].family, mark->triggers[i].at_us);
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
		free(mark->triggers);
		free(mark);
	}
	tracker->facts = false;
	memset(tracker->n_pending, 0, sizeof(tracker->n_pending));
}
