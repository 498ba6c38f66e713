/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of iptables, as far as it matters for telling what of it was kube-proxy's; pure.
 *
 * iptables is one of two: "nft", whose tables are nftables' own (ip nat, ip filter, ...), or
 * "legacy", with tables of its own in the kernel. */
#ifndef KPROXY_TAKEOVER_TABLE_H
#define KPROXY_TAKEOVER_TABLE_H

#include <stdio.h>
#include <uthash.h>

#include "kproxy/addr.h"

struct kp_kube_chain {
	char *name;
	bool is_kube_proxys;
	bool is_builtin;     /* PREROUTING and the like */
	bool is_read;	     /* for whoever reads rules chain by chain */
	const char *used_by; /* a chain of others that leads here, thus it stays; NULL = goes */
	UT_hash_handle hh;
};

/* A rule that leads to one of kube-proxy's chains. */
struct kp_kube_rule {
	struct kp_kube_chain *chain;  /* the rule is in */
	struct kp_kube_chain *target; /* it leads to */
	uint64_t handle;	      /* nft: the kernel's name of the rule */
	char *text;		      /* legacy: as iptables-save prints it */
};

struct kp_kube_table {
	enum kp_family family;
	bool is_legacy;
	char *name;
	struct kp_kube_chain *chains;
	struct kp_kube_rule *rules;
	size_t n_rules, cap_rules;
};

void kp_kube_table_clear(struct kp_kube_table *table);

/* Adds a chain; before the rules. */
void kp_kube_table_add_chain(struct kp_kube_table *table, const char *name, bool is_builtin);

/* Whether any chain is kube-proxy's.  If not, its rules need not be read. */
bool kp_kube_table_is_concerned(const struct kp_kube_table *table);

/* Adds a rule that leads from 'chain' to 'target' ('text' is taken over, NULL = none).  Rules that
 * have nothing to do with kube-proxy are passed over. */
void kp_kube_table_add_rule(struct kp_kube_table *table, const char *chain, const char *target,
			    uint64_t handle, char *text);

/* Finds the chains that others use, and with them what these lead to, and keeps them.  To be called
 * when all is added. */
void kp_kube_table_settle(struct kp_kube_table *table);

/* The chain goes. */
bool kp_kube_chain_goes(const struct kp_kube_chain *chain);

/* The rule goes by itself, while its chain stays: a jump out of a built-in chain. */
bool kp_kube_rule_goes(const struct kp_kube_rule *rule);

#endif
