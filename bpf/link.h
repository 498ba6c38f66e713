/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pinned links: what attaches a program to a cgroup and outlives the process. */
#ifndef KPROXY_BPF_LINK_H
#define KPROXY_BPF_LINK_H

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "bpf/place.h"

/* Makes a link run 'program' at the cgroup and pins it at 'path'.  The link that is pinned there,
 * or else the one we hold ('held_fd', -1 for none), is updated in one step, so that every socket
 * meets the old program or the new one.  '*ret_is_new' tells that nothing was pinned or attached.
 * Returns a descriptor of the link, which the caller closes. */
int kp_bpf_link_put(const char *path, int held_fd, const struct bpf_program *program,
		    const struct kp_bpf_cgroup *cgroup, bool *ret_is_new, struct kp_err *err);

/* The link runs this program at the cgroup: nobody detached it or gave it another program. */
bool kp_bpf_link_runs(int fd, uint32_t program_id, const struct kp_bpf_cgroup *cgroup);

#endif
