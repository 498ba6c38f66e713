/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to sync: at once after a change, again with backoff after a failure. */
#ifndef KPROXY_SYNC_H
#define KPROXY_SYNC_H

#include <uv.h>

#include "options.h"
#include "plan/planner.h"

struct kp_sync;

struct kp_sync *kp_sync_new(const struct kp_options *options, const struct kp_backend_ops *ops,
			    struct kp_backend *backend);
void kp_sync_free(struct kp_sync *sync);

/* Tells the tracker's owner what to call: schedules a sync in the loop's next turn. */
void kp_sync_wake(void *sync);

/* Borrows what is synced; the first sync is a full one. */
void kp_sync_attach(struct kp_sync *sync, const struct kp_store *store, struct kp_tracker *tracker);

/* Runs syncs from now on, in 'loop'. */
void kp_sync_start(struct kp_sync *sync, uv_loop_t *loop);

/* Closes the handles in the loop. */
void kp_sync_stop(struct kp_sync *sync);

/* Syncs now; logs what went wrong. */
int kp_sync_now(struct kp_sync *sync);

/* Prints what a full sync would change. */
int kp_sync_print_plan(struct kp_sync *sync, FILE *out, struct kp_err *err);

/* Frontends that are not served, because another Service has them. */
size_t kp_sync_n_conflicts(const struct kp_sync *sync);

/* The kernel is in step with the objects. */
bool kp_sync_is_done(const struct kp_sync *sync);

#endif
