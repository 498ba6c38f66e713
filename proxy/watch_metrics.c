/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "watch_metrics.h"

#include <stdio.h>

void kp_watch_metrics_add(struct kp_watch_metrics *w, struct kp_metrics *metrics)
{
	w->silence = kp_metrics_gauge(metrics, "kproxy_watch_silence_seconds",
				      "Time since the API server last sent anything");
	w->stale = kp_metrics_gauge(metrics, "kproxy_watch_stale",
				    "1 when that is longer than a watch that works is silent");
	w->lists = kp_metrics_counter(metrics, "kproxy_lists_total", "Complete lists");
	w->watches = kp_metrics_counter(metrics, "kproxy_watches_total", "Watches asked for");
	w->failures = kp_metrics_counter(metrics, "kproxy_request_failures_total",
					 "Lists and watches that failed");
	w->refused = kp_metrics_counter(metrics, "kproxy_refused_objects_total",
					"Objects and events that could not be read");
}

void kp_watch_metrics_set(const struct kp_watch_metrics *w, const struct kp_watch *watch)
{
	const struct {
		struct kp_metric *metric;
		double value;
	} values[] = {
		{w->silence, watch->silent_ms / 1e3}, {w->stale, watch->stale},
		{w->lists, watch->n_lists},	      {w->watches, watch->n_watches},
		{w->failures, watch->n_failures},     {w->refused, watch->n_refused},
	};
	char label[64];

	snprintf(label, sizeof(label), "resource=\"%s\"", watch->resource);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		kp_series_set(kp_metric_series(values[i].metric, label), values[i].value);
}
