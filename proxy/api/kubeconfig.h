/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a kubeconfig (YAML or JSON).
 *
 * Only the current context, its cluster and its user are looked at closely.  What they ask for and
 * we do not support is an error that names it; it is never dropped silently. */
#ifndef KPROXY_KUBECONFIG_H
#define KPROXY_KUBECONFIG_H

#include <jansson.h>

#include "api/config.h"

/* 'ret' belongs to the caller. */
int kp_kubeconfig_load(const char *path, struct kp_api_config *ret, struct kp_err *err);

/* The same for what was parsed already; names of files are relative to 'directory'.  Pure. */
int kp_kubeconfig_parse(const json_t *json, const char *directory, struct kp_api_config *ret,
			struct kp_err *err);

#endif
