/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/metrics.h"

#include <inttypes.h>
#include <string.h>
#include <utlist.h>

#include "kproxy/err.h"

struct kp_series {
	struct kp_series *next;
	const struct kp_metric *metric;
	char *labels;
	double value; /* of a histogram: the sum */
	/* Of a histogram: how many values fell into each bucket, the infinite one last; not
	 * cumulative yet. */
	uint64_t *counts;
};

struct kp_metric {
	struct kp_metric *next;
	const char *name, *help, *type;
	const double *bounds;
	size_t n_bounds;
	struct kp_series *series;
};

struct kp_metrics {
	struct kp_metric *metrics;
};

struct kp_metrics *kp_metrics_new(void)
{
	return kp_xcalloc(1, sizeof(struct kp_metrics));
}

static void metric_free(struct kp_metric *metric)
{
	struct kp_series *series, *next;

	LL_FOREACH_SAFE (metric->series, series, next) {
		free(series->labels);
		free(series->counts);
		free(series);
	}
	free(metric);
}

void kp_metrics_free(struct kp_metrics *metrics)
{
	struct kp_metric *metric, *next;

	if (!metrics)
		return;
	LL_FOREACH_SAFE (metrics->metrics, metric, next)
		metric_free(metric);
	free(metrics);
}

static struct kp_metric *add(struct kp_metrics *metrics, const char *name, const char *help,
			     const char *type)
{
	struct kp_metric *metric = kp_xcalloc(1, sizeof(*metric));

	metric->name = name;
	metric->help = help;
	metric->type = type;
	LL_APPEND(metrics->metrics, metric);
	return metric;
}

struct kp_metric *kp_metrics_counter(struct kp_metrics *metrics, const char *name, const char *help)
{
	return add(metrics, name, help, "counter");
}

struct kp_metric *kp_metrics_gauge(struct kp_metrics *metrics, const char *name, const char *help)
{
	return add(metrics, name, help, "gauge");
}

struct kp_metric *kp_metrics_histogram(struct kp_metrics *metrics, const char *name,
				       const char *help, const double *bounds, size_t n_bounds)
{
	struct kp_metric *metric = add(metrics, name, help, "histogram");

	metric->bounds = bounds;
	metric->n_bounds = n_bounds;
	return metric;
}

struct kp_series *kp_metric_series(struct kp_metric *metric, const char *labels)
{
	struct kp_series *series;

	LL_FOREACH (metric->series, series)
		if (strcmp(series->labels, labels) == 0)
			return series;
	series = kp_xcalloc(1, sizeof(*series));
	series->metric = metric;
	series->labels = kp_xstrdup(labels);
	if (metric->bounds)
		series->counts = kp_xcalloc(metric->n_bounds + 1, sizeof(*series->counts));
	LL_APPEND(metric->series, series);
	return series;
}

void kp_series_set(struct kp_series *series, double value)
{
	series->value = value;
}

void kp_series_add(struct kp_series *series, double value)
{
	series->value += value;
}

void kp_series_observe(struct kp_series *series, double value)
{
	const struct kp_metric *metric = series->metric;
	size_t i = 0;

	while (i < metric->n_bounds && value > metric->bounds[i])
		i++;
	series->counts[i]++;
	series->value += value;
}

/* Whole numbers without a fraction or an exponent, as people count; others as they are read back
 * exactly. */
static void print_number(double value, FILE *out)
{
	if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value)
		fprintf(out, "%" PRId64, (int64_t)value);
	else
		fprintf(out, "%.17g", value);
}

static void print_line(const char *name, const char *suffix, const char *labels, double value,
		       FILE *out)
{
	fprintf(out, "%s%s%s%s%s ", name, suffix, *labels ? "{" : "", labels, *labels ? "}" : "");
	print_number(value, out);
	putc('\n', out);
}

static void print_histogram(const struct kp_series *series, FILE *out)
{
	const struct kp_metric *metric = series->metric;
	const char *comma = *series->labels ? "," : "";
	uint64_t total = 0;

	for (size_t i = 0; i < metric->n_bounds; i++) {
		total += series->counts[i];
		fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", metric->name, series->labels,
			comma, metric->bounds[i], total);
	}
	total += series->counts[metric->n_bounds];
	fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", metric->name, series->labels,
		comma, total);
	print_line(metric->name, "_sum", series->labels, series->value, out);
	print_line(metric->name, "_count", series->labels, total, out);
}

static void print_metric(const struct kp_metric *metric, FILE *out)
{
	const struct kp_series *series;

	if (!metric->series)
		return;
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
		metric->type);
	LL_FOREACH (metric->series, series) {
		if (metric->bounds)
			print_histogram(series, out);
		else
			print_line(metric->name, "", series->labels, series->value, out);
	}
}

void kp_metrics_print(const struct kp_metrics *metrics, FILE *out)
{
	const struct kp_metric *metric;

	LL_FOREACH (metrics->metrics, metric)
		print_metric(metric, out);
}
