/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all readers of object streams share: limits, places, and where objects are delivered. */
#ifndef KPROXY_FRAMING_H
#define KPROXY_FRAMING_H

#include <jansson.h>

/* The API server's own limit for a request. */
#define KP_OBJECT_MAX_BYTES ((size_t)3 << 20)
#define KP_OBJECT_TOO_LARGE "larger than 3 MiB"

/* Kubernetes objects are about 15 levels deep; readers and jansson recurse. */
#define KP_OBJECT_MAX_DEPTH 100
#define KP_OBJECT_TOO_DEEP "nested deeper than 100 levels"

/* Where something stands in a stream; everything counts from 1. */
struct kp_place {
	unsigned int document; /* YAML document, or JSON value at the top level */
	unsigned int object;   /* in its document or list; 0: the document itself */
	unsigned int line;
};

/* Is told of a key that comes twice in the same mapping. */
typedef void kp_duplicate_fn(void *arg, const struct kp_place *place, const char *key);

/* Receives what a reader finds, in the order of the stream. */
struct kp_object_sink {
	/* 'json' is borrowed.  It may be anything but null, not only an object. */
	void (*object)(void *arg, const struct kp_place *place, const json_t *json);

	/* Something could not be read.  place->object is 0 when it costs the rest of the document
	 * and not only one object. */
	void (*error)(void *arg, const struct kp_place *place, const char *reason);

	/* Of YAML: a key that came before; the later value counts.  NULL: that is an error. */
	kp_duplicate_fn *duplicate;

	void *arg;
};

#endif
