/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kube-proxy left on this node: finding it, telling it, removing it (CL-1, CL-2).
 *
 * Looking is cheap where there is nothing: names of tables, and of chains where iptables has any.
 */
#ifndef KPROXY_TAKEOVER_LEFTOVERS_H
#define KPROXY_TAKEOVER_LEFTOVERS_H

#include "takeover/table.h"

struct kp_leftovers {
	bool nft_table[KP_N_FAMILIES]; /* of the nftables mode */
	struct kp_kube_table *tables;  /* of iptables, only those with chains of kube-proxy */
	size_t n_tables;
	bool legacy_unread; /* there may be more: the programs of iptables-legacy do not run here */
	bool ipvs_stays;    /* it was in ipvs mode, and only rules were looked for */
	char **ipsets;
	size_t n_ipsets;
	bool device;
	size_t n_virtual_servers; /* whosever they are; never removed */
};

enum kp_leftover_scope {
	KP_LEFT_RULES, /* what handles packets: nf_tables and iptables */
	KP_LEFT_ALL,   /* and what connections through IPVS need as long as they live */
};

/* Looks for what any mode leaves; fills '*ret', which the caller clears also after an error. */
int kp_leftovers_find(enum kp_leftover_scope scope, struct kp_leftovers *ret, struct kp_err *err);
void kp_leftovers_clear(struct kp_leftovers *l);

/* Removes what was found.  Goes on after an error, and returns the first one. */
int kp_leftovers_remove(const struct kp_leftovers *l, struct kp_err *err);

/* How much of each kind goes, and what stays. */
struct kp_leftover_counts {
	size_t tables, chains, rules, ipsets, devices;
	/* Left to the administrator, as in struct kp_leftovers. */
	bool legacy_unread, ipvs_stays;
	size_t virtual_servers;
};

struct kp_leftover_counts kp_leftovers_count(const struct kp_leftovers *l);
bool kp_leftover_counts_are_zero(const struct kp_leftover_counts *counts);

/* One thing that goes, or with 'used_by' one that stays because others use it.  What does not apply
 * is NULL. */
struct kp_leftover {
	const char *kind;    /* "table", "chain", "rule", "ipset", "device" */
	bool is_legacy;	     /* of iptables-legacy, not of nf_tables */
	const char *family;  /* "ip", "ip6" */
	const char *table;   /* of tables, chains, rules */
	const char *chain;   /* of chains, rules */
	const char *target;  /* of rules: where it leads to */
	const char *name;    /* of sets, devices */
	const char *used_by; /* of chains that stay */
};

typedef void (*kp_leftover_fn)(void *arg, const struct kp_leftover *item);
void kp_leftovers_each(const struct kp_leftovers *l, kp_leftover_fn fn, void *arg);

#endif
