/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sync.h"

#include <inttypes.h>
#include <malloc.h>

#include "kproxy/clock.h"
#include "kproxy/events.h"
#include "kproxy/log.h"
#include "schedule.h"

enum {
	REPAIR_MS = 5,	   /* "flush ruleset" comes as many messages */
	CHECK_MS = 1000,   /* from one look for lost messages to the next */
	TELL_FAILURES = 3, /* in a row, before they are an event */
};

struct kp_sync {
	const struct kp_options *options;
	const struct kp_backend_ops *ops;
	struct kp_backend *backend;
	struct kp_planner planner;
	struct kp_settings settings;
	struct kp_state installed;
	struct kp_cleaner *cleaner;
	struct kp_sync_observer observer;
	void (*after_first)(void *arg); /* NULL once it was called */
	void *after_first_arg;
	struct kp_schedule schedule;
	int64_t earliest_us;	/* when the next sync may begin (SY-2) */
	bool full;		/* the next sync compares everything with the kernel */
	bool known;		/* 'installed' is what the last sync left in the kernel */
	unsigned int n_refused; /* of the failures: the kernel did not take the transaction */
	bool repair;		/* the kernel has not what we left */
	bool syncing;		/* the marks that a full sync sets are no changes */
	bool running;		/* the handles are open */
	uv_poll_t watch;	/* of changes that others make */
	uv_timer_t check;	/* for those that the watch did not tell of */
	bool watching;
	uv_timer_t timer;      /* retry, and the next turn of the loop (0 ms) */
	uv_timer_t full_timer; /* the periodic full sync */
	uv_idle_t cleaning;    /* active while there are stale flows */
};

/* What has to change, in the words of the manifests. */
static const char *field_name(enum kp_frontend_type type)
{
	switch (type) {
	case KP_NODE_PORT:
		return "nodePort";
	case KP_EXTERNAL_IP:
		return "externalIPs";
	case KP_LOAD_BALANCER_IP:
		return "loadBalancer.ingress";
	default:
		return "clusterIP";
	}
}

static void report_conflict(const char *loser, const char *winner, const struct kp_vservice *v,
			    const struct kp_frontend *f)
{
	char text[KP_ADDR_TEXT_SIZE];

	if (f->type == KP_NODE_PORT)
		snprintf(text, sizeof(text), "%u", f->port);
	else
		kp_addr_port_text(v->family, &f->addr, f->port, text);
	kp_log_error("sync", "frontend not served, another Service has it; change one of them",
		     "service=%s portName=%s field=%s frontend=%s protocol=%s owner=%s", loser,
		     kp_log_quote(v->port_name), field_name(f->type), text, kp_proto_name(v->proto),
		     winner);
	kp_event_service(loser, "FrontendConflict", "Sync",
			 "%s %s/%s is not served, Service %s has it", field_name(f->type), text,
			 kp_proto_name(v->proto), winner);
}

static void report_no_affinity(const char *owner)
{
	kp_log_error("sync", "too many Services or endpoints with session affinity",
		     "service=%s consequence=%s", owner, kp_log_quote("balanced without affinity"));
}

struct kp_sync *kp_sync_new(const struct kp_options *options, const struct kp_backend_ops *ops,
			    struct kp_backend *backend)
{
	struct kp_sync *sync = kp_xcalloc(1, sizeof(*sync));

	sync->options = options;
	sync->settings = options->settings;
	sync->schedule.retry_max_ms = options->sync_period_ms;
	sync->ops = ops;
	sync->backend = backend;
	sync->full = true;
	sync->planner.claims = kp_claims_new();
	sync->planner.conflict = report_conflict;
	sync->planner.no_affinity = report_no_affinity;
	sync->cleaner = kp_cleaner_new();
	return sync;
}

void kp_sync_free(struct kp_sync *sync)
{
	if (!sync)
		return;
	kp_claims_free(sync->planner.claims);
	kp_cleaner_free(sync->cleaner);
	kp_state_clear(&sync->installed);
	free(sync);
}

void kp_sync_attach(struct kp_sync *sync, const struct kp_store *store, struct kp_tracker *tracker)
{
	sync->planner.store = store;
	sync->planner.tracker = tracker;
}

void kp_sync_observe(struct kp_sync *sync, const struct kp_sync_observer *observer)
{
	sync->observer = *observer;
	kp_cleaner_observe(sync->cleaner, observer->cleaned, observer->arg);
}

void kp_sync_after_first(struct kp_sync *sync, void (*fn)(void *arg), void *arg)
{
	sync->after_first = fn;
	sync->after_first_arg = arg;
}

static void tell_queued(const struct kp_sync *sync)
{
	if (sync->observer.queued)
		sync->observer.queued(sync->observer.arg);
}

static void tell_synced(const struct kp_sync *sync, const struct kp_sync_result *result)
{
	if (sync->observer.synced)
		sync->observer.synced(sync->observer.arg, result);
}

static void on_timer(uv_timer_t *timer)
{
	kp_sync_now(timer->data);
}

/* Not before the minimum since the last sync has passed, rounded up to whole ms. */
static void schedule(struct kp_sync *sync, uint64_t ms)
{
	int64_t left_us = sync->earliest_us - kp_clock_us();
	uint64_t left_ms = 0;

	if (!sync->running)
		return;
	if (left_us > 0) {
		left_ms = (left_us + 999) / 1000;
		/* Timers count from the time of the loop, which stood still during a sync. */
		uv_update_time(sync->timer.loop);
	}
	uv_timer_start(&sync->timer, on_timer, ms > left_ms ? ms : left_ms, 0);
}

static void schedule_change(struct kp_sync *sync)
{
	uint64_t now = kp_clock_ms();

	schedule(sync, kp_schedule_change(&sync->schedule, now) - now);
}

static void on_full_timer(uv_timer_t *timer)
{
	kp_sync_all(timer->data);
}

/* Each full sync puts the next periodic one off (SY-5). */
static void schedule_full(struct kp_sync *sync)
{
	uint64_t now = kp_clock_ms(), due = sync->schedule.full_ms;

	if (sync->running)
		uv_timer_start(&sync->full_timer, on_full_timer, due > now ? due - now : 0, 0);
}

static void on_idle(uv_idle_t *idle)
{
	struct kp_sync *sync = idle->data;

	if (!kp_cleaner_step(sync->cleaner))
		uv_idle_stop(idle);
}

/* A step in each turn of the loop, or without a loop all at once. */
static void clean(struct kp_sync *sync)
{
	if (sync->running)
		uv_idle_start(&sync->cleaning, on_idle);
	else
		while (kp_cleaner_step(sync->cleaner))
			;
}

void kp_sync_wake(void *arg)
{
	struct kp_sync *sync = arg;

	if (sync->syncing)
		return;
	tell_queued(sync);
	schedule_change(sync);
}

void kp_sync_all(struct kp_sync *sync)
{
	sync->full = true;
	schedule_change(sync);
}

/* True when a repair is due that was not before.  After a failure the retry compares everything
 * with the kernel anyway. */
static bool note_damage(struct kp_sync *sync, enum kp_damage damage)
{
	if (damage == KP_DAMAGE_NONE || sync->schedule.n_failures > 0)
		return false;
	sync->full |= damage == KP_DAMAGE_UNKNOWN;
	if (sync->repair)
		return false;
	sync->repair = true;
	tell_queued(sync);
	return true;
}

static void schedule_repair(struct kp_sync *sync, enum kp_damage damage)
{
	if (note_damage(sync, damage))
		schedule(sync, REPAIR_MS);
}

static void on_foreign_change(uv_poll_t *watch, int status, int events)
{
	struct kp_sync *sync = watch->data;

	(void)events;
	/* Lost messages count as an error of the socket, on which libuv stops. */
	if (status < 0)
		uv_poll_start(watch, UV_READABLE, on_foreign_change);
	schedule_repair(sync, sync->ops->was_changed(sync->backend));
}

static void on_check(uv_timer_t *check)
{
	struct kp_sync *sync = check->data;

	schedule_repair(sync, sync->ops->missed_change(sync->backend));
}

/* Without it the rules are only right until someone else touches them; we go on. */
static void watch_kernel(struct kp_sync *sync, uv_loop_t *loop)
{
	struct kp_err err = KP_ERR_INIT;
	int fd;

	if (sync->ops->watch(sync->backend, &fd, &err) < 0) {
		kp_log_warn("sync", "changes that others make to our rules will go unnoticed",
			    "error=%s", kp_log_quote(err.text));
		return;
	}
	uv_poll_init(loop, &sync->watch, fd);
	uv_timer_init(loop, &sync->check);
	sync->watch.data = sync->check.data = sync;
	uv_poll_start(&sync->watch, UV_READABLE, on_foreign_change);
	uv_timer_start(&sync->check, on_check, CHECK_MS, CHECK_MS);
	sync->watching = true;
}

/* LD-1 */
static void check_pod_cidrs(const struct kp_sync *sync)
{
	const struct kp_node *node = kp_store_last_node(sync->planner.store);

	if (sync->options->pods_by_node_cidr &&
	    !(node && (node->has_pod_cidr[KP_IPV4] || node->has_pod_cidr[KP_IPV6])))
		kp_log_warn("sync", "the Node has no podCIDRs, no source counts as a pod", NULL);
}

void kp_sync_start(struct kp_sync *sync, uv_loop_t *loop)
{
	check_pod_cidrs(sync);
	uv_timer_init(loop, &sync->timer);
	uv_timer_init(loop, &sync->full_timer);
	uv_idle_init(loop, &sync->cleaning);
	sync->timer.data = sync->full_timer.data = sync->cleaning.data = sync;
	sync->running = true;
	watch_kernel(sync, loop);
	tell_queued(sync);
	schedule(sync, 0);
}

void kp_sync_stop(struct kp_sync *sync)
{
	if (!sync->running)
		return;
	if (sync->watching) {
		uv_close((uv_handle_t *)&sync->watch, NULL);
		uv_close((uv_handle_t *)&sync->check, NULL);
	}
	uv_close((uv_handle_t *)&sync->timer, NULL);
	uv_close((uv_handle_t *)&sync->full_timer, NULL);
	uv_close((uv_handle_t *)&sync->cleaning, NULL);
	sync->watching = false;
	sync->running = false;
	clean(sync);
}

const struct kp_state *kp_sync_installed(const struct kp_sync *sync)
{
	return &sync->installed;
}

/* The ranges in which the node's addresses serve node ports (NP-1, NP-4).  A family that is not
 * named matches all; so does an unknown primary address. */
static size_t node_port_ranges(const struct kp_sync *sync, struct kp_prefix *ret)
{
	const struct kp_options *o = sync->options;
	bool has[KP_N_FAMILIES] = {false};
	size_t n = 0;

	for (size_t i = 0; i < o->n_node_ports; i++) {
		ret[n++] = o->node_ports[i];
		has[o->node_ports[i].family] = true;
	}
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		const struct kp_addr *ip = kp_store_node_ip(sync->planner.store, f);

		if (o->node_ports_primary && ip)
			ret[n++] = (struct kp_prefix){
				.addr = *ip, .family = f, .len = kp_family_addr_size(f) * 8};
		else if (!has[f])
			ret[n++] = (struct kp_prefix){.family = f};
	}
	return n;
}

static void build_plan(struct kp_sync *sync, struct kp_plan *ret)
{
	struct kp_prefix
		ranges[sizeof(sync->options->node_ports) / sizeof(sync->options->node_ports[0]) +
		       KP_N_FAMILIES];

	kp_planner_build(&sync->planner, &sync->installed, sync->full, ranges,
			 node_port_ranges(sync, ranges), ret);
}

/* What an earlier process installed, or what a failure left, is learned from the kernel, so that
 * slots stay where they are. */
static int read_installed(struct kp_sync *sync, struct kp_err *err)
{
	if (sync->known)
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
	if (sync->full && sync->n_refused > 1)
		r = sync->ops->rebuild(sync->backend, &plan, stats, err);
	else
		r = sync->ops->apply(sync->backend, &plan, stats, err);
	if (r == 0) {
		kp_cleaner_note(sync->cleaner, &plan);
		clean(sync);
		kp_plan_commit(&plan, &sync->installed);
	}
	kp_plan_clear(&plan);
	return r;
}

/* Tells of a repair, and forgets the flows that went astray before it. */
static void repaired(struct kp_sync *sync, size_t n_ops, bool *ret_repaired)
{
	sync->repair = false;
	if (n_ops == 0)
		return;
	*ret_repaired = true;
	kp_log_warn("sync", "rules or hooks were not as they should be, repaired", "ops=%zu",
		    n_ops);
	kp_event_node(KP_WARNING, "RulesRepaired", "Repair",
		      "rules or hooks were not as they should be; now they are");
	kp_cleaner_note_repair(sync->cleaner, &sync->installed);
	clean(sync);
}

/* Puts back what others changed, and brings what has changed in the objects; a full sync does both
 * at once. */
static int update_kernel(struct kp_sync *sync, struct kp_sync_result *result, struct kp_err *err)
{
	int r = read_installed(sync, err);

	if (r == 0 && sync->repair && !sync->full) {
		r = sync->ops->repair(sync->backend, &sync->installed, &result->stats, err);
		if (r == 0)
			repaired(sync, result->stats.n_ops, &result->repaired);
	}
	if (r == 0)
		r = apply(sync, &result->stats, err);
	if (r == 0 && sync->repair)
		repaired(sync, result->stats.n_ops, &result->repaired);
	return r;
}

/* In NodeCIDR mode the Node tells which addresses are pods (ND-4, ND-8); the last one, because we
 * run on it still when its object is gone. */
static void follow_node(struct kp_sync *sync)
{
	const struct kp_node *node = kp_store_last_node(sync->planner.store);
	struct kp_settings settings = sync->options->settings;

	if (!sync->options->pods_by_node_cidr)
		return;
	for (int f = 0; node && f < KP_N_FAMILIES; f++) {
		settings.has_pod_range[f] = node->has_pod_cidr[f];
		settings.pod_range[f] = node->pod_cidr[f];
	}
	if (memcmp(&settings, &sync->settings, sizeof(settings)) == 0)
		return;
	sync->settings = settings;
	sync->ops->configure(sync->backend, &settings);
	sync->full = true;
}

static void failed(struct kp_sync *sync, const struct kp_err *err)
{
	uint64_t now = kp_clock_ms(), delay;

	kp_schedule_failed(&sync->schedule, now, sync->full);
	delay = sync->schedule.retry_ms - now;
	/* Others changed their rules while we read or wrote: says nothing about ours. */
	if (err->code != -EINTR && err->code != -ERESTART)
		sync->n_refused++;
	sync->full = true;
	sync->known = false;
	tell_queued(sync); /* also when nothing had changed */
	schedule(sync, delay);
	kp_log_error("sync", "sync failed, rules are as before", "error=%s retry_ms=%" PRIu64,
		     kp_log_quote(err->text), delay);
	if (sync->schedule.n_failures >= TELL_FAILURES)
		kp_event_node(KP_WARNING, "FailedSync", "Sync", "rules are as before: %s",
			      err->text);
}

static void succeeded(struct kp_sync *sync, const struct kp_sync_result *result)
{
	kp_tracker_clear(sync->planner.tracker);
	sync->known = true;
	sync->full = false;
	sync->n_refused = 0;
	kp_schedule_succeeded(&sync->schedule, kp_clock_ms(), result->full);
	if (result->full)
		schedule_full(sync);
	/* They need much more memory than what follows. */
	if (result->full || result->repaired)
		malloc_trim(0);
}

int kp_sync_now(struct kp_sync *sync)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_sync_result result = {0};
	int64_t start_us = kp_clock_us();
	size_t n_marked = kp_tracker_n_services(sync->planner.tracker);
	int r;

	/* A change of elements would fail where somebody has removed some a moment ago. */
	if (sync->watching)
		note_damage(sync, sync->ops->was_changed(sync->backend));
	follow_node(sync);
	result.full = sync->full;
	sync->syncing = true;
	r = update_kernel(sync, &result, &err);
	sync->syncing = false;
	result.ok = r == 0;
	result.took_us = kp_clock_us() - start_us;
	sync->earliest_us = kp_clock_us() + sync->options->min_sync_period_ms * 1000;
	if (r < 0) {
		tell_synced(sync, &result);
		failed(sync, &err);
		return r;
	}
	kp_log(result.full ? KP_LOG_INFO : KP_LOG_DEBUG, "sync", "sync done",
	       "backend=%s full=%d changed=%zu ops=%zu bytes=%zu took_us=%" PRId64
	       " kernel_us=%" PRId64,
	       sync->ops->name, result.full, n_marked, result.stats.n_ops, result.stats.n_bytes,
	       result.took_us, result.stats.kernel_us);
	tell_synced(sync, &result);
	succeeded(sync, &result);
	if (sync->after_first)
		KP_TAKE(sync->after_first)(sync->after_first_arg);
	return 0;
}

size_t kp_sync_n_conflicts(const struct kp_sync *sync)
{
	return kp_claims_n_losses(sync->planner.claims);
}

int kp_sync_print_plan(struct kp_sync *sync, FILE *out, struct kp_err *err)
{
	struct kp_plan plan = {0};
	int r;

	follow_node(sync);
	r = read_installed(sync, err);
	if (r < 0)
		return r;
	build_plan(sync, &plan);
	kp_plan_print(&plan, out);
	kp_plan_clear(&plan);
	return 0;
}
