/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Prometheus' client libraries tell of every process, and our version. */
#ifndef KPROXY_PROCESS_METRICS_H
#define KPROXY_PROCESS_METRICS_H

#include "http/metrics.h"

struct kp_process_metrics {
	struct kp_metric *cpu, *open_fds, *max_fds, *virtual_bytes, *resident_bytes;
};

/* Early, as it notes the time of the start. */
void kp_process_metrics_add(struct kp_process_metrics *p, struct kp_metrics *metrics);

/* Reads the present values. */
void kp_process_metrics_read(const struct kp_process_metrics *p);

#endif
