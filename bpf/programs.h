/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One generation of programs and maps: loaded, filled, then put in the place of the one before. */
#ifndef KPROXY_BPF_PROGRAMS_H
#define KPROXY_BPF_PROGRAMS_H

#include "bpf/place.h"
#include "bpf/table.h"
#include "kproxy/backend.h"

struct kp_bpf_sizes {
	uint32_t n_frontends, n_endpoints;
};

struct kp_bpf_programs;

/* Loads programs and maps; no socket meets them yet.  What has to outlive a generation, the records
 * of sockets and the counters, is taken over from 'before', the generation that this process has
 * attached, or when that is NULL from the pins.  -EPERM and -EPROTONOSUPPORT tell what is missing.
 */
int kp_bpf_programs_load(const struct kp_hook_settings *settings,
			 const struct kp_bpf_sizes sizes[KP_N_FAMILIES],
			 const struct kp_bpf_programs *before, struct kp_bpf_programs **ret,
			 struct kp_err *err);

/* Attaches to the cgroup in one step for each hook, in the place of whatever generation
 * is there, and pins links and maps, so that they stay when the process ends.  Adds to '*n_new' how
 * many of them were not there before.  Once for each generation. */
int kp_bpf_programs_attach(struct kp_bpf_programs *programs, const struct kp_bpf_programs *before,
			   const struct kp_bpf_cgroup *cgroup, size_t *n_new, struct kp_err *err);

/* Every hook at the cgroup runs the program of this generation, and all is pinned.  It is not after
 * somebody detached or removed something, or another kproxy started. */
bool kp_bpf_programs_are_in_place(const struct kp_bpf_programs *programs,
				  const struct kp_bpf_cgroup *cgroup);

/* Frees the process's part; attached programs go on as long as they are pinned. */
void kp_bpf_programs_free(struct kp_bpf_programs *programs);

/* The memory of a family's maps, valid until the programs are freed. */
const struct kp_bpf_memory *kp_bpf_programs_memory(const struct kp_bpf_programs *programs,
						   enum kp_family family);

/* File descriptors of maps, valid as long: node port addresses, and the records of UDP sockets. */
int kp_bpf_programs_node_addrs(const struct kp_bpf_programs *programs);
int kp_bpf_programs_records(const struct kp_bpf_programs *programs);

#endif
