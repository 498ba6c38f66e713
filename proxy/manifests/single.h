/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a file that holds one object, such as a kubeconfig: YAML, of which JSON is a part. */
#ifndef KPROXY_SINGLE_H
#define KPROXY_SINGLE_H

#include <jansson.h>

#include "decode/framing.h"
#include "kproxy/err.h"

/* The first document of a file of up to 1 MiB.  Keys that come twice are told to 'duplicate' (NULL:
 * they are an error).  The caller owns '*ret'. */
int kp_single_load(const char *path, kp_duplicate_fn *duplicate, void *arg, json_t **ret,
		   struct kp_err *err);

/* The same for text in memory. */
int kp_single_parse(const char *text, size_t size, kp_duplicate_fn *duplicate, void *arg,
		    json_t **ret, struct kp_err *err);

#endif
