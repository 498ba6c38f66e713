/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The places in which kube-proxy leaves something.  Each can add what it finds, and remove it. */
#ifndef KPROXY_TAKEOVER_SOURCES_H
#define KPROXY_TAKEOVER_SOURCES_H

#include "takeover/leftovers.h"

/* nf_tables: the tables of the nftables mode, and chains of iptables-nft. */
int kp_kube_nft_find(struct kp_leftovers *l, struct kp_err *err);
int kp_kube_nft_remove(const struct kp_leftovers *l, struct kp_err *err);

/* Chains of iptables-legacy, with the help of its own programs. */
void kp_kube_legacy_find(struct kp_leftovers *l);
int kp_kube_legacy_remove(const struct kp_leftovers *l, struct kp_err *err);

/* The ipvs mode: sets, device, virtual servers.  Sets can be removed after the rules that use them.
 */
int kp_kube_ipvs_find(struct kp_leftovers *l, struct kp_err *err);
int kp_kube_ipvs_remove(const struct kp_leftovers *l, struct kp_err *err);

/* Appends an empty table. */
struct kp_kube_table *kp_leftovers_add_table(struct kp_leftovers *l, enum kp_family family,
					     bool is_legacy, const char *name);

/* Takes the last table off again when nothing in it is kube-proxy's. */
void kp_leftovers_drop_unconcerned(struct kp_leftovers *l);

#endif
