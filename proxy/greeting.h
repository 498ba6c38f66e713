/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first lines of a daemon's log: what starts, and on what (docs/logs.md). */
#ifndef KPROXY_GREETING_H
#define KPROXY_GREETING_H

#include "options/options.h"

/* Version, mode, node. */
void kp_greet(const struct kp_options *options);

/* What the kernel has of what we use, and what that means where it lacks something.  For after
 * nf_tables was opened, without which nothing goes. */
void kp_greet_kernel(const struct kp_options *options);

#endif
