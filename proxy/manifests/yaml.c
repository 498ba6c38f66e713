/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From libyaml's events to jansson's values.
 *
 * The reader stands on one event.  The functions build_*() find it on the first event of a node and
 * leave it on the last.  There are two ways to fail.  -EINVAL refuses the object: the parser still
 * knows where it is, and the rest of the object is passed over.  -EBADMSG means that the document
 * is lost. */
#include "manifests/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>
#include <yaml.h>

#include "manifests/scalar.h"

/* Charged for each node besides its text. */
#define NODE_SIZE 16

/* What libyaml may collect for one scalar.  More than an object may have, so that an annotation of
 * 10 MB costs its object and not the document; yet bounded, because libyaml has no limit. */
#define MAX_PENDING_BYTES ((size_t)16 << 20)

/* What was built under an anchor. */
struct anchor {
	UT_hash_handle hh;
	json_t *json; /* NULL: refused, or we are still inside of it */
	size_t size;
	unsigned int height; /* levels of nesting */
	char name[];
};

/* Where a mapping stands, to know which of its keys are special. */
enum role {
	ROLE_DOCUMENT,
	ROLE_OBJECT,
	ROLE_METADATA,
	ROLE_OTHER
};

/* What the current object has used up. */
struct budget {
	size_t size;
	unsigned int base;    /* n_open round the object */
	unsigned int deepest; /* the highest n_open, aliases included */
};

struct reader {
	struct kp_documents documents;
	const struct kp_object_sink *sink;

	yaml_parser_t parser;
	yaml_event_t event;
	size_t pending;	     /* bytes that the parser took since its last event */
	unsigned int n_open; /* sequences and mappings, that of the event included */

	struct kp_place place;
	struct budget budget;

	/* Of the current document. */
	struct anchor *anchors;
	size_t anchors_size;
	bool is_list;

	/* Set by what fails. */
	struct kp_err err;
	unsigned int err_line;
};

static void read_part(struct reader *r);
static int read_object(struct reader *r, enum role role);
static int read_items(struct reader *r);
static int build_node(struct reader *r, enum role role, json_t **ret);
static int next_event(struct reader *r);
static int skip_to(struct reader *r, unsigned int n_open);
static void forget_anchors(struct reader *r);

int kp_yaml_read(kp_read_fn *read, void *read_arg, const struct kp_object_sink *sink,
		 struct kp_err *err)
{
	struct reader r = {.sink = sink};
	int error;

	kp_documents_init(&r.documents, read, read_arg);
	while (kp_documents_next(&r.documents))
		read_part(&r);
	error = r.documents.error;
	kp_documents_clear(&r.documents);
	return error < 0 ? kp_err_errno(err, -error, "read") : 0;
}

/* --- failing --- */

static unsigned int line_of(const struct reader *r, const yaml_mark_t *mark)
{
	return r->documents.start_line + mark->line;
}

/* Refuses the current object. */
static int __attribute__((format(printf, 2, 3))) refuse(struct reader *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->err_line = line_of(r, &r->event.start_mark);
	return kp_err_set(&r->err, EINVAL, "%s", text);
}

/* Gives the current document up, with the parser's reason. */
static int fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;

	r->err_line = line_of(r, &p->problem_mark);
	if (p->error == YAML_MEMORY_ERROR)
		abort();
	if (r->pending > MAX_PENDING_BYTES)
		return kp_err_set(&r->err, EBADMSG, "a value larger than 16 MiB");
	return kp_err_set(&r->err, EBADMSG, "YAML: %s%s%s", p->problem, p->context ? ", " : "",
			  p->context ? p->context : "");
}

static void report(struct reader *r, const struct kp_place *object)
{
	struct kp_place place = *object;

	place.line = r->err_line;
	r->sink->error(r->sink->arg, &place, r->err.text);
}

static json_t *or_abort(json_t *json)
{
	if (!json)
		abort();
	return json;
}

/* --- documents and objects --- */

static int feed_parser(void *arg, unsigned char *buf, size_t size, size_t *ret_size)
{
	struct reader *r = arg;

	if (r->pending > MAX_PENDING_BYTES)
		return 0;
	*ret_size = kp_documents_read(&r->documents, (char *)buf, size);
	r->pending += *ret_size;
	/* To the parser the end of the bytes is the end of a document that may look complete. */
	return r->documents.error == 0;
}

static int read_document(struct reader *r)
{
	int error;

	r->place.document++;
	r->place.object = 0;
	r->is_list = false;
	error = next_event(r);
	if (error == 0)
		error = read_object(r, ROLE_DOCUMENT);
	forget_anchors(r);
	return error;
}

/* Reads what was cut out as one document.  To the parser it may be none or several: it knows line
 * breaks that are not looked for when cutting. */
static void read_part(struct reader *r)
{
	const unsigned int n_before = r->place.document;
	int error;

	if (!yaml_parser_initialize(&r->parser))
		abort();
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input(&r->parser, feed_parser, r);
	memset(&r->event, 0, sizeof(r->event));
	r->n_open = 0;
	r->budget = (struct budget){0};

	do {
		error = next_event(r);
		if (error == 0 && r->event.type == YAML_DOCUMENT_START_EVENT)
			error = read_document(r);
	} while (error == 0 && r->event.type != YAML_STREAM_END_EVENT);

	if (error < 0 && r->documents.error == 0) {
		if (r->place.document == n_before)
			r->place.document++;
		report(r, &(struct kp_place){.document = r->place.document});
	}
	yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
}

/* The nesting round the node that the current event starts. */
static unsigned int level_of_event(const struct reader *r)
{
	bool opens = r->event.type == YAML_MAPPING_START_EVENT ||
		     r->event.type == YAML_SEQUENCE_START_EVENT;

	return r->n_open - opens;
}

/* Delivers an object, or reports it and passes over it; fails only with -EBADMSG. */
static int read_object(struct reader *r, enum role role)
{
	const struct budget outer = r->budget;
	const unsigned int level = level_of_event(r);
	json_auto_t *json = NULL;
	struct kp_place place;
	int error;

	r->place.object++;
	r->place.line = line_of(r, &r->event.start_mark);
	place = r->place;
	r->budget = (struct budget){.base = level, .deepest = level};

	error = build_node(r, role, &json);
	if (error == -EINVAL) {
		/* What spoils a list itself, outside of its items, costs the document. */
		if (role == ROLE_DOCUMENT && r->is_list)
			place.object = 0;
		report(r, &place);
		error = skip_to(r, level);
	} else if (error == 0 && role == ROLE_DOCUMENT && (r->is_list || json_is_null(json))) {
		/* A list has delivered its items, and an empty document is no object. */
	} else if (error == 0) {
		r->sink->object(r->sink->arg, &place, json);
	}
	r->budget = outer;
	return error;
}

/* The value of the key "items" of a document: its elements are objects. */
static int read_items(struct reader *r)
{
	int error;

	r->is_list = true;
	r->place.object = 0;
	for (;;) {
		error = next_event(r);
		if (error < 0 || r->event.type == YAML_SEQUENCE_END_EVENT)
			return error;
		error = read_object(r, ROLE_OBJECT);
		if (error < 0)
			return error;
	}
}

/* --- events --- */

static int next_event(struct reader *r)
{
	yaml_event_delete(&r->event);
	r->pending = 0;
	if (!yaml_parser_parse(&r->parser, &r->event))
		return fail_parser(r);
	switch (r->event.type) {
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		r->n_open++;
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->n_open--;
		break;
	default:
		break;
	}
	/* Not only refused: the parser's own work grows with the depth. */
	if (r->n_open - r->budget.base > KP_OBJECT_MAX_DEPTH) {
		r->err_line = line_of(r, &r->event.start_mark);
		return kp_err_set(&r->err, EBADMSG, KP_OBJECT_TOO_DEEP);
	}
	return 0;
}

static int skip_to(struct reader *r, unsigned int n_open)
{
	while (r->n_open > n_open) {
		int error = next_event(r);

		if (error < 0)
			return error;
	}
	return 0;
}

/* --- nodes --- */

static int charge(struct reader *r, size_t size)
{
	if (size > KP_OBJECT_MAX_BYTES - r->budget.size)
		return refuse(r, KP_OBJECT_TOO_LARGE);
	r->budget.size += size;
	return 0;
}

static int build_scalar(struct reader *r, json_t **ret)
{
	const char *text = (const char *)r->event.data.scalar.value;
	size_t size = r->event.data.scalar.length;
	int error;

	error = charge(r, size + NODE_SIZE);
	if (error < 0)
		return error;
	*ret = or_abort(r->event.data.scalar.plain_implicit ? kp_scalar_resolve(text, size)
							    : json_stringn_nocheck(text, size));
	return 0;
}

static int build_sequence(struct reader *r, json_t **ret)
{
	json_auto_t *array = or_abort(json_array());
	int error;

	error = charge(r, NODE_SIZE);
	if (error < 0)
		return error;
	for (;;) {
		json_t *item = NULL;

		error = next_event(r);
		if (error < 0)
			return error;
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		error = build_node(r, ROLE_OTHER, &item);
		if (error < 0)
			return error;
		json_array_append_new(array, item);
	}
	*ret = KP_TAKE(array);
	return 0;
}

static void tell_duplicate(const struct reader *r, const char *key)
{
	struct kp_place place = r->place;

	place.line = line_of(r, &r->event.start_mark);
	r->sink->duplicate(r->sink->arg, &place, key);
}

/* Moves the key that the reader stands on to '*ret'. */
static int take_key(struct reader *r, const json_t *object, char **ret, size_t *ret_size)
{
	const char *key = (const char *)r->event.data.scalar.value;
	size_t size = r->event.data.scalar.length;

	if (r->event.type != YAML_SCALAR_EVENT)
		return refuse(r, "a key that is not a scalar");
	if (r->event.data.scalar.plain_implicit && strcmp(key, "<<") == 0)
		return refuse(r, "the merge key << is not supported");
	if (json_object_getn(object, key, size)) {
		if (!r->sink->duplicate)
			return refuse(r, "the key '%.64s' comes twice", key);
		tell_duplicate(r, key);
	}
	*ret = (char *)KP_TAKE(r->event.data.scalar.value);
	*ret_size = size;
	return charge(r, size + NODE_SIZE);
}

/* Builds the value of a key; '*ret' stays NULL for what is never built. */
static int build_member(struct reader *r, enum role role, const char *key, json_t **ret)
{
	bool is_object = role == ROLE_DOCUMENT || role == ROLE_OBJECT;

	if (role == ROLE_DOCUMENT && strcmp(key, "items") == 0 &&
	    r->event.type == YAML_SEQUENCE_START_EVENT)
		return read_items(r);
	if (role == ROLE_METADATA && strcmp(key, "managedFields") == 0)
		return skip_to(r, level_of_event(r));
	return build_node(r, is_object && strcmp(key, "metadata") == 0 ? ROLE_METADATA : ROLE_OTHER,
			  ret);
}

static int build_mapping(struct reader *r, enum role role, json_t **ret)
{
	json_auto_t *object = or_abort(json_object());
	int error;

	error = charge(r, NODE_SIZE);
	if (error < 0)
		return error;
	for (;;) {
		kp_autofree char *key = NULL;
		json_t *value = NULL;
		size_t size = 0;

		error = next_event(r);
		if (error < 0)
			return error;
		if (r->event.type == YAML_MAPPING_END_EVENT)
			break;
		error = take_key(r, object, &key, &size);
		if (error == 0)
			error = next_event(r);
		if (error == 0)
			error = build_member(r, role, key, &value);
		if (error < 0)
			return error;
		/* The key alone is kept of what was not built, to see when it comes again. */
		json_object_setn_new_nocheck(object, key, size, value ? value : json_null());
	}
	*ret = KP_TAKE(object);
	return 0;
}

static int build_value(struct reader *r, enum role role, json_t **ret)
{
	switch (r->event.type) {
	case YAML_SCALAR_EVENT:
		return build_scalar(r, ret);
	case YAML_SEQUENCE_START_EVENT:
		return build_sequence(r, ret);
	default:
		return build_mapping(r, role, ret);
	}
}

/* --- anchors and aliases --- */

static const char *anchor_name(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return (const char *)event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return (const char *)event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return (const char *)event->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

/* An anchor may be defined again; the last definition counts. */
static struct anchor *open_anchor(struct reader *r, const char *name)
{
	size_t len = strlen(name);
	struct anchor *anchor;

	HASH_FIND(hh, r->anchors, name, len, anchor);
	if (anchor) {
		json_decref(KP_TAKE(anchor->json));
		return anchor;
	}
	anchor = kp_xcalloc(1, sizeof(*anchor) + len + 1);
	memcpy(anchor->name, name, len + 1);
	HASH_ADD_KEYPTR(hh, r->anchors, anchor->name, len, anchor);
	return anchor;
}

static void forget_anchors(struct reader *r)
{
	struct anchor *anchor, *next;

	HASH_ITER (hh, r->anchors, anchor, next) {
		HASH_DEL(r->anchors, anchor);
		json_decref(anchor->json);
		free(anchor);
	}
	r->anchors_size = 0;
}

static void went_down_to(struct reader *r, unsigned int level)
{
	if (level > r->budget.deepest)
		r->budget.deepest = level;
}

static int build_anchored(struct reader *r, const char *name, enum role role, json_t **ret)
{
	const unsigned int level = level_of_event(r), deepest = r->budget.deepest;
	const size_t size = r->budget.size;
	struct anchor *anchor;
	int error;

	/* What anchors hold lives until the end of the document. */
	r->anchors_size += strlen(name);
	anchor = open_anchor(r, name);
	r->budget.deepest = r->n_open;
	error = build_value(r, role, ret);
	if (error < 0)
		return error;

	json_decref(anchor->json);
	anchor->json = json_incref(*ret);
	anchor->size = r->budget.size - size;
	anchor->height = r->budget.deepest - level;
	went_down_to(r, deepest);
	r->anchors_size += anchor->size;
	if (r->anchors_size <= KP_OBJECT_MAX_BYTES)
		return 0;
	json_decref(KP_TAKE(*ret));
	return refuse(r, "the anchors of the document hold more than 3 MiB");
}

static int build_alias(struct reader *r, json_t **ret)
{
	const char *name = (const char *)r->event.data.alias.anchor;
	const struct anchor *anchor;
	int error;

	HASH_FIND_STR(r->anchors, name, anchor);
	if (!anchor)
		return refuse(r, "the alias '%.64s' has no anchor", name);
	if (!anchor->json)
		return refuse(r, "the alias '%.64s' stands inside its own anchor", name);
	if (r->n_open - r->budget.base + anchor->height > KP_OBJECT_MAX_DEPTH)
		return refuse(r, KP_OBJECT_TOO_DEEP);
	error = charge(r, anchor->size);
	if (error < 0)
		return error;
	went_down_to(r, r->n_open + anchor->height);
	*ret = json_incref(anchor->json);
	return 0;
}

static int build_node(struct reader *r, enum role role, json_t **ret)
{
	const char *name = anchor_name(&r->event);

	went_down_to(r, r->n_open);
	if (r->event.type == YAML_ALIAS_EVENT)
		return build_alias(r, ret);
	if (name)
		return build_anchored(r, name, role, ret);
	return build_value(r, role, ret);
}
