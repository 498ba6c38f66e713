/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kproxy --check: does the API server let us do our work, and if not, what is to be done? */
#ifndef KPROXY_API_CHECK_H
#define KPROXY_API_CHECK_H

#include "api/config.h"

/* Prints a line for each thing that is tried.  'config' is borrowed.  0 when all is well, -EPROTO
 * when something is missing. */
int kp_api_check(const struct kp_api_config *config, const char *node_name, struct kp_err *err);

#endif
