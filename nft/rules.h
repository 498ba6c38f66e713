/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The constant ruleset: every chain with its rules (docs/ruleset.md). */
#ifndef KPROXY_NFT_RULES_H
#define KPROXY_NFT_RULES_H

#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>

#include "kproxy/backend.h"
#include "nft/layout.h"

struct kp_nft_chain {
	char name[NFT_NAME_MAXLEN];
	const char *type; /* of a base chain: "nat" or "filter"; NULL for others */
	uint32_t hook;	  /* NF_INET_* */
	int32_t priority;
	uint32_t policy; /* NF_ACCEPT */
	size_t n_rules;
	struct nftnl_rule **rules;
};

struct kp_nft_chains {
	size_t n;
	struct kp_nft_chain *items;
};

/* Features that cost something even when no Service uses them, so that their chains are there only
 * when one does. */
struct kp_nft_features {
	bool guards; /* source ranges: two more hooks */
	bool local;  /* traffic policy Local */
	size_t n_timeouts;
	uint32_t *timeouts_s; /* of session affinity: the different ones, sorted */
};

void kp_nft_features_clear(struct kp_nft_features *features);

/* Adds what a virtual service needs; true when that was new. */
bool kp_nft_features_add(struct kp_nft_features *features, const struct kp_vservice *v);

/* Builds the chains of a family's table.  Rules jump to chains in any order: all chains have to
 * be there before the first rule. */
void kp_nft_chains_build(enum kp_family family, const struct kp_settings *settings,
			 const struct kp_nft_features *features, struct kp_nft_chains *ret);

void kp_nft_chains_clear(struct kp_nft_chains *chains);

/* NFPROTO_IPV4 or NFPROTO_IPV6. */
uint32_t kp_nft_family(enum kp_family family);

#endif
