/* SPDX-License-Identifier: GPL-2.0-or-later */
/* By their names one tells kube-proxy's objects from the kubelet's, from network policies and from
 * everything else, which is never touched (CL-2). */
#ifndef KPROXY_TAKEOVER_NAMES_H
#define KPROXY_TAKEOVER_NAMES_H

#include <stdbool.h>

/* The table of kube-proxy's nftables mode, in the families ip and ip6. */
#define KP_KUBE_PROXY_TABLE "kube-proxy"

/* The device of its ipvs mode. */
#define KP_KUBE_PROXY_DEVICE "kube-ipvs0"

/* A chain of its iptables or ipvs mode, of any version. */
bool kp_is_kube_proxy_chain(const char *name);

/* A set of its ipvs mode. */
bool kp_is_kube_proxy_ipset(const char *name);

/* The tables of iptables in which it has chains. */
bool kp_has_kube_proxy_chains(const char *table);

#endif
