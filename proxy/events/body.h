/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events in the words of the API, events.k8s.io/v1.  Pure. */
#ifndef KPROXY_EVENTS_BODY_H
#define KPROXY_EVENTS_BODY_H

#include <jansson.h>

#include "events/series.h"

/* Who writes. */
struct kp_event_writer {
	const char *node_name;
	int64_t start_us; /* of this process: makes names that no other has used */
};

/* The path to write an item to: of the namespace for a new object, of the object for a new count.
 * The caller frees it. */
char *kp_event_path(const struct kp_event_writer *writer, const struct kp_event_item *item);

/* The object to be created.  'uid' is that of the Service, "" when it is not known. */
json_t *kp_event_object(const struct kp_event_writer *writer, const struct kp_event_item *item,
			const char *uid);

/* The merge patch that brings the count up to date. */
json_t *kp_event_patch(const struct kp_event_item *item);

#endif
