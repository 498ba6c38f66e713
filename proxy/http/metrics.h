/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics and their text form (Prometheus exposition format, version 0.0.4).
 *
 * A metric has one series for each set of labels that is asked for; series stay.  There are few of
 * them by design: nothing has a series for each Service or endpoint. */
#ifndef KPROXY_HTTP_METRICS_H
#define KPROXY_HTTP_METRICS_H

#include <stddef.h>
#include <stdio.h>

struct kp_metrics; /* a set of metrics */
struct kp_metric;
struct kp_series;

struct kp_metrics *kp_metrics_new(void);
void kp_metrics_free(struct kp_metrics *metrics); /* accepts NULL */

/* Add a metric; texts are borrowed.  They belong to the set, and are printed in this order. */
struct kp_metric *kp_metrics_counter(struct kp_metrics *metrics, const char *name,
				     const char *help);
struct kp_metric *kp_metrics_gauge(struct kp_metrics *metrics, const char *name, const char *help);

/* 'bounds' are the upper bounds of the buckets, ascending, without the infinite one. */
struct kp_metric *kp_metrics_histogram(struct kp_metrics *metrics, const char *name,
				       const char *help, const double *bounds, size_t n_bounds);

/* The series with these labels, which is made when missing, with 0.  'labels' are as they are
 * printed: "" or 'code="200"'.  It lives as long as the set. */
struct kp_series *kp_metric_series(struct kp_metric *metric, const char *labels);

void kp_series_set(struct kp_series *series, double value);
void kp_series_add(struct kp_series *series, double value);
void kp_series_observe(struct kp_series *series, double value); /* of a histogram */

void kp_metrics_print(const struct kp_metrics *metrics, FILE *out);

#endif
