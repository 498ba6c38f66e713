/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects from the API server: Services, EndpointSlices, our own Node and ServiceCIDRs. */
#ifndef KPROXY_API_SOURCE_H
#define KPROXY_API_SOURCE_H

#include <uv.h>

#include "api/client.h"
#include "api/watch.h"
#include "kproxy/model.h"

struct kp_api;
struct kp_event_sender;
struct kp_store;

struct kp_api_handler {
	/* Every kind has been listed once; called once.  Before, the store must not be believed. */
	void (*ready)(void *arg);

	/* Before 'ready': trying again will not help.  The callee may close. */
	void (*failed)(void *arg, const struct kp_err *err);

	void *arg;
};

struct kp_api_options {
	const char *node_name;
	bool stream_lists; /* ask for lists as streams (sendInitialEvents) */
	struct kp_request_limit limit;
	struct kp_event_sender *events; /* borrowed; NULL: none are written */
};

/* Takes '*config' over.  'options' and 'handler' are copied, 'store' and 'loop' are borrowed.
 * What goes wrong later is logged and tried again for as long as it takes; the objects stay. */
int kp_api_open(struct kp_api_config *config, const struct kp_api_options *options,
		const struct kp_api_handler *handler, struct kp_store *store, uv_loop_t *loop,
		struct kp_api **ret, struct kp_err *err);

/* How well each kind is followed. */
void kp_api_watches(const struct kp_api *api, struct kp_watch ret[KP_N_KINDS]);

/* Asks everything again, with a configuration that may be another one: its files are read, the
 * server is asked for its version and then for complete lists.  The objects stay until the lists
 * tell otherwise.  Takes '*config' over; when it cannot be used, the old one stays in use. */
int kp_api_reload(struct kp_api *api, struct kp_api_config *config, struct kp_err *err);

/* The objects stay in the store.  The caller runs the loop once more. */
void kp_api_close(struct kp_api *api);

#endif
