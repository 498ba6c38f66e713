/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a parsed object (jansson) to the model; the only place that reads Kubernetes fields.
 * Manifests and the API client both end here, whatever encoding they read.  Pure. */
#ifndef KPROXY_DECODE_H
#define KPROXY_DECODE_H

#include <jansson.h>

#include "kproxy/model.h"

/* What an object is called, known even when it cannot be decoded. */
struct kp_object_id {
	enum kp_kind kind;
	char *ns; /* "" for cluster-wide kinds; "default" is filled in where none is given */
	char *name;
};

void kp_object_id_clear(struct kp_object_id *id);

enum kp_decode_result {
	KP_DECODED,	   /* *ret holds the object */
	KP_DECODE_SKIP,	   /* one of our kinds, but one that we treat as absent: headless, opt-out
			    * label, FQDN slice, another node, ... 'why' says so */
	KP_DECODE_FOREIGN, /* a kind that we do not know; 'why' names it.  'id' is not set */
	KP_DECODE_BAD,	   /* 'err' names the field and the reason.  'id' is set when the object
			    * has a kind of ours and a name, else id->name is NULL */
};

/* Receives remarks that do not spoil the object: "spec.externalIPs[2]: 'x' is not a plain IP
 * address, ignored". */
typedef void kp_decode_warn_fn(void *arg, const char *text);

struct kp_decode_options {
	const char *node_name;	 /* our own node: decides what is local and which Node is kept */
	kp_decode_warn_fn *warn; /* may be NULL */
	void *warn_arg;
};

/* Decodes one object.  'json' is borrowed and may share subtrees (YAML aliases); unknown fields are
 * ignored, missing ones take the API's defaults.  '*id' is always initialised and owned by the
 * caller; '*ret' only with KP_DECODED; '*why' only with SKIP and FOREIGN.
 *
 * A 'kind' of "List" or "...List" is KP_DECODE_FOREIGN: cutting lists into objects is the reader's
 * work. */
enum kp_decode_result kp_decode_object(const json_t *json, const struct kp_decode_options *options,
				       struct kp_object_id *id, struct kp_object *ret,
				       char why[128], struct kp_err *err);

#endif
