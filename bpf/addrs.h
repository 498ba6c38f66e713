/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node's own addresses that serve node ports, in the map of the programs. */
#ifndef KPROXY_BPF_ADDRS_H
#define KPROXY_BPF_ADDRS_H

#include "kproxy/plan.h"

/* Brings the map in step with the addresses of the interfaces now (NP-3).  Loopback addresses serve
 * the sockets of the node when a range holds them: no packet is on its way, so that nothing like
 * route_localnet is needed. */
int kp_bpf_addrs_sync(int map_fd, const struct kp_facts *facts, struct kp_err *err);

/* A descriptor that becomes readable when addresses come or go; the caller closes it.  -errno. */
int kp_bpf_addrs_watch(void);

/* Reads it; true when there was something. */
bool kp_bpf_addrs_changed(int watch_fd);

#endif
