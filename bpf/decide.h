/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frontends the hooks serve, and which are passed to nft.  This is the only place that knows;
 * docs/bpf.md explains the choices.  Pure. */
#ifndef KPROXY_BPF_DECIDE_H
#define KPROXY_BPF_DECIDE_H

#include "kproxy/plan.h"

enum kp_bpf_decision {
	KP_BPF_HOOKED,	      /* the hooks translate, or refuse where there is no endpoint */
	KP_BPF_PASS_PROTOCOL, /* SCTP sockets have several addresses */
	KP_BPF_PASS_UDP,      /* --bpf-udp=off */
	KP_BPF_PASS_SOURCES,  /* the source address is not known yet at connect() (FW-1) */
	KP_BPF_PASS_AFFINITY, /* nft's record of the client counts for all paths (SA-1) */
	KP_BPF_PASS_DROP,     /* endpoints exist, but none here: nothing may answer (DP-3) */
	KP_BPF_PASS_ICMP      /* no endpoint at all: UDP is answered with ICMP (DP-4) */
};

/* 'hook_udp': the hooks serve UDP. */
enum kp_bpf_decision kp_bpf_decide(const struct kp_vservice *v, const struct kp_frontend *f,
				   bool hook_udp);

/* The endpoints that a process of this node reaches by a frontend (DP-1 to DP-7): of external
 * frontends always the cluster set, whatever their policy. */
const struct kp_endpoint_set *kp_bpf_endpoints(const struct kp_vservice *v,
					       const struct kp_frontend *f);

/* A word or two that say why a frontend is passed; NULL for KP_BPF_HOOKED. */
const char *kp_bpf_decision_reason(enum kp_bpf_decision decision);

#endif
