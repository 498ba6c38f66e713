/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes events to the API server: one at a time, and only while it answers.  What cannot be
 * written is dropped; the log has it. */
#ifndef KPROXY_EVENT_SENDER_H
#define KPROXY_EVENT_SENDER_H

#include <uv.h>

#include "api/client.h"

struct kp_event_sender;
struct kp_store;

/* Listens to events from now on (kproxy/events.h).  'node_name' is borrowed. */
struct kp_event_sender *kp_event_sender_new(const char *node_name);

/* Accepts NULL. */
void kp_event_sender_free(struct kp_event_sender *sender);

/* Writes from now on what was told before and is told later.  'store' tells the uids of Services.
 * All is borrowed. */
void kp_event_sender_start(struct kp_event_sender *sender, struct kp_client *client,
			   const struct kp_store *store, uv_loop_t *loop);

/* Goes on with another client, before the old one is closed; a request under way is sent again. */
void kp_event_sender_use(struct kp_event_sender *sender, struct kp_client *client);

/* Before 'client' is closed; closes the handle in the loop, which runs once more. */
void kp_event_sender_stop(struct kp_event_sender *sender);

/* Whether the server answers: until it does, nothing is asked. */
void kp_event_sender_set_connected(struct kp_event_sender *sender, bool connected);

#endif
