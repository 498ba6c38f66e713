/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sync.h"

#include <inttypes.h>

#include "kproxy/log.h"

enum { RETRY_FIRST_MS = 100, RETRY_MAX_MS = 30000 };

struct kp_sync {
	const struct kp_options *options;
	const struct kp_backend_ops *ops;
	struct kp_backend *backend;
	struct kp_planner planner;
	struct kp_state installed;
	bool full;              /* the next sync compares everything with the kernel */
	bool done;              /* nothing is waiting */
	unsigned int n_failures; /* in a row */
	bool running;           /* the handles are open */
	uv_timer_t timer;       /* retry, and the next turn of the loop (0 ms) */
};

static void report_conflict(const char *loser, const char *winner, const struct kp_vservice *v,
			    const struct kp_frontend *f)
{
	char addr[KP_ADDR_TEXT_SIZE];

	if (f->type == KP_NODE_PORT)
		kp_log_error("sync", "node port ignored, another Service has it",
			     "service=%s port=%u protocol=%s owner=%s", loser, f->port,
			     kp_proto_name(v->proto), winner);
	else
		kp_log_error("sync", "frontend ignored, another Service has it",
			     "service=%s frontend=%s protocol=%s owner=%s", loser,
			     kp_addr_port_text(v->family, &f->addr, f->port, addr),
			     kp_proto_name(v->proto), winner);
}

struct kp_sync *kp_sync_new(const struct kp_options *options, const struct kp_backend_ops *ops,
			    struct kp_backend *backend)
{
	struct kp_sync *sync = kp_xcalloc(1, sizeof(*sync));

	sync->options = options;
	sync->ops = ops;
	sync->backend = backend;
	sync->full = true;
	sync->planner.claims = kp_claims_new();
	sync->planner.conflict = report_conflict;
	return sync;
}

void kp_sync_free(struct kp_sync *sync)
{
	if (!sync)
		return;
	kp_claims_free(sync->planner.claims);
	kp_state_clear(&sync->installed);
	free(sync);
}

void kp_sync_attach(struct kp_sync *sync, const struct kp_store *store,
		    struct kp_tracker *tracker)
{
	sync->planner.store = store;
	sync->planner.tracker = tracker;
}

static void on_timer(uv_timer_t *timer)
{
	kp_sync_now(timer->data);
}

static void schedule(struct kp_sync *sync, uint64_t ms)
{
	if (sync->running)
		uv_timer_start(&sync->timer, on_timer, ms, 0);
}

void kp_sync_wake(void *arg)
{
	struct kp_sync *sync = arg;

	sync->done = false;
	/* After a failure the retry is already due. */
	if (sync->n_failures == 0)
		schedule(sync, 0);
}

void kp_sync_start(struct kp_sync *sync, uv_loop_t *loop)
{
	uv_timer_init(loop, &sync->timer);
	sync->timer.data = sync;
	sync->running = true;
	schedule(sync, 0);
}

void kp_sync_stop(struct kp_sync *sync)
{
	if (sync->running)
		uv_close((uv_handle_t *)&sync->timer, NULL);
	sync->running = false;
}

bool kp_sync_is_done(const struct kp_sync *sync)
{
	return sync->done;
}

static size_t all_addresses(struct kp_prefix *ret)
{
	ret[0] = (struct kp_prefix){.family = KP_IPV4};
	ret[1] = (struct kp_prefix){.family = KP_IPV6};
	return 2;
}

/* The ranges in which the node's addresses serve node ports (NP-1, NP-4).  A family that is not
 * named matches all; so does an unknown primary address. */
static size_t node_port_ranges(const struct kp_sync *sync, struct kp_prefix *ret)
{
	const struct kp_options *o = sync->options;
	const struct kp_node *node = kp_store_node(sync->planner.store);
	bool has[KP_N_FAMILIES] = {false};
	struct kp_prefix all[KP_N_FAMILIES];
	size_t n = 0;

	for (size_t i = 0; i < o->n_node_ports; i++) {
		ret[n++] = o->node_ports[i];
		has[o->node_ports[i].family] = true;
	}
	all_addresses(all);
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		if (o->node_ports_primary && node && !kp_addr_is_zero(&node->ip[f]))
			ret[n++] = (struct kp_prefix){.addr = node->ip[f],
						      .family = f,
						      .len = kp_family_addr_size(f) * 8};
		else if (!has[f])
			ret[n++] = all[f];
	}
	return n;
}

static void build_plan(struct kp_sync *sync, struct kp_plan *ret)
{
	struct kp_prefix ranges[sizeof(sync->options->node_ports) /
					sizeof(sync->options->node_ports[0]) +
				KP_N_FAMILIES];

	kp_planner_build(&sync->planner, &sync->installed, sync->full, ranges,
			 node_port_ranges(sync, ranges), ret);
}

/* What is installed is learned from the kernel, so that slots stay where they are. */
static int read_installed(struct kp_sync *sync, struct kp_err *err)
{
	if (!sync->full)
		return 0;
	kp_state_clear(&sync->installed);
	return sync->ops->readback(sync->backend, &sync->installed, err);
}

static int apply(struct kp_sync *sync, struct kp_apply_stats *stats, struct kp_err *err)
{
	struct kp_plan plan = {0};
	int r = 0;

	build_plan(sync, &plan);
	if (kp_plan_is_empty(&plan)) {
		kp_plan_clear(&plan);
		return 0;
	}
	/* Twice refused: what is in the kernel is not what we believe, start from nothing. */
	if (sync->full && sync->n_failures > 1)
		r = sync->ops->rebuild(sync->backend, &plan, stats, err);
	else
		r = sync->ops->apply(sync->backend, &plan, stats, err);
	if (r == 0)
		kp_plan_commit(&plan, &sync->installed);
	kp_plan_clear(&plan);
	return r;
}

static void failed(struct kp_sync *sync, const struct kp_err *err)
{
	uint64_t ms = RETRY_FIRST_MS;

	for (unsigned int i = 0; i < sync->n_failures && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	if (ms > RETRY_MAX_MS)
		ms = RETRY_MAX_MS;
	sync->n_failures++;
	sync->full = true;
	schedule(sync, ms);
	kp_log_error("sync", "sync failed, rules are as before", "error=%s retry_ms=%" PRIu64,
		     kp_log_quote(err->text), ms);
}

int kp_sync_now(struct kp_sync *sync)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_apply_stats stats = {0};
	uint64_t start_ns = uv_hrtime();
	bool first = sync->full;
	size_t n_marked = kp_tracker_n_services(sync->planner.tracker);
	int r = read_installed(sync, &err);

	if (r == 0)
		r = apply(sync, &stats, &err);
	if (r < 0) {
		failed(sync, &err);
		return r;
	}
	kp_tracker_clear(sync->planner.tracker);
	sync->full = false;
	sync->done = true;
	sync->n_failures = 0;
	kp_log(first ? KP_LOG_INFO : KP_LOG_DEBUG, "sync", "sync done",
	       "backend=%s full=%d changed=%zu ops=%zu bytes=%zu took_us=%" PRIu64
	       " kernel_us=%" PRId64,
	       sync->ops->name, first, n_marked, stats.n_ops, stats.n_bytes,
	       (uv_hrtime() - start_ns) / 1000, stats.kernel_us);
	return 0;
}

int kp_sync_print_plan(struct kp_sync *sync, FILE *out, struct kp_err *err)
{
	struct kp_plan plan = {0};
	int r = read_installed(sync, err);

	if (r < 0)
		return r;
	build_plan(sync, &plan);
	kp_plan_print(&plan, out);
	kp_plan_clear(&plan);
	return 0;
}
