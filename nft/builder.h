/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chains with their rules, made one after the other. */
#ifndef KPROXY_NFT_BUILDER_H
#define KPROXY_NFT_BUILDER_H

#include "nft/expr.h"
#include "nft/rules.h"

struct kp_nft_builder {
	enum kp_family family;
	const struct kp_settings *settings;
	const struct kp_nft_features *features;
	struct kp_nft_chains *out;
};

/* Begins a chain, whose name starts with 'prefix'; rules go into the last one begun. */
struct kp_nft_chain *kp_nft_build_chain(struct kp_nft_builder *b, const char *prefix,
					const char *name);
void kp_nft_build_base_chain(struct kp_nft_builder *b, const char *name, const char *type,
			     uint32_t hook, int32_t priority);

/* Adds an empty rule. */
struct kp_nft_rule kp_nft_build_rule(struct kp_nft_builder *b);

/* goto CHAIN / jump CHAIN */
void kp_nft_build_verdict(struct kp_nft_builder *b, int verdict, const char *prefix,
			  const char *chain);

/* KEY @SET goto CHAIN; 'chain' is NULL for verdicts that name none. */
void kp_nft_build_key_verdict(struct kp_nft_builder *b, enum kp_nft_set_id set, int verdict,
			      const char *chain);

#endif
