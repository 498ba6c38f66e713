/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builders for the expressions that our rules are made of, and the description of set keys that
 * nft needs for listing them.  Byte layouts as nft 1.0.6 makes them. */
#ifndef KPROXY_NFT_EXPR_H
#define KPROXY_NFT_EXPR_H

#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>

#include "nft/layout.h"

struct kp_nft_rule {
	struct nftnl_rule *nl;
	enum kp_family family;
};

/* Matches. */
void kp_expr_key_in_set(struct kp_nft_rule *r, enum kp_nft_set_id set);
void kp_expr_key_not_in_set(struct kp_nft_rule *r, enum kp_nft_set_id set);
void kp_expr_saddr_in(struct kp_nft_rule *r, const struct kp_prefix *prefix, bool negate);
void kp_expr_iifname(struct kp_nft_rule *r, const char *name, bool is_prefix, bool negate);
void kp_expr_saddr_is_local(struct kp_nft_rule *r); /* fib saddr type local */
void kp_expr_daddr_is_local(struct kp_nft_rule *r);
void kp_expr_daddr_not_loopback(struct kp_nft_rule *r);
void kp_expr_l4proto(struct kp_nft_rule *r, uint8_t proto); /* meta l4proto PROTO */
void kp_expr_ct_state_not_new(struct kp_nft_rule *r);	    /* ct state != new */
void kp_expr_ct_status_dnat(struct kp_nft_rule *r);
void kp_expr_mark_is_clear(struct kp_nft_rule *r, uint32_t bit); /* meta mark & BIT == 0 */

/* Statements. */
void kp_expr_verdict(struct kp_nft_rule *r, int verdict, const char *chain);
void kp_expr_mark_set_bit(struct kp_nft_rule *r, uint32_t bit); /* meta mark set meta mark | BIT */
void kp_expr_mark_clear_bit(struct kp_nft_rule *r, uint32_t bit);
void kp_expr_mark_flip_bit(struct kp_nft_rule *r, uint32_t bit); /* meta mark set meta mark ^ BIT */
void kp_expr_masquerade(struct kp_nft_rule *r);			 /* masquerade fully-random */
void kp_expr_reject(struct kp_nft_rule *r, int type, uint8_t code);

/* dnat ip to KEY map @SET, with the slot drawn at random below 'n_slots'. */
void kp_expr_dnat(struct kp_nft_rule *r, enum kp_nft_set_id map, uint32_t n_slots);

/* Session affinity; the packet's priority holds ids (layout.h). */
void kp_expr_affinity_timeout(struct kp_nft_rule *r, uint32_t seconds); /* the service has it */
void kp_expr_priority_has(struct kp_nft_rule *r, uint32_t bits);	/* any of these */
void kp_expr_priority_lacks(struct kp_nft_rule *r, uint32_t bits);	/* all of these */
void kp_expr_priority_reset(struct kp_nft_rule *r);			/* meta priority set none */
void kp_expr_priority_change(struct kp_nft_rule *r, uint32_t and, uint32_t xor);
/* meta priority set KEY map @SET */
void kp_expr_priority_from(struct kp_nft_rule *r, enum kp_nft_set_id map, uint32_t n_slots);
/* update/delete @affinity-clients { ip saddr . meta priority & RECORD timeout N : meta priority }
 */
void kp_expr_affinity_remember(struct kp_nft_rule *r, uint32_t timeout_s);
void kp_expr_affinity_forget(struct kp_nft_rule *r);

/* The number that nft gives the concatenated type of a key. */
uint32_t kp_nft_key_type(enum kp_family family, const uint8_t *fields);

/* The kernel's flags of a set. */
uint32_t kp_nft_set_flags(const struct kp_nft_set_desc *set);

/* The set's user data, from which nft lists "typeof ip daddr . meta l4proto . th dport"; writes at
 * most 'size' bytes and returns how many. */
size_t kp_nft_set_userdata(enum kp_family family, const struct kp_nft_set_desc *set, uint8_t *buf,
			   size_t size);

#endif
