/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connected UDP sockets a plan leaves behind.  Pure. */
#ifndef KPROXY_BPF_STALE_H
#define KPROXY_BPF_STALE_H

#include "bpf/table.h"

/* A UDP service port that the hooks serve lost an endpoint that served, or was not served before:
 * then sockets may be left from an earlier time. */
bool kp_bpf_may_strand_sockets(const struct kp_plan *plan);

/* The endpoint of a connected socket serves its frontend no more, while others do (CT-1, CT-3,
 * CT-6). 'tables' hold what is installed. */
bool kp_bpf_is_stale(struct kp_bpf_table *const tables[KP_N_FAMILIES],
		     const struct kp_bpf_record *record);

#endif
