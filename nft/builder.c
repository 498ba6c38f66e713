/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/builder.h"

#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t kp_nft_family(enum kp_family family)
{
	return family == KP_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

struct kp_nft_chain *kp_nft_build_chain(struct kp_nft_builder *b, const char *prefix,
					const char *name)
{
	struct kp_nft_chains *chains = b->out;
	struct kp_nft_chain *chain;

	chains->items = kp_xrealloc(chains->items, (chains->n + 1) * sizeof(*chains->items));
	chain = &chains->items[chains->n++];
	memset(chain, 0, sizeof(*chain));
	snprintf(chain->name, sizeof(chain->name), "%s%s", prefix, name);
	return chain;
}

struct kp_nft_rule kp_nft_build_rule(struct kp_nft_builder *b)
{
	struct kp_nft_chain *chain = &b->out->items[b->out->n - 1];
	struct kp_nft_rule r = {.nl = nftnl_rule_alloc(), .family = b->family};

	if (!r.nl)
		abort();
	nftnl_rule_set_u32(r.nl, NFTNL_RULE_FAMILY, kp_nft_family(b->family));
	nftnl_rule_set_str(r.nl, NFTNL_RULE_TABLE, KP_NFT_TABLE);
	nftnl_rule_set_str(r.nl, NFTNL_RULE_CHAIN, chain->name);
	chain->rules = kp_xrealloc(chain->rules, (chain->n_rules + 1) * sizeof(*chain->rules));
	chain->rules[chain->n_rules++] = r.nl;
	return r;
}

void kp_nft_build_base_chain(struct kp_nft_builder *b, const char *name, const char *type,
			     uint32_t hook, int32_t priority)
{
	struct kp_nft_chain *chain = kp_nft_build_chain(b, "", name);

	chain->type = type;
	chain->hook = hook;
	chain->priority = priority;
	chain->policy = NF_ACCEPT;
}

void kp_nft_build_verdict(struct kp_nft_builder *b, int verdict, const char *prefix,
			  const char *chain)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);
	char name[64];

	snprintf(name, sizeof(name), "%s%s", prefix, chain);
	kp_expr_verdict(&r, verdict, name);
}

void kp_nft_build_key_verdict(struct kp_nft_builder *b, enum kp_nft_set_id set, int verdict,
			      const char *chain)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	kp_expr_key_in_set(&r, set);
	kp_expr_verdict(&r, verdict, chain);
}

void kp_nft_chains_clear(struct kp_nft_chains *chains)
{
	for (size_t i = 0; i < chains->n; i++) {
		for (size_t j = 0; j < chains->items[i].n_rules; j++)
			nftnl_rule_free(chains->items[i].rules[j]);
		free(chains->items[i].rules);
	}
	free(chains->items);
	memset(chains, 0, sizeof(*chains));
}
