/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics of this program (docs/metrics.md): kube-proxy's where the meaning is the same, and
 * our own.  Modules with metrics that only they know add them to the same set (kp_measure_metrics).
 */
#ifndef KPROXY_MEASURE_H
#define KPROXY_MEASURE_H

#include "http/metrics.h"
#include "http/server.h"
#include "http/service_health.h"
#include "sync.h"

struct kp_measure;

/* What is read when someone asks for the metrics; borrowed. */
struct kp_measure_sources {
	const struct kp_tracker *tracker;
	const struct kp_store *store;
	const struct kp_sync *sync;
	const struct kp_service_health *service_health;
	const struct kp_http *http;
};

struct kp_measure *kp_measure_new(const struct kp_measure_sources *sources);
void kp_measure_free(struct kp_measure *measure); /* accepts NULL */

struct kp_metrics *kp_measure_metrics(struct kp_measure *measure);

/* As struct kp_sync_observer tells them. */
void kp_measure_queued(struct kp_measure *measure);
void kp_measure_synced(struct kp_measure *measure, const struct kp_sync_result *result);
void kp_measure_cleaned(struct kp_measure *measure, const size_t n_deleted[KP_N_FAMILIES],
			int64_t took_us);

/* A request to /healthz or /livez was answered (HZ-9). */
void kp_measure_health(struct kp_measure *measure, const char *path, unsigned int status);

/* Frontends and endpoints in the kernel, of both families. */
void kp_measure_installed(const struct kp_measure *measure, size_t *ret_n_frontends,
			  size_t *ret_n_endpoints);

/* Reads what is not counted as it happens, and prints all. */
void kp_measure_print(struct kp_measure *measure, FILE *out);

#endif
