/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "measure.h"

#include <inttypes.h>
#include <string.h>

#include "process_metrics.h"
#include "util/time.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

struct kp_measure {
	struct kp_measure_sources sources;
	struct kp_metrics *metrics;
	bool installed_changed; /* since it was counted */
	/* kube-proxy's */
	struct kp_metric *sync_duration, *full_duration, *partial_duration;
	struct kp_metric *programming_duration;
	struct kp_metric *last_synced, *last_queued;
	struct kp_metric *changes_pending[KP_N_CHANGES_OF], *changes_total[KP_N_CHANGES_OF];
	struct kp_metric *no_local_endpoints;
	struct kp_metric *sync_failures;
	struct kp_metric *reconciler_duration, *deleted_entries;
	struct kp_metric *healthz, *livez;
	/* ours */
	struct kp_metric *services, *frontends, *conflicts, *endpoints;
	struct kp_metric *transactions, *operations, *bytes, *transaction_duration;
	struct kp_metric *repairs;
	struct kp_metric *health_ports, *health_ports_failed, *evicted;
	struct kp_metric *conntrack_entries, *conntrack_max;
	struct kp_process_metrics process;
};

static const char *const family_label[] = {
	[KP_IPV4] = "ip_family=\"IPv4\"",
	[KP_IPV6] = "ip_family=\"IPv6\"",
};

static const char *const policy_label[KP_N_FAMILIES][2] = {
	[KP_IPV4] = {"ip_family=\"IPv4\",traffic_policy=\"internal\"",
		     "ip_family=\"IPv4\",traffic_policy=\"external\""},
	[KP_IPV6] = {"ip_family=\"IPv6\",traffic_policy=\"internal\"",
		     "ip_family=\"IPv6\",traffic_policy=\"external\""},
};

/* 1 ms to 16 s, each twice the one before (ME-1). */
static const double duration_bounds[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
					 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};

/* ME-3: 0, 0.25, 0.5, each second to 59, every 5 seconds to 115, every 30 to 300. */
static double programming_bounds[3 + 59 + 12 + 7];

static void fill_programming_bounds(void)
{
	size_t n = 0;

	programming_bounds[n++] = 0;
	programming_bounds[n++] = 0.25;
	programming_bounds[n++] = 0.5;
	for (int s = 1; s <= 59; s++)
		programming_bounds[n++] = s;
	for (int s = 60; s <= 115; s += 5)
		programming_bounds[n++] = s;
	for (int s = 120; s <= 300; s += 30)
		programming_bounds[n++] = s;
}

static struct kp_metric *duration(struct kp_measure *m, const char *name, const char *help)
{
	return kp_metrics_histogram(m->metrics, name, help, duration_bounds, N_OF(duration_bounds));
}

static struct kp_metric *counter(struct kp_measure *m, const char *name, const char *help)
{
	return kp_metrics_counter(m->metrics, name, help);
}

static struct kp_metric *gauge(struct kp_measure *m, const char *name, const char *help)
{
	return kp_metrics_gauge(m->metrics, name, help);
}

static void add_sync(struct kp_measure *m)
{
	m->sync_duration = duration(m, "kubeproxy_sync_proxy_rules_duration_seconds",
				    "Duration of a sync");
	m->full_duration = duration(m, "kubeproxy_sync_full_proxy_rules_duration_seconds",
				    "Duration of a sync that compared everything with the kernel");
	m->partial_duration = duration(m, "kubeproxy_sync_partial_proxy_rules_duration_seconds",
				       "Duration of a sync of what had changed");
	fill_programming_bounds();
	m->programming_duration = kp_metrics_histogram(
		m->metrics, "kubeproxy_network_programming_duration_seconds",
		"Time from a change of endpoints in the cluster until the rules followed",
		programming_bounds, N_OF(programming_bounds));
	m->last_synced = gauge(m, "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
			       "Unix time of the last successful sync");
	m->last_queued = gauge(m, "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
			       "Unix time when a sync was last asked for");
	m->sync_failures = counter(m, "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
				   "Syncs that failed");
}

static void add_changes(struct kp_measure *m)
{
	m->changes_pending[KP_CHANGE_OF_ENDPOINTS] =
		gauge(m, "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
		      "Services whose endpoints changed since the last sync");
	m->changes_total[KP_CHANGE_OF_ENDPOINTS] = counter(
		m, "kubeproxy_sync_proxy_rules_endpoint_changes_total", "Changes of endpoints");
	m->changes_pending[KP_CHANGE_OF_SERVICE] =
		gauge(m, "kubeproxy_sync_proxy_rules_service_changes_pending",
		      "Services that changed since the last sync");
	m->changes_total[KP_CHANGE_OF_SERVICE] = counter(
		m, "kubeproxy_sync_proxy_rules_service_changes_total", "Changes of Services");
	m->no_local_endpoints =
		gauge(m, "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
		      "Service ports with policy Local and endpoints, but none on this node");
}

static void add_conntrack(struct kp_measure *m)
{
	m->reconciler_duration = duration(m, "kubeproxy_conntrack_reconciler_sync_duration_seconds",
					  "Duration of a search for stale flows");
	m->deleted_entries = counter(m, "kubeproxy_conntrack_reconciler_deleted_entries_total",
				     "Stale flows deleted from connection tracking");
	m->conntrack_entries = gauge(m, "kproxy_conntrack_entries",
				     "Entries in the connection tracking table");
	m->conntrack_max = gauge(m, "kproxy_conntrack_max_entries",
				 "Entries that the connection tracking table can hold");
}

static void add_health(struct kp_measure *m)
{
	m->healthz = counter(m, "kubeproxy_proxy_healthz_total", "Answers of /healthz");
	m->livez = counter(m, "kubeproxy_proxy_livez_total", "Answers of /livez");
	m->health_ports = gauge(m, "kproxy_health_check_ports",
				"Services with a healthCheckNodePort to serve");
	m->health_ports_failed = gauge(m, "kproxy_health_check_ports_failed",
				       "Of these, the ones that cannot be asked");
	m->evicted = counter(m, "kproxy_http_evicted_clients_total",
			     "HTTP clients that were cut off, too slow or too many");
}

static void add_state(struct kp_measure *m)
{
	m->services = gauge(m, "kproxy_services", "Services that are known");
	m->frontends = gauge(m, "kproxy_frontends", "Frontends in the kernel");
	m->conflicts = gauge(m, "kproxy_frontend_conflicts",
			     "Frontends not served because another Service has them");
	m->endpoints = gauge(m, "kproxy_endpoints",
			     "Endpoints in the kernel, for each service port that uses them");
	m->transactions = counter(m, "kproxy_transactions_total",
				  "Transactions that the kernel took");
	m->operations = counter(m, "kproxy_transaction_operations_total",
				"Elements, rules, chains and sets put or removed");
	m->bytes = counter(m, "kproxy_transaction_bytes_total", "Netlink bytes of these");
	m->transaction_duration = duration(m, "kproxy_transaction_duration_seconds",
					   "Time that the kernel took for a transaction");
	m->repairs = counter(m, "kproxy_repairs_total",
			     "Syncs that undid what someone else did to our rules");
}

/* What dashboards and alerts take a difference of is there from the start. */
static void start_at_zero(struct kp_measure *m)
{
	struct kp_metric *const of_families[] = {m->sync_duration,	  m->full_duration,
						 m->partial_duration,	  m->sync_failures,
						 m->programming_duration, m->reconciler_duration,
						 m->deleted_entries,	  m->last_queued,
						 m->last_synced};
	struct kp_metric *const single[] = {m->transactions, m->operations, m->bytes, m->repairs,
					    m->transaction_duration};

	for (size_t i = 0; i < N_OF(of_families); i++)
		for (int f = 0; f < KP_N_FAMILIES; f++)
			kp_metric_series(of_families[i], family_label[f]);
	for (size_t i = 0; i < N_OF(single); i++)
		kp_metric_series(single[i], "");
}

struct kp_measure *kp_measure_new(const struct kp_measure_sources *sources)
{
	struct kp_measure *m = kp_xcalloc(1, sizeof(*m));

	m->sources = *sources;
	m->metrics = kp_metrics_new();
	m->installed_changed = true;
	add_sync(m);
	add_changes(m);
	add_conntrack(m);
	add_health(m);
	add_state(m);
	kp_process_metrics_add(&m->process, m->metrics);
	start_at_zero(m);
	return m;
}

void kp_measure_free(struct kp_measure *m)
{
	if (!m)
		return;
	kp_metrics_free(m->metrics);
	free(m);
}

struct kp_metrics *kp_measure_metrics(struct kp_measure *m)
{
	return m->metrics;
}

/* --- what is counted as it happens --- */

/* Both families are synced in one transaction. */
static void observe_families(struct kp_metric *metric, double value)
{
	for (int f = 0; f < KP_N_FAMILIES; f++)
		kp_series_observe(kp_metric_series(metric, family_label[f]), value);
}

static void set_families(struct kp_metric *metric, double value)
{
	for (int f = 0; f < KP_N_FAMILIES; f++)
		kp_series_set(kp_metric_series(metric, family_label[f]), value);
}

void kp_measure_queued(struct kp_measure *m)
{
	set_families(m->last_queued, kp_time_now_us() / 1e6);
}

static void observe_programming(void *arg, enum kp_family family, int64_t at_us)
{
	struct kp_measure *m = arg;
	double s = (kp_time_now_us() - at_us) / 1e6;

	/* The annotation comes from another clock. */
	kp_series_observe(kp_metric_series(m->programming_duration, family_label[family]),
			  s < 0 ? 0 : s);
}

static void count_transaction(struct kp_measure *m, const struct kp_apply_stats *stats)
{
	if (stats->n_bytes == 0)
		return;
	kp_series_add(kp_metric_series(m->transactions, ""), 1);
	kp_series_add(kp_metric_series(m->operations, ""), stats->n_ops);
	kp_series_add(kp_metric_series(m->bytes, ""), stats->n_bytes);
	kp_series_observe(kp_metric_series(m->transaction_duration, ""), stats->kernel_us / 1e6);
}

void kp_measure_synced(struct kp_measure *m, const struct kp_sync_result *result)
{
	double s = result->took_us / 1e6;

	observe_families(m->sync_duration, s);
	observe_families(result->full ? m->full_duration : m->partial_duration, s);
	count_transaction(m, &result->stats);
	kp_series_add(kp_metric_series(m->repairs, ""), result->repaired);
	if (!result->ok) {
		for (int f = 0; f < KP_N_FAMILIES; f++)
			kp_series_add(kp_metric_series(m->sync_failures, family_label[f]), 1);
		return;
	}
	kp_tracker_each_trigger(m->sources.tracker, observe_programming, m);
	set_families(m->last_synced, kp_time_now_us() / 1e6);
	m->installed_changed = true;
}

void kp_measure_cleaned(struct kp_measure *m, const size_t n_deleted[KP_N_FAMILIES],
			int64_t took_us)
{
	observe_families(m->reconciler_duration, took_us / 1e6);
	for (int f = 0; f < KP_N_FAMILIES; f++)
		kp_series_add(kp_metric_series(m->deleted_entries, family_label[f]), n_deleted[f]);
}

void kp_measure_health(struct kp_measure *m, const char *path, unsigned int status)
{
	struct kp_metric *metric = strcmp(path, "/healthz") == 0 ? m->healthz
				   : strcmp(path, "/livez") == 0 ? m->livez
								 : NULL;
	char label[32];

	snprintf(label, sizeof(label), "code=\"%u\"", status);
	if (metric)
		kp_series_add(kp_metric_series(metric, label), 1);
}

/* --- what is read when someone asks --- */

static void set(struct kp_metric *metric, double value)
{
	kp_series_set(kp_metric_series(metric, ""), value);
}

struct installed {
	size_t n_frontends[KP_N_FAMILIES], n_endpoints[KP_N_FAMILIES];
	size_t n_no_local[KP_N_FAMILIES][2]; /* internal, external */
};

static bool has_policy(const struct kp_vservice *v, enum kp_policy policy)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (v->frontends[i].policy == policy)
			return true;
	return false;
}

static void count_vservice(const struct kp_vservice *v, struct installed *ret)
{
	bool no_local = v->has_any && v->local.n == 0;

	ret->n_frontends[v->family] += v->n_frontends;
	ret->n_endpoints[v->family] += v->cluster.n > v->local.n ? v->cluster.n : v->local.n;
	ret->n_no_local[v->family][0] += no_local && has_policy(v, KP_POLICY_INTERNAL_LOCAL);
	ret->n_no_local[v->family][1] += no_local && has_policy(v, KP_POLICY_EXTERNAL_LOCAL);
}

static struct installed count_installed(const struct kp_measure *m)
{
	const struct kp_state *state = kp_sync_installed(m->sources.sync);
	struct installed n = {0};

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next)
		for (size_t i = 0; i < e->vs.n; i++)
			count_vservice(&e->vs.items[i], &n);
	return n;
}

void kp_measure_installed(const struct kp_measure *m, size_t *ret_n_frontends,
			  size_t *ret_n_endpoints)
{
	struct installed n = count_installed(m);

	*ret_n_frontends = n.n_frontends[KP_IPV4] + n.n_frontends[KP_IPV6];
	*ret_n_endpoints = n.n_endpoints[KP_IPV4] + n.n_endpoints[KP_IPV6];
}

/* Looks at every service port, so only when a sync has been since the last time. */
static void read_installed(struct kp_measure *m)
{
	struct installed n;

	if (!m->installed_changed)
		return;
	m->installed_changed = false;
	n = count_installed(m);
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		kp_series_set(kp_metric_series(m->frontends, family_label[f]), n.n_frontends[f]);
		kp_series_set(kp_metric_series(m->endpoints, family_label[f]), n.n_endpoints[f]);
		for (int p = 0; p < 2; p++)
			kp_series_set(kp_metric_series(m->no_local_endpoints, policy_label[f][p]),
				      n.n_no_local[f][p]);
	}
}

static void read_modules(struct kp_measure *m)
{
	const struct kp_measure_sources *s = &m->sources;

	for (int of = 0; of < KP_N_CHANGES_OF; of++) {
		set(m->changes_pending[of], kp_tracker_n_pending(s->tracker, of));
		set(m->changes_total[of], kp_tracker_n_changes(s->tracker, of));
	}
	set(m->services, kp_store_count(s->store, KP_KIND_SERVICE));
	set(m->conflicts, kp_sync_n_conflicts(s->sync));
	set(m->health_ports, kp_service_health_n_ports(s->service_health));
	set(m->health_ports_failed, kp_service_health_n_failed(s->service_health));
	set(m->evicted, kp_http_n_evicted(s->http));
}

/* Sets a metric from a file that holds a number; without the file there is no metric. */
static void read_number(struct kp_metric *metric, const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t value;

	if (!file)
		return;
	if (fscanf(file, "%" SCNu64, &value) == 1)
		set(metric, value);
	fclose(file);
}

void kp_measure_print(struct kp_measure *m, FILE *out)
{
	read_installed(m);
	read_modules(m);
	read_number(m->conntrack_entries, "/proc/sys/net/netfilter/nf_conntrack_count");
	read_number(m->conntrack_max, "/proc/sys/net/netfilter/nf_conntrack_max");
	kp_process_metrics_read(&m->process);
	kp_metrics_print(m->metrics, out);
}
