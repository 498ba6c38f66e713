/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of an answer go through one framer, for lists and watches alike: an element of a list
 * or an event of a stream is cut out, parsed, decoded and forgotten before the next one.
 *
 * Objects of a list are put into the store as they come.  What a list lacks is removed only when it
 * has been read to its end, so a list that breaks off does no harm. */
#include "api/resource.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "decode/decode.h"
#include "decode/json_framer.h"
#include "kproxy/log.h"
#include "model/store.h"

/* Remarks about objects, at most so many in a minute. */
enum {
	REMARKS_MAX = 20,
	REMARKS_MS = 60000
};

struct kp_resource {
	enum kp_kind kind;
	struct kp_resource_owner owner;
	struct kp_reflector reflector;
	struct kp_client *client;
	struct kp_store *store;
	uv_loop_t *loop;
	uv_timer_t timer; /* the next request, or the guard of the one under way */
	struct kp_decode_options decode;

	/* The request under way. */
	struct kp_request *request;
	struct kp_json_framer *framer;
	bool is_list; /* and no watch */
	bool has_end; /* 'end' was found in the body */
	struct kp_end end;
	json_t *list; /* the list without its items, once it is complete */

	uint64_t n_lists, n_watches, n_failures, n_refused;

	bool unidentified; /* the list holds an object whose name we do not know */
	unsigned int n_remarks, n_dropped;
	uint64_t remarks_ms;
};

static void on_timer(uv_timer_t *timer);
static void on_answered(void *arg);
static int on_body(void *arg, const char *data, size_t size);
static void on_end(void *arg, const struct kp_end *end);
static void on_object(void *arg, const struct kp_place *place, const char *text, size_t size);
static void on_list(void *arg, const struct kp_place *place, const char *text, size_t size);
static void on_framing_error(void *arg, const struct kp_place *place, const char *reason);
static void on_decode_warning(void *arg, const char *text);
static void schedule(struct kp_resource *r);

static uint64_t now(const struct kp_resource *r)
{
	return uv_now(r->loop);
}

struct kp_resource *kp_resource_new(const struct kp_resource_settings *settings,
				    const struct kp_resource_owner *owner, struct kp_store *store,
				    uv_loop_t *loop)
{
	struct kp_reflector_settings reflector = {.selection = kp_selections[settings->kind],
						  .random = settings->random};
	struct kp_resource *r = kp_xcalloc(1, sizeof(*r));

	if (settings->kind == KP_KIND_NODE)
		reflector.selection.field_selector = settings->node_selector;
	r->kind = settings->kind;
	r->owner = *owner;
	r->store = store;
	r->loop = loop;
	r->decode = (struct kp_decode_options){
		.node_name = settings->node_name, .warn = on_decode_warning, .warn_arg = r};
	kp_reflector_init(&r->reflector, &reflector, now(r));
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	return r;
}

static void forget_request(struct kp_resource *r)
{
	kp_json_framer_free(KP_TAKE(r->framer));
	json_decref(KP_TAKE(r->list));
	r->request = NULL;
	r->has_end = false;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void kp_resource_close(struct kp_resource *r)
{
	if (!r)
		return;
	kp_request_cancel(r->request);
	forget_request(r);
	kp_reflector_clear(&r->reflector);
	uv_close((uv_handle_t *)&r->timer, on_closed);
}

const char *kp_resource_name(const struct kp_resource *r)
{
	return kp_selections[r->kind].name;
}

const char *kp_resource_verb(const struct kp_resource *r)
{
	return r->is_list ? "list" : "watch";
}

const struct kp_reflector *kp_resource_reflector(const struct kp_resource *r)
{
	return &r->reflector;
}

struct kp_watch kp_resource_watch(const struct kp_resource *r)
{
	return (struct kp_watch){
		.resource = kp_resource_name(r),
		.silent_ms = now(r) - r->reflector.heard_ms,
		.stale = kp_reflector_is_stale(&r->reflector, now(r)),
		.n_lists = r->n_lists,
		.n_watches = r->n_watches,
		.n_failures = r->n_failures,
		.n_refused = r->n_refused,
	};
}

void kp_resource_start(struct kp_resource *r, struct kp_client *client, int major, int minor,
		       bool stream_lists)
{
	r->client = client;
	kp_reflector_set_server(&r->reflector, major, minor, stream_lists);
	schedule(r);
}

void kp_resource_stop(struct kp_resource *r)
{
	kp_request_cancel(r->request);
	forget_request(r);
	uv_timer_stop(&r->timer);
	kp_reflector_restart(&r->reflector, now(r));
}

/* --- requests --- */

static void send_request(struct kp_resource *r)
{
	const struct kp_json_framer_handler framer_handler = {
		.object = on_object, .list = on_list, .error = on_framing_error, .arg = r};
	const struct kp_request_handler handler = {
		.answered = on_answered, .body = on_body, .end = on_end, .arg = r};
	kp_autofree char *path = kp_reflector_request(&r->reflector, now(r));

	kp_log_debug("api", "request", "path=%s", kp_log_quote(path));
	r->is_list = r->reflector.phase == KP_REFLECTOR_LIST;
	r->n_watches += !r->is_list;
	r->framer = kp_json_framer_new(&framer_handler);
	r->request = r->is_list ? kp_client_get(r->client, path, &handler)
				: kp_client_watch(r->client, path, &handler);
}

static uint64_t next_time(const struct kp_resource *r)
{
	uint64_t due = r->reflector.due_ms, allowed;

	if (r->request)
		return kp_reflector_guard(&r->reflector);
	if (due > now(r))
		return due;
	allowed = r->owner.may_send(r->owner.arg, r, now(r));
	return allowed > due ? allowed : due;
}

static void schedule(struct kp_resource *r)
{
	uint64_t at = next_time(r);

	if (at == KP_NEVER)
		uv_timer_stop(&r->timer);
	else
		uv_timer_start(&r->timer, on_timer, at > now(r) ? at - now(r) : 0, 0);
}

void kp_resource_wake(struct kp_resource *r)
{
	schedule(r);
}

static void on_timer(uv_timer_t *timer)
{
	struct kp_resource *r = timer->data;

	if (next_time(r) <= now(r)) {
		if (!r->request) {
			send_request(r);
		} else {
			kp_reflector_guard_struck(&r->reflector);
			kp_request_suspect(r->request);
			return;
		}
	}
	schedule(r);
}

/* --- answers --- */

static void on_answered(void *arg)
{
	struct kp_resource *r = arg;

	kp_reflector_alive(&r->reflector, now(r));
	/* A list begins; a page behind the first goes on with it. */
	if (r->reflector.phase != KP_REFLECTOR_WATCH && !r->reflector.continue_token) {
		kp_store_begin_list(r->store, r->kind);
		r->unidentified = false;
	}
	r->owner.answered(r->owner.arg, r);
	schedule(r);
}

static int on_body(void *arg, const char *data, size_t size)
{
	struct kp_resource *r = arg;

	kp_reflector_alive(&r->reflector, now(r));
	kp_json_framer_feed(r->framer, data, size);
	schedule(r);
	return r->has_end ? -1 : 0;
}

static void stop(struct kp_resource *r, enum kp_end_kind kind, const char *reason)
{
	if (r->has_end)
		return;
	r->has_end = true;
	kp_end_set(&r->end, kind, "%s", reason);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void list_complete(struct kp_resource *r)
{
	size_t n_removed = 0;

	if (r->unidentified)
		kp_log_warn("api", "a list holds objects that cannot be read, removing none",
			    "resource=%s", kp_selections[r->kind].name);
	else
		n_removed = kp_store_end_list(r->store, r->kind);
	kp_log_debug("api", "list complete", "resource=%s version=%s objects=%zu removed=%zu",
		     kp_selections[r->kind].name, kp_log_quote(r->reflector.version),
		     kp_store_count(r->store, r->kind), n_removed);
	r->n_lists++;
	r->owner.listed(r->owner.arg, r);
}

static void on_listed(struct kp_resource *r, struct kp_end *end)
{
	const json_t *metadata = json_object_get(r->list, "metadata");

	switch (kp_reflector_listed(&r->reflector, now(r), text_of(metadata, "resourceVersion"),
				    text_of(metadata, "continue"))) {
	case KP_LIST_COMPLETE:
		list_complete(r);
		break;
	case KP_LIST_REFUSED:
		kp_end_set(end, KP_END_GARBAGE, "the list has no resourceVersion");
		break;
	case KP_LIST_MORE:
		break;
	}
}

static void on_end(void *arg, const struct kp_end *answer_end)
{
	struct kp_resource *r = arg;
	struct kp_end end = *answer_end;

	/* What was found in the stream says more than that the stream was stopped for it. */
	if (r->has_end)
		end = r->end;
	else if (end.kind == KP_END_OK && kp_json_framer_finish(r->framer) < 0)
		kp_end_set(&end, KP_END_BROKEN, "the answer ends in the middle of an object");
	if (end.kind == KP_END_OK && r->is_list && r->list) {
		on_listed(r, &end);
	} else {
		if (end.kind == KP_END_OK && r->is_list)
			kp_end_set(&end, KP_END_BROKEN, "the list is not complete");
		kp_reflector_end(&r->reflector, now(r), &end);
	}
	end.ids = answer_end->ids;
	forget_request(r);
	r->n_failures += end.kind != KP_END_OK && r->reflector.phase != KP_REFLECTOR_ABSENT;
	r->owner.ended(r->owner.arg, r, &end);
	schedule(r);
}

/* --- objects --- */

/* True while remarks are still to be logged; tells afterwards how many were not. */
static bool may_remark(struct kp_resource *r)
{
	if (now(r) >= r->remarks_ms + REMARKS_MS) {
		if (r->n_dropped > 0)
			kp_log_warn("api", "more remarks were not logged", "resource=%s count=%u",
				    kp_selections[r->kind].name, r->n_dropped);
		r->remarks_ms = now(r);
		r->n_remarks = r->n_dropped = 0;
	}
	if (r->n_remarks < REMARKS_MAX) {
		r->n_remarks++;
		return true;
	}
	r->n_dropped++;
	return false;
}

static void on_decode_warning(void *arg, const char *text)
{
	struct kp_resource *r = arg;

	if (may_remark(r))
		kp_log_warn("api", "odd field", "resource=%s text=%s", kp_selections[r->kind].name,
			    kp_log_quote(text));
}

static void on_bad_object(struct kp_resource *r, const struct kp_object_id *id,
			  const struct kp_err *err)
{
	r->n_refused++;
	if (id->name)
		kp_store_keep(r->store, r->kind, id->ns, id->name);
	else
		r->unidentified = true;
	if (may_remark(r))
		kp_log_error("api", "object refused, previous state kept",
			     "resource=%s namespace=%s name=%s error=%s",
			     kp_selections[r->kind].name, kp_log_quote(id->ns),
			     kp_log_quote(id->name), kp_log_quote(err->text));
}

/* Puts an object, or removes one that is there no more or that we treat as absent. */
static void apply(struct kp_resource *r, const json_t *json, bool deleted)
{
	struct kp_object object = {0};
	struct kp_object_id id;
	struct kp_err err = KP_ERR_INIT;
	char why[128];
	enum kp_decode_result result = kp_decode_object(json, &r->decode, &id, &object, why, &err);

	if (result == KP_DECODE_FOREIGN || (id.name && id.kind != r->kind)) {
		kp_err_set(&err, EINVAL, "not a %s", kp_kind_name(r->kind));
		if (result == KP_DECODED)
			kp_object_clear(&object);
		kp_object_id_clear(&id);
		result = KP_DECODE_BAD;
	}
	/* Of a deleted object only its name counts (IN-6). */
	if (id.name && (deleted || result == KP_DECODE_SKIP))
		kp_store_remove(r->store, r->kind, id.ns, id.name);
	else if (result == KP_DECODED)
		kp_store_put(r->store, &object);
	else
		on_bad_object(r, &id, &err);
	kp_object_clear(&object);
	kp_object_id_clear(&id);
}

static void take_list(struct kp_resource *r, json_t *json)
{
	kp_autofree char *expected = kp_xasprintf("%sList", kp_kind_name(r->kind));

	if (strcmp(text_of(json, "kind"), expected) != 0 || r->list) {
		stop(r, KP_END_GARBAGE, "the answer is another list than we asked for");
		return;
	}
	r->list = json_incref(json);
}

/* Elements of a list have neither kind nor version of their own (RF-2). */
static void take_item(struct kp_resource *r, json_t *json)
{
	if (!json_object_get(json, "kind")) {
		json_object_set_new(json, "kind", json_string(kp_kind_name(r->kind)));
		json_object_set_new(json, "apiVersion",
				    json_string(kp_selections[r->kind].api_version));
	}
	apply(r, json, false);
}

static enum kp_event_type event_type(const char *text)
{
	static const char *const names[] = {
		[KP_EVENT_ADDED] = "ADDED",
		[KP_EVENT_MODIFIED] = "MODIFIED",
		[KP_EVENT_DELETED] = "DELETED",
		[KP_EVENT_BOOKMARK] = "BOOKMARK",
	};

	for (int i = 0; i < KP_EVENT_UNKNOWN; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return KP_EVENT_UNKNOWN;
}

static void take_event(struct kp_resource *r, const json_t *json)
{
	const json_t *object = json_object_get(json, "object");
	const json_t *metadata = json_object_get(object, "metadata");
	const json_t *annotations = json_object_get(metadata, "annotations");
	const char *ends = text_of(annotations, "k8s.io/initial-events-end");
	enum kp_event_type type = event_type(text_of(json, "type"));

	if (strcmp(text_of(json, "type"), "ERROR") == 0) {
		r->has_end = true;
		kp_end_from_status(object, 0, 0, &r->end);
		return;
	}
	if (type == KP_EVENT_UNKNOWN && may_remark(r))
		kp_log_warn("api", "unknown type of event, ignored", "resource=%s type=%s",
			    kp_selections[r->kind].name, kp_log_quote(text_of(json, "type")));
	if (type == KP_EVENT_ADDED || type == KP_EVENT_MODIFIED || type == KP_EVENT_DELETED)
		apply(r, object, type == KP_EVENT_DELETED);
	switch (kp_reflector_event(&r->reflector, now(r), type,
				   text_of(metadata, "resourceVersion"),
				   strcmp(ends, "true") == 0)) {
	case KP_EVENT_LIST_COMPLETE:
		list_complete(r);
		break;
	case KP_EVENT_STOP:
		stop(r, KP_END_BROKEN, "the server has gone back to an older version");
		break;
	case KP_EVENT_GO_ON:
		break;
	}
}

/* --- what the framer finds --- */

static json_t *parse(struct kp_resource *r, const char *text, size_t size)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

	r->n_refused += !json;
	if (!json && may_remark(r))
		kp_log_error("api", "not valid JSON", "resource=%s error=%s",
			     kp_selections[r->kind].name, kp_log_quote(error.text));
	return json;
}

static void on_object(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	struct kp_resource *r = arg;
	json_auto_t *json = NULL;

	(void)place;
	if (r->has_end)
		return;
	json = parse(r, text, size);
	if (!json && r->is_list)
		r->unidentified = true;
	else if (!json)
		stop(r, KP_END_GARBAGE, "an event is not valid JSON");
	else if (!r->is_list)
		take_event(r, json);
	else if (json_object_get(json, "items"))
		take_list(r, json); /* "items": null */
	else
		take_item(r, json);
}

static void on_list(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	struct kp_resource *r = arg;
	json_auto_t *json = r->has_end ? NULL : parse(r, text, size);

	(void)place;
	if (!json || !r->is_list)
		stop(r, KP_END_GARBAGE, "not the answer that we asked for");
	else
		take_list(r, json);
}

static void on_framing_error(void *arg, const struct kp_place *place, const char *reason)
{
	struct kp_resource *r = arg;

	if (place->object == 0) {
		stop(r, KP_END_GARBAGE, reason);
		return;
	}
	r->unidentified = true;
	r->n_refused++;
	if (may_remark(r))
		kp_log_error("api", "object refused, previous state kept", "resource=%s error=%s",
			     kp_selections[r->kind].name, kp_log_quote(reason));
}
