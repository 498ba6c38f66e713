/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pinned links: what attaches a program to a cgroup and outlives the process. */
#ifndef KPROXY_BPF_LINK_H
#define KPROXY_BPF_LINK_H

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "bpf/place.h"

/* Makes the link that is pinned at 'path' run 'program' at the cgroup.  A link that is there is
 * updated in one step, so that every socket meets the old program or the new one.  Returns 1 when
 * there was none. */
int kp_bpf_link_put(const char *path, const struct bpf_program *program,
		    const struct kp_bpf_cgroup *cgroup, struct kp_err *err);

/* The link pinned at 'path' runs exactly this program at the cgroup. */
bool kp_bpf_link_runs(const char *path, const struct bpf_program *program,
		      const struct kp_bpf_cgroup *cgroup);

#endif
