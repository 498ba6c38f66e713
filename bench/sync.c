/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long does a sync take?
 *
 *     sync MANIFESTS CHANGES
 *
 * Reads the objects, times the first sync into an empty kernel, then CHANGES syncs of one changed
 * endpoint each, spread over all Services.  Run it in a network namespace of its own; the rules
 * stay.  Prints one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kproxy/log.h"
#include "manifests/directory.h"
#include "sync.h"
#include "track/tracker.h"

struct cost {
	int64_t total_us;  /* from the changed object to the kernel's last answer */
	int64_t read_us;   /* what is installed, before a full sync */
	int64_t apply_us;  /* rendering, messages, kernel */
	int64_t kernel_us; /* as in struct kp_apply_stats */
	size_t n_ops, n_bytes;
};

/* What the backend has cost since the last sync began. */
static struct cost spent;

struct bench {
	struct kp_tracker *tracker;
	struct kp_store *store;
	struct kp_sync *sync;
	struct kp_backend *backend;
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int timed_readback(struct kp_backend *be, struct kp_state *ret, struct kp_err *err)
{
	int64_t start_us = now_us();
	int r = kp_nft_backend.readback(be, ret, err);

	spent.read_us = now_us() - start_us;
	return r;
}

static int timed_apply(struct kp_backend *be, const struct kp_plan *plan,
		       struct kp_apply_stats *stats, struct kp_err *err)
{
	int64_t start_us = now_us();
	int r = kp_nft_backend.apply(be, plan, stats, err);

	spent.apply_us = now_us() - start_us;
	spent.kernel_us = stats->kernel_us;
	spent.n_ops = stats->n_ops;
	spent.n_bytes = stats->n_bytes;
	return r;
}

/* The backend with a clock around what kp_sync_now() calls. */
static const struct kp_backend_ops timed_backend = {
	.name = "nft",
	.readback = timed_readback,
	.apply = timed_apply,
};

static struct cost sync_since(struct bench *b, int64_t start_us)
{
	if (kp_sync_now(b->sync) < 0)
		exit(1);
	spent.total_us = now_us() - start_us;
	return spent;
}

static struct kp_endpointslice *copy_slice(const struct kp_endpointslice *slice)
{
	struct kp_endpointslice *copy = kp_xcalloc(1, sizeof(*copy));

	*copy = *slice;
	copy->ns = kp_name_get(slice->ns);
	copy->name = kp_xstrdup(slice->name);
	copy->service = kp_xstrdup(slice->service);
	copy->ports = kp_xcalloc(slice->n_ports, sizeof(*copy->ports));
	for (size_t i = 0; i < slice->n_ports; i++) {
		copy->ports[i] = slice->ports[i];
		copy->ports[i].name = kp_name_get(slice->ports[i].name);
	}
	copy->endpoints = kp_xcalloc(slice->n_endpoints, sizeof(*copy->endpoints));
	for (size_t i = 0; i < slice->n_endpoints; i++) {
		copy->endpoints[i] = slice->endpoints[i];
		if (slice->endpoints[i].zone_hints)
			copy->endpoints[i].zone_hints = kp_name_get(slice->endpoints[i].zone_hints);
	}
	return copy;
}

/* One endpoint of Service number 'n' moves to an address that nobody has; the next time, back. */
static struct kp_object moved_endpoint(const struct bench *b, size_t n, size_t endpoint)
{
	kp_autofree char *key = kp_xasprintf("bench/service-%zu", n);
	struct kp_store_service service;
	struct kp_endpointslice *slice;

	if (!kp_store_get(b->store, key, &service) || service.n_slices == 0) {
		fprintf(stderr, "sync: no endpoints of %s in the manifests\n", key);
		exit(1);
	}
	slice = copy_slice(service.slices[0]);
	slice->endpoints[endpoint % slice->n_endpoints].addr.bytes[0] ^= 1;
	return (struct kp_object){.kind = KP_KIND_ENDPOINTSLICE, .slice = slice};
}

static struct cost change(struct bench *b, size_t i)
{
	/* A step without a common divisor visits all Services in an order that is not theirs. */
	size_t n = i * 7919 % kp_store_count(b->store, KP_KIND_SERVICE);
	struct kp_object object = moved_endpoint(b, n, i);
	int64_t start_us = now_us();

	kp_store_put(b->store, &object);
	return sync_since(b, start_us);
}

static int compare_us(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_changes(struct bench *b, size_t n)
{
	int64_t *total = kp_xcalloc(n, sizeof(*total)), *kernel = kp_xcalloc(n, sizeof(*kernel));
	struct cost cost = {0};

	for (size_t i = 0; i < n; i++) {
		cost = change(b, i);
		total[i] = cost.total_us;
		kernel[i] = cost.kernel_us;
	}
	qsort(total, n, sizeof(*total), compare_us);
	qsort(kernel, n, sizeof(*kernel), compare_us);
	printf(", \"change\": {\"median_us\": %" PRId64 ", \"p99_us\": %" PRId64
	       ", \"kernel_median_us\": %" PRId64 ", \"ops\": %zu, \"bytes\": %zu}",
	       total[n / 2], total[n * 99 / 100], kernel[n / 2], cost.n_ops, cost.n_bytes);
	free(total);
	free(kernel);
}

static void run(struct bench *b, size_t n_changes)
{
	struct cost cold = sync_since(b, now_us());

	printf("{\"services\": %zu, \"cold\": {\"total_us\": %" PRId64 ", \"read_us\": %" PRId64
	       ", \"plan_us\": %" PRId64 ", \"render_us\": %" PRId64 ", \"kernel_us\": %" PRId64
	       ", \"ops\": %zu, \"bytes\": %zu}",
	       kp_store_count(b->store, KP_KIND_SERVICE), cold.total_us, cold.read_us,
	       cold.total_us - cold.read_us - cold.apply_us, cold.apply_us - cold.kernel_us,
	       cold.kernel_us, cold.n_ops, cold.n_bytes);
	if (n_changes > 0)
		print_changes(b, n_changes);
	puts("}");
}

static int bench_open(struct bench *b, const struct kp_options *options, struct kp_err *err)
{
	struct kp_directory *directory;
	int r = kp_nft_backend.open(&options->settings, &b->backend, err);

	if (r < 0)
		return r;
	b->sync = kp_sync_new(options, &timed_backend, b->backend);
	b->tracker = kp_tracker_new(kp_sync_wake, b->sync);
	b->store = kp_store_new(b->tracker);
	kp_sync_attach(b->sync, b->store, b->tracker);
	r = kp_directory_open(options->manifests, options->node_name, b->store, NULL, &directory,
			      err);
	if (r == 0)
		kp_directory_close(directory);
	return r;
}

static void bench_clear(struct bench *b)
{
	kp_store_free(b->store);
	kp_tracker_free(b->tracker);
	kp_sync_free(b->sync);
	kp_nft_backend.close(b->backend);
}

int main(int argc, char **argv)
{
	struct kp_options options = {
		.node_name = "node1",
		.settings = {.has_pod_range = {[KP_IPV4] = true},
			     .pod_range = {{.addr = {{10, 128}}, .family = KP_IPV4, .len = 9}},
			     .masquerade_mark = 0x4000},
	};
	struct kp_err err = KP_ERR_INIT;
	struct bench b = {0};
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: sync MANIFESTS CHANGES\n");
		return 2;
	}
	options.manifests = argv[1];
	kp_log_set_level(KP_LOG_ERROR);
	r = bench_open(&b, &options, &err);
	if (r < 0)
		fprintf(stderr, "sync: %s\n", err.text);
	else
		run(&b, strtoul(argv[2], NULL, 10));
	bench_clear(&b);
	return r < 0;
}
