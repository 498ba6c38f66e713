/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Syncs: at once after a change, again with backoff after a failure, in full now and then
 * (schedule.h). */
#ifndef KPROXY_SYNC_H
#define KPROXY_SYNC_H

#include <uv.h>

#include "conntrack/cleaner.h"
#include "options/options.h"
#include "plan/planner.h"

struct kp_sync;

/* What a sync did. */
struct kp_sync_result {
	bool ok;
	bool full;     /* everything was compared with the kernel */
	bool repaired; /* something was not as it should be, and is, even after a failure */
	int64_t took_us;
	struct kp_apply_stats stats; /* zero when nothing was sent */
};

/* Who is told what happens.  NULL for what is not of interest. */
struct kp_sync_observer {
	/* Something waits for a sync from now on; called once or more until it is done. */
	void (*queued)(void *arg);
	/* A sync succeeded or failed; the tracker still holds what it was about. */
	void (*synced)(void *arg, const struct kp_sync_result *result);
	kp_cleaner_report cleaned;
	void *arg;
};

struct kp_sync *kp_sync_new(const struct kp_options *options, const struct kp_backend_ops *ops,
			    struct kp_backend *backend);
void kp_sync_free(struct kp_sync *sync);

/* Tells the tracker's owner what to call: schedules a sync in the loop's next turn. */
void kp_sync_wake(void *sync);

/* Asks for a full sync: everything is compared with the kernel. */
void kp_sync_all(struct kp_sync *sync);

/* Borrows what is synced; the first sync is a full one. */
void kp_sync_attach(struct kp_sync *sync, const struct kp_store *store, struct kp_tracker *tracker);

/* '*observer' is copied. */
void kp_sync_observe(struct kp_sync *sync, const struct kp_sync_observer *observer);

/* Calls 'fn' once, after the first sync that succeeds. */
void kp_sync_after_first(struct kp_sync *sync, void (*fn)(void *arg), void *arg);

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

/* What the kernel holds, as far as we know. */
const struct kp_state *kp_sync_installed(const struct kp_sync *sync);

#endif
