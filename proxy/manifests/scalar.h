/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a plain YAML scalar means. */
#ifndef KPROXY_SCALAR_H
#define KPROXY_SCALAR_H

#include <jansson.h>

/* A new reference.  'text' is valid UTF-8 and NUL-terminated. */
json_t *kp_scalar_resolve(const char *text, size_t size);

#endif
