/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the API server is followed (docs/metrics.md). */
#ifndef KPROXY_WATCH_METRICS_H
#define KPROXY_WATCH_METRICS_H

#include "api/watch.h"
#include "http/metrics.h"

struct kp_watch_metrics {
	struct kp_metric *silence, *stale, *lists, *watches, *failures, *refused;
};

void kp_watch_metrics_add(struct kp_watch_metrics *w, struct kp_metrics *metrics);

/* Sets the series of one resource. */
void kp_watch_metrics_set(const struct kp_watch_metrics *w, const struct kp_watch *watch);

#endif
