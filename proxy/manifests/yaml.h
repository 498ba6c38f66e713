/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads Kubernetes objects from a YAML stream, one at a time.
 *
 * A document is an object, or a list whose "items" are objects.  What is found goes to the sink:
 *
 * - an object that is too large or uses what we refuse (duplicate keys that the sink
 *   does not want to know of, the merge key "<<", an
 *   alias inside its own anchor) costs that object,
 * - a syntax error, or nesting deeper than KP_OBJECT_MAX_DEPTH, costs the rest of its document.
 *
 * Plain scalars follow YAML 1.2's core schema as far as JSON goes: null, true, false, decimal
 * numbers; all else is text.  So is 0080, which some read as octal.  An alias shares what its
 * anchor built but counts in full for the size of the object, so nothing built from aliases is
 * larger to walk than to read.
 *
 * metadata.managedFields, usually the larger part of an object, is never built. */
#ifndef KPROXY_YAML_H
#define KPROXY_YAML_H

#include "decode/framing.h"
#include "kproxy/err.h"
#include "manifests/documents.h"

/* Returns 0 when the stream was read to its end, whatever was in it; else the error of 'read'. */
int kp_yaml_read(kp_read_fn *read, void *read_arg, const struct kp_object_sink *sink,
		 struct kp_err *err);

#endif
