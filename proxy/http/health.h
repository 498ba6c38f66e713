/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /healthz: 200 once the kernel is in step with the objects, 503 before. */
#ifndef KPROXY_HEALTH_H
#define KPROXY_HEALTH_H

#include <stdbool.h>
#include <uv.h>

#include "kproxy/err.h"

struct kp_health;

/* Listens on "ADDRESS:PORT" ("[ADDRESS]:PORT" for IPv6) in 'loop'; 'is_healthy' is asked at each
 * request. */
int kp_health_open(const char *address, uv_loop_t *loop, bool (*is_healthy)(const void *arg),
		   const void *arg, struct kp_health **ret, struct kp_err *err);

/* Closes the handle in the loop, which runs once more. */
void kp_health_close(struct kp_health *health);

#endif
