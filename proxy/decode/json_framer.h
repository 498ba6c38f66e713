/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cuts objects out of a stream of JSON text as it arrives.
 *
 * Each element of a top-level object's array "items" is an object; the list round it is delivered
 * after them, with its items left out.  A top-level object without such an array is one object
 * itself.  Any number of them may follow one another, with or without white space between.
 * Large fields that no decoder reads are left out: managedFields, ownerReferences and targetRef are
 * delivered empty.
 *
 * Only strings and brackets are looked at: whether an object is valid JSON is for its parser to
 * say.  Memory: at most one object and one list without items, each of KP_OBJECT_MAX_BYTES.  A
 * larger one is reported and passed over. */
#ifndef KPROXY_JSON_FRAMER_H
#define KPROXY_JSON_FRAMER_H

#include "decode/framing.h"

struct kp_json_framer;

struct kp_json_framer_handler {
	/* 'text' is not NUL-terminated and borrowed. */
	void (*object)(void *arg, const struct kp_place *place, const char *text, size_t size);

	/* The end of a list: its text with the items left out.  May be NULL. */
	void (*list)(void *arg, const struct kp_place *place, const char *text, size_t size);

	/* place->object is 0 when nothing more can be read from the stream. */
	void (*error)(void *arg, const struct kp_place *place, const char *reason);

	void *arg;
};

/* 'handler' is copied. */
struct kp_json_framer *kp_json_framer_new(const struct kp_json_framer_handler *handler);
void kp_json_framer_free(struct kp_json_framer *framer);

/* Takes the next bytes and calls the handler for each object that they complete.  -EBADMSG once the
 * stream has turned out to be broken: it was reported, and further bytes are ignored. */
int kp_json_framer_feed(struct kp_json_framer *framer, const char *data, size_t size);

/* The stream has ended: reports an object that is not complete, with -EBADMSG. */
int kp_json_framer_finish(struct kp_json_framer *framer);

#endif
