/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small state machine over the bytes of the stream.
 *
 * What is open is a stack of brackets.  An object to deliver starts at depth 0 (a top-level object)
 * or at depth 2 (an element of "items").  As a list cannot be told from an object before its
 * "items" comes, the beginning of every top-level object is kept until then. */
#include "decode/json_framer.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "kproxy/err.h"

/* Two more for the list and its "items". */
#define MAX_OPEN (KP_OBJECT_MAX_DEPTH + 2)

/* An element's depth in { "items": [ element ] }. */
#define ITEM_DEPTH 2

enum state {
	OBJECT,	  /* outside a list: at the top level or inside a top-level object */
	ITEMS,	  /* inside the array "items" */
	LEFTOVER, /* inside a list, behind its "items" */
	BROKEN,
};

struct kp_json_framer {
	struct kp_json_framer_handler handler;
	enum state state;
	struct kp_place next;  /* document and object of what comes next, and the current line */
	struct kp_place place; /* where the current object started */

	unsigned int depth;
	char open[MAX_OPEN]; /* '{' or '[' */
	bool in_string, escaped;

	/* The current key of a top-level object, to recognise "items". */
	bool expect_key, is_items;
	char key[8];
	unsigned int key_len;

	/* The current object: what earlier calls have left, then the bytes from 'start'. */
	bool keeping, too_large;
	const char *start;
	char *buf;
	size_t size, capacity;
};

static void on_byte(struct kp_json_framer *f, const char *p);
static void end_of_chunk(struct kp_json_framer *f, const char *end);
static void fail(struct kp_json_framer *f, unsigned int line, const char *reason);

struct kp_json_framer *kp_json_framer_new(const struct kp_json_framer_handler *handler)
{
	struct kp_json_framer *f = kp_xcalloc(1, sizeof(*f));

	f->handler = *handler;
	f->next.line = 1;
	return f;
}

void kp_json_framer_free(struct kp_json_framer *f)
{
	if (!f)
		return;
	free(f->buf);
	free(f);
}

/* The inside of strings is most of the stream, and only these bytes matter there. */
static const char *skip_string(const char *p, const char *end)
{
	while (p < end && *p != '"' && *p != '\\' && *p != '\n')
		p++;
	return p;
}

int kp_json_framer_feed(struct kp_json_framer *f, const char *data, size_t size)
{
	const char *end = data + size;

	if (f->state == BROKEN)
		return -EBADMSG;
	f->start = data;
	for (const char *p = data; p < end; p++) {
		if (f->in_string && !f->escaped && f->depth != 1) {
			p = skip_string(p, end);
			if (p == end)
				break;
		}
		on_byte(f, p);
		if (f->state == BROKEN)
			return -EBADMSG;
	}
	end_of_chunk(f, end);
	return 0;
}

int kp_json_framer_finish(struct kp_json_framer *f)
{
	if (f->state != BROKEN && f->depth > 0)
		fail(f, f->next.line, "JSON: ends before everything is closed");
	return f->state == BROKEN ? -EBADMSG : 0;
}

static void fail(struct kp_json_framer *f, unsigned int line, const char *reason)
{
	/* Garbage between two top-level values is counted with the one that should come. */
	struct kp_place place = {
		.document = f->depth > 0 ? f->next.document : f->next.document + 1,
		.line = line,
	};

	f->state = BROKEN;
	f->keeping = false;
	f->handler.error(f->handler.arg, &place, reason);
}

/* --- the current object --- */

static void start_object(struct kp_json_framer *f, const char *p)
{
	f->next.object++;
	f->place = f->next;
	f->keeping = true;
	f->too_large = false;
	f->start = p;
	f->size = 0;
}

static void forget_object(struct kp_json_framer *f)
{
	f->keeping = false;
	f->size = 0;
}

static void append(struct kp_json_framer *f, const char *data, size_t size)
{
	if (f->too_large || size > KP_OBJECT_MAX_BYTES - f->size) {
		f->too_large = true;
		f->size = 0;
		return;
	}
	if (f->size + size > f->capacity) {
		f->capacity = f->size + size > 2 * f->capacity ? f->size + size : 2 * f->capacity;
		f->buf = kp_xrealloc(f->buf, f->capacity);
	}
	memcpy(f->buf + f->size, data, size);
	f->size += size;
}

/* 'end' is behind the last byte of the object.  One that came in a single piece is not copied. */
static void deliver_object(struct kp_json_framer *f, const char *end)
{
	const char *text = f->start;
	size_t size = end - f->start;

	if (f->size > 0 || f->too_large || size > KP_OBJECT_MAX_BYTES) {
		append(f, f->start, size);
		text = f->buf;
		size = f->size;
	}
	if (f->too_large)
		f->handler.error(f->handler.arg, &f->place, KP_OBJECT_TOO_LARGE);
	else
		f->handler.object(f->handler.arg, &f->place, text, size);
	forget_object(f);
}

static void end_of_chunk(struct kp_json_framer *f, const char *end)
{
	if (f->keeping)
		append(f, f->start, end - f->start);
}

/* --- brackets --- */

static void open_bracket(struct kp_json_framer *f, const char *p)
{
	unsigned int base = f->state == ITEMS ? ITEM_DEPTH : 0;

	if (f->depth == 0) {
		if (*p != '{') {
			fail(f, f->next.line, "JSON: expected an object");
			return;
		}
		f->next.document++;
		f->next.object = 0;
		f->expect_key = true;
		f->is_items = false;
		start_object(f, p);
	} else if (f->state == ITEMS && f->depth == ITEM_DEPTH) {
		start_object(f, p);
	} else if (f->depth == 1 && f->is_items && *p == '[') {
		if (f->state == OBJECT)
			f->next.object = 0;
		f->state = ITEMS;
		forget_object(f);
	}
	if (f->depth - base >= KP_OBJECT_MAX_DEPTH) {
		fail(f, f->next.line, KP_OBJECT_TOO_DEEP);
		return;
	}
	f->open[f->depth++] = *p;
}

static void close_bracket(struct kp_json_framer *f, const char *p)
{
	if (f->depth == 0 || f->open[f->depth - 1] != (*p == '}' ? '{' : '[')) {
		fail(f, f->next.line, *p == '}' ? "JSON: unexpected '}'" : "JSON: unexpected ']'");
		return;
	}
	f->depth--;
	if (f->state == ITEMS && f->depth == ITEM_DEPTH) {
		deliver_object(f, p + 1);
	} else if (f->state == ITEMS && f->depth == 1) {
		f->state = LEFTOVER;
	} else if (f->depth == 0) {
		if (f->state == OBJECT)
			deliver_object(f, p + 1);
		f->state = OBJECT;
	}
}

/* --- bytes --- */

/* Collects keys of the top-level object; longer ones than 'key' are none that matter. */
static void on_key_byte(struct kp_json_framer *f, char c)
{
	if (f->key_len < sizeof(f->key))
		f->key[f->key_len++] = c;
}

static void on_string_byte(struct kp_json_framer *f, char c)
{
	if (f->escaped) {
		f->escaped = false;
	} else if (c == '\\') {
		f->escaped = true;
	} else if (c == '"') {
		f->in_string = false;
		if (f->depth == 1 && f->expect_key)
			f->is_items = f->key_len == 5 && memcmp(f->key, "items", 5) == 0;
		return;
	}
	if (f->depth == 1 && f->expect_key)
		on_key_byte(f, c);
}

/* A byte outside strings that is neither bracket nor white space. */
static void on_other_byte(struct kp_json_framer *f, char c)
{
	if (f->depth == 0) {
		fail(f, f->next.line, "JSON: expected an object");
	} else if (f->state == ITEMS && f->depth == ITEM_DEPTH) {
		if (c != ',')
			fail(f, f->next.line, "JSON: expected an object in items");
	} else if (f->depth == 1 && c == ',') {
		f->expect_key = true;
		f->is_items = false;
	} else if (f->depth == 1 && c == ':') {
		f->expect_key = false;
	} else if (c == '"') {
		f->in_string = true;
		f->key_len = 0;
	}
}

static void on_byte(struct kp_json_framer *f, const char *p)
{
	if (*p == '\n')
		f->next.line++;
	if (f->in_string) {
		on_string_byte(f, *p);
		return;
	}
	switch (*p) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		break;
	case '{':
	case '[':
		open_bracket(f, p);
		break;
	case '}':
	case ']':
		close_bracket(f, p);
		break;
	default:
		on_other_byte(f, *p);
	}
}
