/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has changed since the last successful sync: a set of Service names, and whether something
 * changed that concerns all (Node, service ranges).  A change that is undone before the sync costs
 * nothing, because the sync compares with what is installed (SY-6). */
#ifndef KPROXY_TRACKER_H
#define KPROXY_TRACKER_H

#include <stdbool.h>
#include <stddef.h>

struct kp_tracker;

/* 'wake' is called (with 'arg') whenever the tracker goes from clean to dirty; may be NULL. */
struct kp_tracker *kp_tracker_new(void (*wake)(void *arg), void *arg);
void kp_tracker_free(struct kp_tracker *tracker);

/* A Service or one of its slices has changed; 'key' is "namespace/name". */
void kp_tracker_mark_service(struct kp_tracker *tracker, const char *key);

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
