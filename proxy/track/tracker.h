/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has changed since the last successful sync: a set of Service names, and whether something
 * changed that concerns all (Node, service ranges).  A change that is undone before the sync costs
 * nothing, because the sync compares with what is installed (SY-6). */
#ifndef KPROXY_TRACKER_H
#define KPROXY_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kproxy/addr.h"

struct kp_tracker;

/* Whose change it was, as metrics tell them apart (ME-5, ME-6). */
enum kp_change_of {
	KP_CHANGE_OF_SERVICE,
	KP_CHANGE_OF_ENDPOINTS,
	KP_N_CHANGES_OF
};

/* 'wake' is called (with 'arg') whenever the tracker goes from clean to dirty; may be NULL. */
struct kp_tracker *kp_tracker_new(void (*wake)(void *arg), void *arg);
void kp_tracker_free(struct kp_tracker *tracker);

/* A Service has to be looked at again; 'key' is "namespace/name". */
void kp_tracker_mark_service(struct kp_tracker *tracker, const char *key);

/* The same, because it or one of its slices has changed. */
void kp_tracker_mark_changed(struct kp_tracker *tracker, const char *key, enum kp_change_of of);

/* Services that wait because of such a change; and changes since the start. */
size_t kp_tracker_n_pending(const struct kp_tracker *tracker, enum kp_change_of of);
uint64_t kp_tracker_n_changes(const struct kp_tracker *tracker, enum kp_change_of of);

/* When it was that something happened to the endpoints of a marked Service (ES-11), in microseconds
 * of Unix time.  What was before 'start_us' is not kept, nor are more than 64 for a Service. */
void kp_tracker_ignore_before(struct kp_tracker *tracker, int64_t start_us);
void kp_tracker_add_trigger(struct kp_tracker *tracker, const char *key, enum kp_family family,
			    int64_t at_us);

/* One of the Service's slices is gone, and with it what the times were about. */
void kp_tracker_drop_triggers(struct kp_tracker *tracker, const char *key);

/* Calls 'fn' for each of these times, in any order. */
void kp_tracker_each_trigger(const struct kp_tracker *tracker,
			     void (*fn)(void *arg, enum kp_family family, int64_t at_us),
			     void *arg);

/* Node addresses, service ranges or other facts have changed. */
void kp_tracker_mark_facts(struct kp_tracker *tracker);

bool kp_tracker_is_dirty(const struct kp_tracker *tracker);
bool kp_tracker_facts_dirty(const struct kp_tracker *tracker);
size_t kp_tracker_n_services(const struct kp_tracker *tracker);

/* Calls 'fn' for each marked Service in the order of names. */
void kp_tracker_each(const struct kp_tracker *tracker, void (*fn)(void *arg, const char *key),
		     void *arg);

/* The sync succeeded: forgets all marks. */
void kp_tracker_clear(struct kp_tracker *tracker);

#endif
