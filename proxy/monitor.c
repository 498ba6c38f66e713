/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "http/configz.h"
#include "http/health.h"
#include "http/service_health.h"
#include "kproxy/clock.h"
#include "kproxy/events.h"
#include "kproxy/log.h"
#include "measure.h"
#include "util/time.h"
#include "watch_metrics.h"

enum {
	LISTEN_AGAIN_MS = 5000
};

/* A server on an address of the command line. */
struct server {
	struct kp_monitor *monitor;
	const char *name;
	const char *event;	/* the reason of the event that says it cannot be had */
	struct kp_addr_port at; /* port 0: off */
	kp_http_handler handler;
	uv_timer_t again;
	bool failing; /* and said so */
};

struct kp_monitor {
	const struct kp_options *options;
	const char *backend;
	struct kp_sync *sync;
	const struct kp_store *store;
	struct kp_tracker *tracker;
	struct kp_http *http;
	struct kp_health health;
	struct kp_service_health *service_health;
	struct kp_measure *measure;
	const struct kp_api *api; /* NULL: objects come from manifests */
	struct kp_watch_metrics watch_metrics;
	struct server healthz, metrics;
	int64_t opened_us;
	bool ready; /* a sync has succeeded */
};

static bool is_live(const void *arg)
{
	const struct kp_monitor *m = arg;

	return kp_health_is_live(&m->health, kp_clock_us());
}

/* --- what is asked --- */

static void answer_healthz(void *arg, const char *path, struct kp_http_answer *ret)
{
	struct kp_monitor *m = arg;
	struct kp_watch watches[KP_N_KINDS];

	kp_health_note_node(&m->health, kp_store_node(m->store));
	if (m->api) {
		kp_api_watches(m->api, watches);
		kp_health_note_watches(&m->health, watches);
	}
	kp_health_answer(&m->health, path, kp_clock_us(), kp_time_now_us(), ret);
	kp_measure_health(m->measure, path, ret->status);
}

static void read_watch_metrics(const struct kp_monitor *m)
{
	struct kp_watch watches[KP_N_KINDS];

	if (!m->api)
		return;
	kp_api_watches(m->api, watches);
	for (int i = 0; i < KP_N_KINDS; i++)
		kp_watch_metrics_set(&m->watch_metrics, &watches[i]);
}

static void answer_metrics_text(struct kp_monitor *m, struct kp_http_answer *ret)
{
	FILE *out = open_memstream(&ret->body, &ret->size);

	if (!out) {
		kp_http_text(ret, 500, "no memory\n");
		return;
	}
	ret->type = "text/plain; version=0.0.4; charset=utf-8";
	read_watch_metrics(m);
	kp_measure_print(m->measure, out);
	fclose(out);
}

/* MS-1 */
static void answer_metrics(void *arg, const char *path, struct kp_http_answer *ret)
{
	struct kp_monitor *m = arg;

	if (strcmp(path, "/metrics") == 0)
		answer_metrics_text(m, ret);
	else if (strcmp(path, "/healthz") == 0)
		kp_http_text(ret, 200, "ok");
	else if (strcmp(path, "/proxyMode") == 0)
		kp_http_text(ret, 200, kp_proxy_mode(m->backend));
	else if (strcmp(path, "/configz") == 0)
		kp_http_json(ret, 200, kp_configz(m->options, m->backend));
	else
		kp_http_text(ret, 404, "not found\n");
}

/* --- what happens --- */

static void on_queued(void *arg)
{
	struct kp_monitor *m = arg;

	kp_health_queued(&m->health, kp_clock_us());
	kp_measure_queued(m->measure);
}

static void log_ready(const struct kp_monitor *m)
{
	size_t n_frontends, n_endpoints;

	kp_measure_installed(m->measure, &n_frontends, &n_endpoints);
	kp_log_info("main", "ready", "services=%zu frontends=%zu endpoints=%zu start_ms=%" PRId64,
		    kp_store_count(m->store, KP_KIND_SERVICE), n_frontends, n_endpoints,
		    (kp_clock_us() - m->opened_us) / 1000);
}

static void on_synced(void *arg, const struct kp_sync_result *result)
{
	struct kp_monitor *m = arg;

	kp_measure_synced(m->measure, result);
	kp_health_note_node(&m->health, kp_store_node(m->store));
	if (!result->ok)
		return;
	kp_health_updated(&m->health, kp_time_now_us());
	kp_service_health_update(m->service_health, m->tracker, &kp_sync_installed(m->sync)->facts,
				 result->full);
	if (!m->ready)
		log_ready(m);
	m->ready = true;
}

static void on_cleaned(void *arg, const size_t n_deleted[KP_N_FAMILIES], int64_t took_us)
{
	struct kp_monitor *m = arg;

	kp_measure_cleaned(m->measure, n_deleted, took_us);
}

/* --- servers --- */

static int try_listen(struct server *server, struct kp_err *err)
{
	struct kp_http_listener *listener;

	return kp_http_listen(server->monitor->http, &server->at, true, server->handler,
			      server->monitor, &listener, err);
}

static void on_again(uv_timer_t *timer);

static void listen_or_wait(struct server *server)
{
	struct kp_err err = KP_ERR_INIT;

	if (try_listen(server, &err) == 0) {
		if (server->failing)
			kp_log_info("http", "listening at last", "server=%s", server->name);
		server->failing = false;
		return;
	}
	if (!server->failing) {
		kp_log_error("http", "cannot listen, trying again every 5 s", "server=%s error=%s",
			     server->name, kp_log_quote(err.text));
		kp_event_node(KP_WARNING, server->event, "StartKubeProxy", "%s: %s", server->name,
			      err.text);
	}
	server->failing = true;
	uv_timer_start(&server->again, on_again, LISTEN_AGAIN_MS, 0);
}

static void on_again(uv_timer_t *timer)
{
	listen_or_wait(timer->data);
}

/* '*server' tells what to serve. */
static void server_init(struct server *server, struct kp_monitor *monitor, uv_loop_t *loop)
{
	server->monitor = monitor;
	uv_timer_init(loop, &server->again);
	server->again.data = server;
}

/* With 'hard_fail', an address that cannot be had is an error. */
static int server_open(struct server *server, bool hard_fail, struct kp_err *err)
{
	int r = 0;

	if (!server->at.port)
		return 0;
	if (hard_fail)
		r = try_listen(server, err);
	else
		listen_or_wait(server);
	return r < 0 ? kp_err_wrap(err, "%s server", server->name) : 0;
}

/* Each health check port needs descriptors of its own. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static struct kp_measure *new_measure(const struct kp_monitor *m)
{
	const struct kp_measure_sources sources = {.tracker = m->tracker,
						   .store = m->store,
						   .sync = m->sync,
						   .service_health = m->service_health,
						   .http = m->http};

	return kp_measure_new(&sources);
}

int kp_monitor_open(const struct kp_options *options, const char *backend, uv_loop_t *loop,
		    struct kp_sync *sync, const struct kp_store *store, struct kp_tracker *tracker,
		    struct kp_monitor **ret, struct kp_err *err)
{
	struct kp_monitor *m = kp_xcalloc(1, sizeof(*m));
	int r = kp_http_open(loop, &m->http, err);

	if (r < 0) {
		free(m);
		return r;
	}
	m->opened_us = kp_clock_us();
	raise_fd_limit();
	m->options = options;
	m->backend = backend;
	m->sync = sync;
	m->store = store;
	m->tracker = tracker;
	m->health.timeout_us = 2 * 1000 * options->sync_period_ms;
	m->service_health = kp_service_health_new(m->http, store, is_live, m);
	m->measure = new_measure(m);
	kp_watch_metrics_add(&m->watch_metrics, kp_measure_metrics(m->measure));
	m->healthz = (struct server){.name = "healthz",
				     .event = "FailedToStartProxierHealthcheck",
				     .at = options->healthz,
				     .handler = answer_healthz};
	m->metrics = (struct server){.name = "metrics",
				     .event = "FailedToStartMetricServer",
				     .at = options->metrics,
				     .handler = answer_metrics};
	server_init(&m->healthz, m, loop);
	server_init(&m->metrics, m, loop);
	kp_tracker_ignore_before(tracker, kp_time_now_us());
	kp_sync_observe(sync, &(struct kp_sync_observer){.queued = on_queued,
							 .synced = on_synced,
							 .cleaned = on_cleaned,
							 .arg = m});
	r = server_open(&m->healthz, options->bind_hard_fail, err);
	if (r == 0)
		r = server_open(&m->metrics, options->bind_hard_fail, err);
	if (r < 0) {
		kp_monitor_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void kp_monitor_watch_api(struct kp_monitor *monitor, const struct kp_api *api)
{
	monitor->api = api;
}

struct kp_metrics *kp_monitor_metrics(struct kp_monitor *monitor)
{
	return kp_measure_metrics(monitor->measure);
}

static void on_metrics_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	kp_measure_free(server->monitor->measure);
	free(server->monitor);
}

static void on_healthz_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	uv_close((uv_handle_t *)&server->monitor->metrics.again, on_metrics_closed);
}

void kp_monitor_close(struct kp_monitor *m)
{
	if (!m)
		return;
	kp_sync_observe(m->sync, &(struct kp_sync_observer){0});
	kp_service_health_free(m->service_health);
	kp_http_close(m->http);
	uv_close((uv_handle_t *)&m->healthz.again, on_healthz_closed);
}
