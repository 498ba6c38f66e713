/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small state machine over the bytes of the stream.
 *
 * What is open is a stack of brackets.  An object to deliver starts at depth 0 (a top-level object)
 * or at depth 2 (an element of "items").  As a list cannot be told from an object before its
 * "items" comes, every top-level object is kept as one until then; what was kept becomes the
 * beginning of the list's envelope. */
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

/* Text that arrives in several chunks. */
struct piece {
	bool too_large;
	char *buf;
	size_t size, capacity;
};

struct kp_json_framer {
	struct kp_json_framer_handler handler;
	enum state state;
	struct kp_place next;  /* document and object of what comes next, and the current line */
	struct kp_place place; /* where the current object started */

	unsigned int depth;
	char open[MAX_OPEN]; /* '{' or '[' */
	bool in_string, escaped;

	/* The last string's beginning as it is written, to recognise keys. */
	char text[16];
	unsigned int text_len;
	bool after_colon;	   /* that string was a key, and its value comes next */
	bool expect_key, is_items; /* the last key of a top-level object is "items" */

	unsigned int unused_depth; /* inside a value that is left out: its depth, else 0 */

	struct piece object;   /* the current object */
	struct piece envelope; /* the current list without its items */

	/* The piece that the bytes from 'start' belong to; NULL: to none. */
	struct piece *keeping;
	const char *start;
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
	free(f->object.buf);
	free(f->envelope.buf);
	free(f);
}

/* The inside of strings is most of the stream, and only these bytes matter there. */
static const char *skip_string(const char *p, const char *end)
{
	while (p < end && *p != '"' && *p != '\\' && *p != '\n')
		p++;
	return p;
}

static void note_text(struct kp_json_framer *f, const char *text, size_t size)
{
	size_t room = sizeof(f->text) - f->text_len;

	if (size > room)
		size = room;
	memcpy(f->text + f->text_len, text, size);
	f->text_len += size;
}

static bool text_is(const struct kp_json_framer *f, const char *expected)
{
	return f->text_len == strlen(expected) && memcmp(f->text, expected, f->text_len) == 0;
}

int kp_json_framer_feed(struct kp_json_framer *f, const char *data, size_t size)
{
	const char *end = data + size;

	if (f->state == BROKEN)
		return -EBADMSG;
	f->start = data;
	for (const char *p = data; p < end; p++) {
		if (f->in_string && !f->escaped) {
			const char *from = p;

			p = skip_string(p, end);
			note_text(f, from, p - from);
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
	f->keeping = NULL;
	f->handler.error(f->handler.arg, &place, reason);
}

/* --- what is kept --- */

static void append(struct piece *piece, const char *data, size_t size)
{
	if (piece->too_large || size > KP_OBJECT_MAX_BYTES - piece->size) {
		piece->too_large = true;
		piece->size = 0;
		return;
	}
	if (piece->size + size > piece->capacity) {
		piece->capacity = piece->size + size > 2 * piece->capacity ? piece->size + size
									   : 2 * piece->capacity;
		piece->buf = kp_xrealloc(piece->buf, piece->capacity);
	}
	memcpy(piece->buf + piece->size, data, size);
	piece->size += size;
}

/* The bytes from 'p' on belong to 'piece'. */
static void keep_from(struct kp_json_framer *f, struct piece *piece, const char *p)
{
	f->keeping = piece;
	f->start = p;
}

/* The bytes up to 'end' have been the last ones for now. */
static void keep_until(struct kp_json_framer *f, const char *end)
{
	if (f->keeping)
		append(f->keeping, f->start, end - f->start);
	f->keeping = NULL;
}

static void end_of_chunk(struct kp_json_framer *f, const char *end)
{
	if (f->keeping)
		append(f->keeping, f->start, end - f->start);
}

static void start_object(struct kp_json_framer *f, const char *p)
{
	f->next.object++;
	f->place = f->next;
	f->object.too_large = false;
	f->object.size = 0;
	keep_from(f, &f->object, p);
}

/* 'end' is behind the last byte of the object.  One that came in a single piece is not copied. */
static void deliver_object(struct kp_json_framer *f, const char *end)
{
	const char *text = f->start;
	size_t size = end - f->start;

	if (f->object.size > 0 || f->object.too_large || size > KP_OBJECT_MAX_BYTES) {
		append(&f->object, f->start, size);
		text = f->object.buf;
		size = f->object.size;
	}
	f->keeping = NULL;
	if (f->object.too_large)
		f->handler.error(f->handler.arg, &f->place, KP_OBJECT_TOO_LARGE);
	else
		f->handler.object(f->handler.arg, &f->place, text, size);
}

/* What was kept as an object is the beginning of a list; 'p' is the bracket that opens its items.
 */
static void start_items(struct kp_json_framer *f, const char *p)
{
	if (f->state == OBJECT) {
		struct piece unused = f->envelope;

		f->next.object = 0;
		keep_until(f, p + 1);
		f->envelope = f->object;
		f->object = unused;
	} else {
		keep_until(f, p + 1);
	}
	f->state = ITEMS;
}

static void deliver_envelope(struct kp_json_framer *f, const char *end)
{
	struct kp_place place = {.document = f->next.document, .line = f->next.line};

	keep_until(f, end);
	if (f->envelope.too_large)
		f->handler.error(f->handler.arg, &place, KP_OBJECT_TOO_LARGE);
	else if (f->handler.list)
		f->handler.list(f->handler.arg, &place, f->envelope.buf, f->envelope.size);
}

/* --- what is left out --- */

/* Together more than half of an object.  No other fields of these names are lists or objects,
 * wherever they stand; a label may have such a name, but its value is text. */
static bool is_unused(const struct kp_json_framer *f)
{
	return f->after_colon && (text_is(f, "managedFields") || text_is(f, "ownerReferences") ||
				  text_is(f, "targetRef"));
}

/* 'p' is the bracket that opens a value. */
static void start_unused(struct kp_json_framer *f, const char *p)
{
	if (f->unused_depth > 0 || f->keeping != &f->object || !is_unused(f))
		return;
	f->unused_depth = f->depth + 1;
	keep_until(f, p + 1);
}

static void end_unused(struct kp_json_framer *f, const char *p)
{
	if (f->unused_depth == 0 || f->depth != f->unused_depth - 1)
		return;
	f->unused_depth = 0;
	keep_from(f, &f->object, p);
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
		start_items(f, p);
	} else {
		start_unused(f, p);
	}
	if (f->depth - base >= KP_OBJECT_MAX_DEPTH) {
		fail(f, f->next.line, KP_OBJECT_TOO_DEEP);
		return;
	}
	f->open[f->depth++] = *p;
	f->after_colon = false;
}

static void close_bracket(struct kp_json_framer *f, const char *p)
{
	if (f->depth == 0 || f->open[f->depth - 1] != (*p == '}' ? '{' : '[')) {
		fail(f, f->next.line, *p == '}' ? "JSON: unexpected '}'" : "JSON: unexpected ']'");
		return;
	}
	f->depth--;
	f->after_colon = false;
	end_unused(f, p);
	if (f->state == ITEMS && f->depth == ITEM_DEPTH) {
		deliver_object(f, p + 1);
	} else if (f->state == ITEMS && f->depth == 1) {
		f->state = LEFTOVER;
		keep_from(f, &f->envelope, p);
	} else if (f->depth == 0) {
		if (f->state == OBJECT)
			deliver_object(f, p + 1);
		else
			deliver_envelope(f, p + 1);
		f->state = OBJECT;
	}
}

/* --- bytes --- */

static void on_string_byte(struct kp_json_framer *f, const char *p)
{
	if (f->escaped) {
		f->escaped = false;
	} else if (*p == '\\') {
		f->escaped = true;
	} else if (*p == '"') {
		f->in_string = false;
		if (f->depth == 1 && f->expect_key)
			f->is_items = text_is(f, "items");
		return;
	}
	note_text(f, p, 1);
}

/* A byte outside strings that is neither bracket nor white space. */
static void on_other_byte(struct kp_json_framer *f, char c)
{
	f->after_colon = c == ':';
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
		f->text_len = 0;
	}
}

static void on_byte(struct kp_json_framer *f, const char *p)
{
	if (*p == '\n')
		f->next.line++;
	if (f->in_string) {
		on_string_byte(f, p);
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
