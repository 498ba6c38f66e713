/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Only one kproxy at a time changes the rules of a network namespace.
 *
 * It holds a name among the abstract unix sockets.  These belong to the network namespace, also
 * across containers, and the kernel gives the name back when the process ends, however it ends. */
#ifndef KPROXY_GUARD_H
#define KPROXY_GUARD_H

#include <uv.h>

#include "kproxy/err.h"

struct kp_guard;

/* Takes the guard, and waits up to 'wait_ms' for the process that has it to end.  -EBUSY with its
 * pid when it does not.
 *
 * Any user can take the name, so only a process of root or of our own user is believed.  In the
 * face of another one, and where there are no such sockets, it is logged that there is no guard,
 * and
 * '*ret' is NULL. */
int kp_guard_take(int64_t wait_ms, struct kp_guard **ret, struct kp_err *err);

/* Answers those who want to know who has the guard.  kp_guard_stop() closes the handle in the loop,
 * which runs once more.  Both accept NULL. */
void kp_guard_serve(struct kp_guard *guard, uv_loop_t *loop);
void kp_guard_stop(struct kp_guard *guard);

/* The last thing to do.  Accepts NULL. */
void kp_guard_release(struct kp_guard *guard);

#endif
