/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be asked from outside, over HTTP: health, the Services' health check ports, metrics.  It
 * watches the syncs and never holds one up (SY-13). */
#ifndef KPROXY_MONITOR_H
#define KPROXY_MONITOR_H

#include "api/source.h"
#include "http/metrics.h"
#include "sync.h"

struct kp_monitor;

/* Opens the servers that 'options' asks for and becomes the observer of 'sync'.  An address that
 * cannot be had is logged once and tried again every 5 s, or is an error with bind_hard_fail (HZ-8,
 * MS-2).  All is borrowed; after an error too, the loop runs once more to close handles. */
int kp_monitor_open(const struct kp_options *options, const char *backend, uv_loop_t *loop,
		    struct kp_sync *sync, const struct kp_store *store, struct kp_tracker *tracker,
		    struct kp_monitor **ret, struct kp_err *err);

/* Tells of the API server, too; borrowed until the monitor is closed. */
void kp_monitor_watch_api(struct kp_monitor *monitor, const struct kp_api *api);

/* Where other modules add metrics of their own. */
struct kp_metrics *kp_monitor_metrics(struct kp_monitor *monitor);

/* Stops watching and closes the handles in the loop, which runs once more.  Accepts NULL. */
void kp_monitor_close(struct kp_monitor *monitor);

#endif
