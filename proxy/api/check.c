/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request after the other: the version, then a list and a watch of each kind, then an event. */
#include "api/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/client.h"
#include "api/selection.h"
#include "events/body.h"
#include "util/time.h"

enum {
	ANSWER_TIMEOUT_MS = 30000
};
#define BODY_MAX ((size_t)4 << 20)

enum verb {
	VERSION,
	LIST,
	WATCH,
	CREATE /* an event, as a dry run */
};

struct check {
	const struct kp_api_config *config;
	const char *node_name;
	char *node_selector;
	struct kp_client *client;
	uv_loop_t loop;
	uv_timer_t timer;

	/* What is being tried. */
	enum verb verb;
	unsigned int kind;
	bool without_field_selector, is_done;
	struct kp_request *request;
	char *body;
	size_t size;

	char list_version[64]; /* where the watch begins */
	unsigned int n_failures;
};

static void try_next(struct check *c);

static void report(struct check *c, bool good, const char *what, const char *text,
		   const char *advice)
{
	printf("%-5s %-22s %s\n", good ? "ok" : "FAIL", what, text);
	if (!good && *advice)
		printf("%-5s %-22s -> %s\n", "", "", advice);
	fflush(stdout);
	c->n_failures += !good;
}

static const char *advice_for(const struct check *c, enum kp_end_kind kind)
{
	switch (kind) {
	case KP_END_NO_CONNECTION:
		if (c->config->in_cluster)
			return "the Service's address works only behind a proxy: give --master=URL "
			       "with the API server's real address";
		return "check the server's address in the kubeconfig, or give --master=URL";
	case KP_END_UNAUTHORIZED:
		return "the token or certificate is missing, expired or of another cluster";
	case KP_END_FORBIDDEN:
		return "bind our user to the ClusterRole of deploy/clusterrole.yaml";
	case KP_END_NOT_FOUND:
	case KP_END_UNUSABLE:
	case KP_END_BROKEN:
		return "this does not look like an API server: check the path in the server's URL";
	default:
		return "";
	}
}

static int on_body(void *arg, const char *data, size_t size)
{
	struct check *c = arg;

	if (size > BODY_MAX - c->size)
		return -1;
	c->body = kp_xrealloc(c->body, c->size + size);
	memcpy(c->body + c->size, data, size);
	c->size += size;
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* --- what was answered --- */

static void judge_version(struct check *c, const json_t *json)
{
	char text[64];

	snprintf(text, sizeof(text), "Kubernetes %s.%s", text_of(json, "major"),
		 text_of(json, "minor"));
	report(c, true, "connect", text, "");
	c->verb = LIST;
}

static void judge_list(struct check *c, const json_t *json, const char *what)
{
	const json_t *items = json_object_get(json, "items");

	snprintf(c->list_version, sizeof(c->list_version), "%s",
		 text_of(json_object_get(json, "metadata"), "resourceVersion"));
	c->verb = WATCH;
	if (!*c->list_version)
		report(c, false, what, "the answer is no list",
		       "check the path in the server's URL");
	else if (c->kind == KP_KIND_NODE && json_array_size(items) == 0)
		report(c, false, what, "there is no Node of our name", "give --hostname-override");
	else
		report(c, true, what, "", "");
}

static void next_kind(struct check *c)
{
	c->kind++;
	c->verb = c->kind < KP_N_KINDS ? LIST : CREATE;
	c->without_field_selector = false;
}

static bool is_optional(const struct check *c)
{
	return c->verb == CREATE || (c->verb != VERSION && kp_selections[c->kind].optional);
}

/* Nothing comes after the events, and nothing after a server that cannot be reached. */
static void next(struct check *c)
{
	c->is_done = c->verb == VERSION || c->verb == CREATE;
	if (!c->is_done)
		next_kind(c);
}

static void judge_failure(struct check *c, const struct kp_end *end, const char *what)
{
	bool absent = end->kind == KP_END_FORBIDDEN || end->kind == KP_END_NOT_FOUND;

	if (end->kind == KP_END_REFUSED && c->verb != CREATE &&
	    kp_selections[c->kind].field_selector && !c->without_field_selector) {
		c->without_field_selector = true;
		return;
	}
	if (absent && is_optional(c))
		report(c, true, what,
		       end->kind == KP_END_FORBIDDEN ? "not allowed, we do without"
						     : "not there, we do without",
		       "");
	else
		report(c, false, what, end->text, advice_for(c, end->kind));
	next(c);
}

static void on_end(void *arg, const struct kp_end *end)
{
	struct check *c = arg;
	json_auto_t *json = json_loadb(c->body ? c->body : "", c->size, 0, NULL);
	char what[64];

	c->request = NULL;
	uv_timer_stop(&c->timer);
	if (c->verb == VERSION || c->verb == CREATE)
		snprintf(what, sizeof(what), c->verb == VERSION ? "connect" : "create events");
	else
		snprintf(what, sizeof(what), "%s %s", c->verb == LIST ? "list" : "watch",
			 kp_selections[c->kind].name);
	if (end->kind != KP_END_OK) {
		judge_failure(c, end, what);
	} else if (c->verb == VERSION) {
		judge_version(c, json);
	} else if (c->verb == LIST) {
		judge_list(c, json, what);
	} else {
		report(c, true, what, "", "");
		next(c);
	}
	try_next(c);
}

/* --- what is tried --- */

static char *build_path(const struct check *c)
{
	const struct kp_selection *s = &kp_selections[c->kind];
	const char *fields = c->kind == KP_KIND_NODE ? c->node_selector : s->field_selector;

	if (c->verb == VERSION)
		return kp_xstrdup("/version");
	if (c->without_field_selector)
		fields = NULL;
	return kp_xasprintf("%s?%s%s&%s%s&%s%s", s->path, s->label_selector ? "labelSelector=" : "",
			    s->label_selector ? s->label_selector : "",
			    fields ? "fieldSelector=" : "", fields ? fields : "",
			    c->verb == LIST ? "limit=1"
					    : "watch=1&timeoutSeconds=1&resourceVersion=",
			    c->verb == LIST ? "" : c->list_version);
}

static void on_timeout(uv_timer_t *timer)
{
	struct check *c = timer->data;

	kp_request_suspect(c->request);
}

/* The client cannot be closed from within a handler of its own. */
static void on_finished(uv_timer_t *timer)
{
	struct check *c = timer->data;

	kp_client_close(c->client);
	uv_close((uv_handle_t *)timer, NULL);
}

/* The server checks permission and object, and keeps nothing. */
static struct kp_request *try_event(struct check *c, const struct kp_request_handler *handler)
{
	const struct kp_event_writer writer = {.node_name = c->node_name,
					       .start_us = kp_time_now_us()};
	char note[] = "kproxy --check";
	const struct kp_event_item item = {.reason = "Starting",
					   .action = "StartKubeProxy",
					   .note = note,
					   .count = 1,
					   .first_us = writer.start_us};
	kp_autofree char *path = kp_event_path(&writer, &item);
	kp_autofree char *dry_run = kp_xasprintf("%s?dryRun=All", path);
	json_auto_t *body = kp_event_object(&writer, &item, "");

	return kp_client_create(c->client, dry_run, body, handler);
}

static void try_next(struct check *c)
{
	const struct kp_request_handler handler = {.body = on_body, .end = on_end, .arg = c};
	kp_autofree char *path = NULL;

	if (c->is_done) {
		uv_timer_start(&c->timer, on_finished, 0, 0);
		return;
	}
	c->size = 0;
	if (c->verb == CREATE) {
		c->request = try_event(c, &handler);
	} else {
		path = build_path(c);
		c->request = kp_client_get(c->client, path, &handler);
	}
	uv_timer_start(&c->timer, on_timeout, ANSWER_TIMEOUT_MS, 0);
}

int kp_api_check(const struct kp_api_config *config, const char *node_name, struct kp_err *err)
{
	const struct kp_request_limit unlimited = {0};
	struct check c = {.config = config, .node_name = node_name};
	int r;

	uv_loop_init(&c.loop);
	r = kp_client_open(config, &unlimited, &c.loop, &c.client, err);
	if (r == 0) {
		c.node_selector = kp_selection_node(node_name);
		uv_timer_init(&c.loop, &c.timer);
		c.timer.data = &c;
		printf("%-5s %-22s %s\n", "", "server", config->server);
		try_next(&c);
	}
	uv_run(&c.loop, UV_RUN_DEFAULT);
	uv_loop_close(&c.loop);
	free(c.node_selector);
	free(c.body);
	if (r == 0 && c.n_failures > 0)
		return kp_err_set(err, EPROTO, "%u checks failed", c.n_failures);
	return r;
}
