/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket hooks as a data path of their own: they hold what they serve (bpf/decide.h) and no
 * more. bpf/hybrid.h puts nft underneath. */
#ifndef KPROXY_BPF_BACKEND_H
#define KPROXY_BPF_BACKEND_H

#include "kproxy/backend.h"

struct kp_bpf;

/* Finds the cgroup; changes nothing. */
int kp_bpf_open(const struct kp_hook_settings *settings, struct kp_bpf **ret, struct kp_err *err);

/* Accepts NULL; the hooks stay. */
void kp_bpf_close(struct kp_bpf *bpf);

/* Carries a plan out.  A full one makes new maps, and new programs take the place of the old ones;
 * an incremental one changes the maps, and does the same only when they are full.  After an error
 * the hooks may be wrong: remove them.  Adds to 'stats->n_ops' what had to be attached or pinned.
 */
int kp_bpf_apply(struct kp_bpf *bpf, const struct kp_plan *plan, struct kp_apply_stats *stats,
		 struct kp_err *err);

/* Addresses of the node came or went: the hooks serve node ports where they are now. */
void kp_bpf_follow_addrs(struct kp_bpf *bpf);

/* The hooks are attached and pinned as the last plan left them. */
bool kp_bpf_is_in_place(const struct kp_bpf *bpf);

/* The maps were full and could not grow: what did not fit is left to nft until the next full plan.
 */
bool kp_bpf_is_overfull(const struct kp_bpf *bpf);

/* Larger maps can be made by now. */
bool kp_bpf_can_grow(const struct kp_bpf *bpf);

#endif
