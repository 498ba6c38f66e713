/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Four resources on one client.
 *
 * First the server is asked for its version, which tells how to list, and whether it can be reached
 * at all.  When a connection fails, one request at a time finds out whether the server is back; the
 * other resources wait for that (RF-18). */
#include "api/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "api/event_sender.h"
#include "api/resource.h"
#include "kproxy/log.h"

enum {
	LOG_AGAIN_MS = 60000,
	VERSION_TIMEOUT_MS = 30000
};
#define VERSION_MAX ((size_t)16 << 10)

struct kp_api {
	struct kp_api_config *config;
	struct kp_api_options options;
	struct kp_api_handler handler;
	struct kp_client *client;
	uv_loop_t *loop;
	struct kp_resource *resources[KP_N_KINDS];
	char *node_selector;
	bool is_ready, failed;
	struct kp_err err;   /* why it failed */
	uv_timer_t deferred; /* tells the handler outside of everybody's callbacks */
	unsigned int n_open; /* timers */

	/* The server's version. */
	struct kp_request *version_request;
	uv_timer_t version_timer;
	char *version_body;
	size_t version_size;
	bool version_renewed;

	/* The connection. */
	bool is_down;
	struct kp_backoff backoff;
	uint64_t try_ms;		 /* when to try it again */
	const struct kp_resource *probe; /* who does */

	/* The last failure that was logged for each kind, and for the connection. */
	struct failure {
		enum kp_end_kind kind;
		bool is_failing;
		uint64_t logged_ms;
	} failures[KP_N_KINDS + 1];
};

static void ask_version(struct kp_api *api);
static uint64_t may_send(void *arg, const struct kp_resource *resource, uint64_t now_ms);
static void on_answered(void *arg, const struct kp_resource *resource);
static void on_ended(void *arg, struct kp_resource *resource, const struct kp_end *end);
static void on_listed(void *arg, struct kp_resource *resource);

static uint32_t random_below(void *arg, uint32_t n)
{
	uint64_t value = 0;

	(void)arg;
	if (n == 0 || getrandom(&value, sizeof(value), GRND_NONBLOCK) < 0)
		return 0;
	return value % n;
}

static const struct kp_random chance = {.below = random_below};

static void make_resources(struct kp_api *api, struct kp_store *store)
{
	const struct kp_resource_owner owner = {.may_send = may_send,
						.answered = on_answered,
						.ended = on_ended,
						.listed = on_listed,
						.arg = api};

	api->node_selector = kp_selection_node(api->options.node_name);
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++) {
		const struct kp_resource_settings settings = {.kind = kind,
							      .node_name = api->options.node_name,
							      .node_selector = api->node_selector,
							      .random = chance};

		api->resources[kind] = kp_resource_new(&settings, &owner, store, api->loop);
	}
}

/* Moves a configuration to where it stays. */
static struct kp_api_config *take_config(struct kp_api_config *config)
{
	struct kp_api_config *taken = kp_xmalloc(sizeof(*taken));

	*taken = *config;
	*config = (struct kp_api_config){0};
	return taken;
}

static void free_config(struct kp_api_config *config)
{
	kp_api_config_clear(config);
	free(config);
}

/* Replaces the client, if that can be made from the configuration. */
static int use_config(struct kp_api *api, struct kp_api_config *config, struct kp_err *err)
{
	struct kp_api_config *taken = take_config(config);
	struct kp_client *client;
	int r = kp_client_open(taken, &api->options.limit, api->loop, &client, err);

	if (r < 0) {
		free_config(taken);
		return r;
	}
	if (api->client && api->options.events)
		kp_event_sender_use(api->options.events, client);
	kp_client_close(api->client);
	if (api->config)
		free_config(api->config);
	api->client = client;
	api->config = taken;
	return 0;
}

static void log_config(const struct kp_api *api)
{
	kp_log_info("api", "watching the API server", "server=%s",
		    kp_log_quote(api->config->server));
	if (api->config->insecure)
		kp_log_warn("api", "the server's certificate is not checked", NULL);
	if (!kp_api_config_is_tls(api->config) && kp_api_config_has_credentials(api->config))
		kp_log_warn("api", "no TLS, sending no credentials", NULL);
}

int kp_api_open(struct kp_api_config *config, const struct kp_api_options *options,
		const struct kp_api_handler *handler, struct kp_store *store, uv_loop_t *loop,
		struct kp_api **ret, struct kp_err *err)
{
	struct kp_api *api = kp_xcalloc(1, sizeof(*api));
	int r;

	api->options = *options;
	api->handler = *handler;
	api->loop = loop;
	r = use_config(api, config, err);
	if (r < 0) {
		free(api);
		return r;
	}
	uv_timer_init(loop, &api->version_timer);
	uv_timer_init(loop, &api->deferred);
	api->version_timer.data = api->deferred.data = api;
	api->n_open = 2;
	make_resources(api, store);
	if (options->events)
		kp_event_sender_start(options->events, api->client, store, loop);
	log_config(api);
	ask_version(api);
	*ret = api;
	return 0;
}

int kp_api_reload(struct kp_api *api, struct kp_api_config *config, struct kp_err *err)
{
	int r;

	kp_request_cancel(KP_TAKE(api->version_request));
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++)
		kp_resource_stop(api->resources[kind]);
	r = use_config(api, config, err);
	api->is_down = api->version_renewed = false;
	api->probe = NULL;
	api->backoff = (struct kp_backoff){0};
	memset(api->failures, 0, sizeof(api->failures));
	if (r == 0)
		log_config(api);
	ask_version(api);
	return r;
}

void kp_api_watches(const struct kp_api *api, struct kp_watch ret[KP_N_KINDS])
{
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++)
		ret[kind] = kp_resource_watch(api->resources[kind]);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kp_api *api = handle->data;

	if (--api->n_open > 0)
		return;
	free_config(api->config);
	free(api->node_selector);
	free(api);
}

void kp_api_close(struct kp_api *api)
{
	if (!api)
		return;
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++)
		kp_resource_close(api->resources[kind]);
	if (api->options.events)
		kp_event_sender_stop(api->options.events);
	kp_client_close(api->client);
	free(api->version_body);
	uv_close((uv_handle_t *)&api->version_timer, on_timer_closed);
	uv_close((uv_handle_t *)&api->deferred, on_timer_closed);
}

/* --- telling the handler --- */

static void on_deferred(uv_timer_t *timer)
{
	struct kp_api *api = timer->data;

	if (api->failed)
		api->handler.failed(api->handler.arg, &api->err);
	else
		api->handler.ready(api->handler.arg);
}

static void check_ready(struct kp_api *api)
{
	if (api->is_ready || api->failed)
		return;
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++)
		if (!kp_resource_reflector(api->resources[kind])->synced)
			return;
	api->is_ready = true;
	uv_timer_start(&api->deferred, on_deferred, 0, 0);
}

static void fail(struct kp_api *api, const char *what, const char *text)
{
	if (api->is_ready || api->failed)
		return;
	api->failed = true;
	kp_err_set(&api->err, EPROTO, "%s: %s: %s", api->config->server, what, text);
	uv_timer_start(&api->deferred, on_deferred, 0, 0);
}

/* --- the connection --- */

static void tell_event_sender(struct kp_api *api, bool connected)
{
	if (api->options.events)
		kp_event_sender_set_connected(api->options.events, connected);
}

/* 'who' is NULL for the version.  Requests that were under way when the connection went may fail
 * one after the other: that is one failure. */
static void connection_failed(struct kp_api *api, const struct kp_resource *who)
{
	if (api->is_down && api->probe != who)
		return;
	tell_event_sender(api, false);
	api->is_down = true;
	api->probe = NULL;
	api->try_ms = kp_backoff_next(&api->backoff, KP_BACKOFF_CONNECTION_MS, uv_now(api->loop),
				      &chance);
}

static void wake_all(struct kp_api *api)
{
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++)
		kp_resource_wake(api->resources[kind]);
}

static void connection_works(struct kp_api *api)
{
	struct failure *failure = &api->failures[KP_N_KINDS];

	if (failure->is_failing)
		kp_log_info("api", "the API server is back", NULL);
	failure->is_failing = false;
	tell_event_sender(api, true);
	if (!api->is_down)
		return;
	api->is_down = false;
	api->probe = NULL;
	kp_backoff_reset(&api->backoff);
	wake_all(api);
}

static uint64_t may_send(void *arg, const struct kp_resource *resource, uint64_t now_ms)
{
	struct kp_api *api = arg;

	if (!api->is_down)
		return now_ms;
	if (api->probe && api->probe != resource)
		return KP_NEVER;
	if (now_ms < api->try_ms)
		return api->try_ms;
	api->probe = resource;
	return now_ms;
}

/* --- failures in the log --- */

static const char *hint_for(enum kp_end_kind kind)
{
	switch (kind) {
	case KP_END_FORBIDDEN:
		return "bind our user to the ClusterRole of deploy/clusterrole.yaml";
	case KP_END_UNAUTHORIZED:
		return "the token or certificate is missing, expired or of another cluster";
	default:
		return "";
	}
}

/* Two arguments for "%s%s": nothing when there is no value. */
#define SHOW(key, value) *(value) ? " " key "=" : "", *(value) ? kp_log_quote(value) : ""

/* Logs a failure when it is new, and once a minute while it lasts. */
static void log_failure(struct kp_api *api, struct failure *failure, const char *verb,
			const char *resource, const struct kp_end *end, uint64_t retry_ms)
{
	uint64_t now = uv_now(api->loop);
	bool again = failure->is_failing && failure->kind == end->kind;

	if (again && now < failure->logged_ms + LOG_AGAIN_MS)
		return;
	*failure = (struct failure){.kind = end->kind, .is_failing = true, .logged_ms = now};
	kp_log_warn("api", api->is_ready ? "request failed, keeping the objects" : "request failed",
		    "verb=%s resource=%s error=%s retry_ms=%" PRIu64 "%s%s%s%s%s%s", verb, resource,
		    kp_log_quote(end->text), retry_ms > now ? retry_ms - now : 0,
		    SHOW("hint", hint_for(end->kind)), SHOW("audit_id", end->ids.audit),
		    SHOW("flow_schema", end->ids.flow_schema));
}

static void log_no_connection(struct kp_api *api, const struct kp_end *end)
{
	struct kp_end explained = *end;

	/* CF-5 */
	if (api->config->in_cluster && !api->is_ready)
		kp_end_set(
			&explained, end->kind,
			"%.380s; this address is a cluster IP, which only works once a proxy has "
			"programmed it: give --master=URL with the server's real address",
			end->text);
	log_failure(api, &api->failures[KP_N_KINDS], "connect", "-", &explained, api->try_ms);
}

/* --- resources --- */

static void on_answered(void *arg, const struct kp_resource *resource)
{
	(void)resource;
	connection_works(arg);
}

static unsigned int kind_of(const struct kp_api *api, const struct kp_resource *resource)
{
	unsigned int kind = 0;

	while (api->resources[kind] != resource)
		kind++;
	return kind;
}

/* What is answered by another request at once is part of the protocol: an expired version, a
 * refused selector, new credentials. */
static bool is_ordinary(const struct kp_api *api, const struct kp_resource *resource,
			const struct kp_end *end)
{
	const struct kp_reflector *r = kp_resource_reflector(resource);

	return end->kind == KP_END_OK || r->phase == KP_REFLECTOR_ABSENT ||
	       r->due_ms <= uv_now(api->loop);
}

static void on_ended(void *arg, struct kp_resource *resource, const struct kp_end *end)
{
	struct kp_api *api = arg;
	const struct kp_reflector *r = kp_resource_reflector(resource);
	struct failure *failure = &api->failures[kind_of(api, resource)];

	kp_log_debug("api", "request ended", "verb=%s resource=%s kind=%d text=%s",
		     kp_resource_verb(resource), kp_resource_name(resource), end->kind,
		     kp_log_quote(end->text));
	if (end->kind == KP_END_NO_CONNECTION) {
		connection_failed(api, resource);
		log_no_connection(api, end);
		wake_all(api);
		return;
	}
	connection_works(api);
	if (r->fatal)
		fail(api, kp_resource_name(resource), end->text);
	if (is_ordinary(api, resource, end))
		failure->is_failing = false;
	else
		log_failure(api, failure, kp_resource_verb(resource), kp_resource_name(resource),
			    end, r->due_ms);
	check_ready(api);
}

static void on_listed(void *arg, struct kp_resource *resource)
{
	struct kp_api *api = arg;

	(void)resource;
	check_ready(api);
}

/* --- the version --- */

static int on_version_body(void *arg, const char *data, size_t size)
{
	struct kp_api *api = arg;

	if (size > VERSION_MAX - api->version_size)
		return -1;
	api->version_body = kp_xrealloc(api->version_body, api->version_size + size);
	memcpy(api->version_body + api->version_size, data, size);
	api->version_size += size;
	return 0;
}

static int number_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	/* Minor versions may end in "+". */
	return text ? (int)strtol(text, NULL, 10) : 0;
}

static void start_resources(struct kp_api *api)
{
	json_auto_t *json = json_loadb(api->version_body ? api->version_body : "",
				       api->version_size, JSON_REJECT_DUPLICATES, NULL);
	int major = number_of(json, "major"), minor = number_of(json, "minor");

	kp_log_info("api", "the API server answers", "version=%d.%d", major, minor);
	for (unsigned int kind = 0; kind < KP_N_KINDS; kind++)
		kp_resource_start(api->resources[kind], api->client, major, minor,
				  api->options.stream_lists);
}

static void on_version_timer(uv_timer_t *timer)
{
	struct kp_api *api = timer->data;

	if (api->version_request)
		kp_request_suspect(api->version_request);
	else
		ask_version(api);
}

static void on_version_end(void *arg, const struct kp_end *end)
{
	struct kp_api *api = arg;
	struct failure *failure = &api->failures[KP_N_KINDS];

	api->version_request = NULL;
	uv_timer_stop(&api->version_timer);
	/* Not everybody may read the version, and some answer oddly: then we take it for old. */
	if (end->kind != KP_END_NO_CONNECTION && end->kind != KP_END_UNAUTHORIZED &&
	    end->kind != KP_END_BUSY && end->kind != KP_END_SERVER_ERROR) {
		connection_works(api);
		start_resources(api);
		return;
	}
	connection_failed(api, NULL);
	if (end->kind == KP_END_NO_CONNECTION)
		log_no_connection(api, end);
	else
		log_failure(api, failure, "get", "version", end, api->try_ms);
	if (end->renewed && !api->version_renewed) {
		api->version_renewed = true;
		api->try_ms = uv_now(api->loop);
	}
	if (api->try_ms < uv_now(api->loop) + end->retry_after_s * 1000ULL)
		api->try_ms = uv_now(api->loop) + end->retry_after_s * 1000ULL;
	uv_timer_start(&api->version_timer, on_version_timer, api->try_ms - uv_now(api->loop), 0);
}

static void ask_version(struct kp_api *api)
{
	const struct kp_request_handler handler = {
		.body = on_version_body, .end = on_version_end, .arg = api};

	api->version_size = 0;
	api->version_request = kp_client_get(api->client, "/version", &handler);
	uv_timer_start(&api->version_timer, on_version_timer, VERSION_TIMEOUT_MS, 0);
}
