/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connected UDP sockets whose endpoint is gone.  A connected socket does not meet the hooks again,
 * so that it would send to nobody for ever; nft mode deletes the conntrack entry instead (CT-1). */
#ifndef KPROXY_BPF_SOCKETS_H
#define KPROXY_BPF_SOCKETS_H

#include <stdbool.h>

#include "bpf/shared.h"
#include "kproxy/err.h"

struct kp_bpf_sockets;

/* Loads the program that lists the records in the map 'records_fd'. */
int kp_bpf_sockets_open(int records_fd, struct kp_bpf_sockets **ret, struct kp_err *err);
void kp_bpf_sockets_close(struct kp_bpf_sockets *sockets);

/* Whether the endpoint of a record left its frontend, while others are there. */
typedef bool kp_bpf_is_stale_fn(void *arg, const struct kp_bpf_record *record);

struct kp_bpf_repointed {
	size_t n_stale, n_moved;
};

/* Connects all stale sockets to their frontends again.  The hook gives them another endpoint; the
 * local port and the peer's name stay, and their programs notice nothing.  A socket that no process
 * has open, or none that we may trace, is left as it is. */
int kp_bpf_sockets_repoint(struct kp_bpf_sockets *sockets, kp_bpf_is_stale_fn *is_stale, void *arg,
			   struct kp_bpf_repointed *ret, struct kp_err *err);

#endif
