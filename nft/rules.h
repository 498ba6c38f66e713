/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The constant ruleset: every chain with its rules (docs/ruleset.md). */
#ifndef KPROXY_NFT_RULES_H
#define KPROXY_NFT_RULES_H

#include <libnftnl/rule.h>

#include "kproxy/backend.h"
#include "nft/layout.h"

struct kp_nft_chain {
	char name[64];
	const char *type; /* of a base chain: "nat" or "filter"; NULL for others */
	uint32_t hook;	  /* NF_INET_* */
	int32_t priority;
	size_t n_rules;
	struct nftnl_rule **rules;
};

struct kp_nft_chains {
	size_t n;
	struct kp_nft_chain *items;
};

/* Builds the chains of a family's table.  Rules jump to chains in any order: all chains have to
 * be there before the first rule. */
void kp_nft_chains_build(enum kp_family family, const struct kp_settings *settings,
			 struct kp_nft_chains *ret);

void kp_nft_chains_clear(struct kp_nft_chains *chains);

/* NFPROTO_IPV4 or NFPROTO_IPV6. */
uint32_t kp_nft_family(enum kp_family family);

#endif
