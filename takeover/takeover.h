/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking over from kube-proxy: its rules go as soon as ours are in place. */
#ifndef KPROXY_TAKEOVER_H
#define KPROXY_TAKEOVER_H

#include "takeover/leftovers.h"

/* Removes what kube-proxy left, and tells what that was.  When others change something meanwhile it
 * is tried again. */
int kp_takeover(enum kp_leftover_scope scope, struct kp_leftover_counts *ret, struct kp_err *err);

/* The same, and logs what went and what is left to the administrator (CL-1, CL-2). */
int kp_takeover_and_tell(enum kp_leftover_scope scope, struct kp_err *err);

#endif
