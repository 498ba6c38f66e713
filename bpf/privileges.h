/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which capabilities the socket hooks need, and which of them this process lacks. */
#ifndef KPROXY_BPF_PRIVILEGES_H
#define KPROXY_BPF_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>

enum {
	KP_PRIVILEGES_SIZE = 64
};

/* Writes those that loading and attaching the hooks needs and that are not there, as in
 * "CAP_BPF, CAP_PERFMON".  False when all are there. */
bool kp_privileges_missing_for_hooks(char ret[KP_PRIVILEGES_SIZE]);

/* The same for moving connected UDP sockets of other processes to other endpoints. */
bool kp_privileges_missing_for_sockets(char ret[KP_PRIVILEGES_SIZE]);

#endif
