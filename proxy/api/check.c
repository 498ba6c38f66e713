/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request after the other: the version, then a list and a watch of each kind. */
#include "api/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/client.h"
#include "api/selection.h"

enum {
	ANSWER_TIMEOUT_MS = 30000
};
#define BODY_MAX ((size_t)4 << 20)

enum verb {
	VERSION,
	LIST,
	WATCH
};

struct check {
	const struct kp_api_config *config;
	char *node_selector;
	struct kp_client *client;
	uv_loop_t loop;
	uv_timer_t timer;

	/* What is being tried. */
	enum verb verb;
	unsigned int kind;
	bool without_field_selector;
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
	c->verb = LIST;
	c->kind++;
	c->without_field_selector = false;
}

static void judge_failure(struct check *c, const struct kp_end *end, const char *what)
{
	const struct kp_selection *s = &kp_selections[c->kind];
	bool absent = end->kind == KP_END_FORBIDDEN || end->kind == KP_END_NOT_FOUND;

	if (end->kind == KP_END_REFUSED && s->field_selector && !c->without_field_selector) {
		c->without_field_selector = true;
		return;
	}
	if (c->verb != VERSION && s->optional && absent)
		report(c, true, what, "not there, we do without", "");
	else
		report(c, false, what, end->text, advice_for(c, end->kind));
	if (c->verb == VERSION)
		c->kind = KP_N_KINDS;
	else
		next_kind(c);
}

static void on_end(void *arg, const struct kp_end *end)
{
	struct check *c = arg;
	json_auto_t *json = json_loadb(c->body ? c->body : "", c->size, 0, NULL);
	char what[64];

	c->request = NULL;
	uv_timer_stop(&c->timer);
	snprintf(what, sizeof(what), "%s %s", c->verb == LIST ? "list" : "watch",
		 c->kind < KP_N_KINDS ? kp_selections[c->kind].name : "");
	if (c->verb == VERSION)
		snprintf(what, sizeof(what), "connect");
	if (end->kind != KP_END_OK) {
		judge_failure(c, end, what);
	} else if (c->verb == VERSION) {
		judge_version(c, json);
	} else if (c->verb == LIST) {
		judge_list(c, json, what);
	} else {
		report(c, true, what, "", "");
		next_kind(c);
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

static void try_next(struct check *c)
{
	const struct kp_request_handler handler = {.body = on_body, .end = on_end, .arg = c};
	kp_autofree char *path = NULL;

	if (c->kind == KP_N_KINDS) {
		uv_timer_start(&c->timer, on_finished, 0, 0);
		return;
	}
	path = build_path(c);
	c->size = 0;
	c->request = kp_client_get(c->client, path, &handler);
	uv_timer_start(&c->timer, on_timeout, ANSWER_TIMEOUT_MS, 0);
}

int kp_api_check(const struct kp_api_config *config, const char *node_name, struct kp_err *err)
{
	const struct kp_request_limit unlimited = {0};
	struct check c = {.config = config};
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
