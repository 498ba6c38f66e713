/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One resource of the API server, kept in the store: sends what its reflector asks for, cuts and
 * decodes what comes back. */
#ifndef KPROXY_RESOURCE_H
#define KPROXY_RESOURCE_H

#include "api/client.h"
#include "api/reflector.h"
#include "api/watch.h"
#include "kproxy/model.h"

struct kp_resource;
struct kp_store;

struct kp_resource_settings {
	enum kp_kind kind;
	const char *node_name;
	const char *node_selector; /* kp_selection_node() */
	struct kp_random random;
};

/* What a resource asks and tells its owner. */
struct kp_resource_owner {
	/* When a request may be sent: 'now_ms' or earlier means now, KP_NEVER that the owner will
	 * call kp_resource_wake(). */
	uint64_t (*may_send)(void *arg, const struct kp_resource *resource, uint64_t now_ms);

	/* The server has answered something. */
	void (*answered)(void *arg, const struct kp_resource *resource);

	/* A request has ended; an ordinary end of a watch or list is told as well. */
	void (*ended)(void *arg, struct kp_resource *resource, const struct kp_end *end);

	/* A list is complete: the store equals the server. */
	void (*listed)(void *arg, struct kp_resource *resource);

	void *arg;
};

/* 'settings' and 'owner' are copied; what they point to is borrowed, as 'store' is. */
struct kp_resource *kp_resource_new(const struct kp_resource_settings *settings,
				    const struct kp_resource_owner *owner, struct kp_store *store,
				    uv_loop_t *loop);

/* Cancels its request.  The caller runs the loop once more. */
void kp_resource_close(struct kp_resource *resource);

/* Starts on 'client', which is borrowed, with a server of that version. */
void kp_resource_start(struct kp_resource *resource, struct kp_client *client, int major, int minor,
		       bool stream_lists);

/* Cancels its request.  It can be started again, with a list; the objects stay. */
void kp_resource_stop(struct kp_resource *resource);

/* Looks again whether a request is due. */
void kp_resource_wake(struct kp_resource *resource);

/* "services", and "list" or "watch": for messages. */
const char *kp_resource_name(const struct kp_resource *resource);
const char *kp_resource_verb(const struct kp_resource *resource);

const struct kp_reflector *kp_resource_reflector(const struct kp_resource *resource);

/* How well it is followed. */
struct kp_watch kp_resource_watch(const struct kp_resource *resource);

#endif
