/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the hooks go: the root of the cgroup2 tree, and the directory of pins. */
#ifndef KPROXY_BPF_PLACE_H
#define KPROXY_BPF_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "kproxy/err.h"

/* Below the bpf file system. */
#define KP_BPF_DIRECTORY "kproxy"

struct kp_bpf_cgroup {
	int fd;
	uint64_t id;
};

/* Opens the cgroup at 'path'; with NULL, the root of the first cgroup2 mount.  A cgroup that is not
 * the root of the whole tree is only accepted when it was asked for: its own processes alone would
 * be served.  The caller closes 'ret->fd'. */
int kp_bpf_open_cgroup(const char *path, struct kp_bpf_cgroup *ret, struct kp_err *err);

/* Makes sure that 'root' is a bpf file system, mounting one where there is none, and that our
 * directory exists there. */
int kp_bpf_make_directory(const char *root, struct kp_err *err);

/* Pins 'fd' at 'path', in place of what is there: readers find one or the other at any time. */
int kp_bpf_pin(int fd, const char *path, struct kp_err *err);

/* How many pins are in our directory. */
size_t kp_bpf_count_pins(const char *root);

/* Removes our directory with all that is pinned in it: the hooks go with the last pin.  Nothing
 * there is no error. */
int kp_bpf_remove_directory(const char *root, struct kp_err *err);

#endif
