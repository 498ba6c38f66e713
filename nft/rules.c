/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is not plain from the builder's name stands above a rule as nft writes it; CAPITALS are
 * explained in docs/ruleset.md. */
#include "nft/rules.h"

#include <linux/netfilter.h>
#include <stdio.h>

#include "nft/balance.h"

/* Netfilter's usual priorities. */
enum {
	PRIO_DSTNAT = -100,
	PRIO_FILTER = 0,
	PRIO_SRCNAT = 100
};

/* ct state != new accept: one rule is all that packets of established flows meet. */
static void add_accept_established(struct kp_nft_builder *b)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	kp_expr_ct_state_not_new(&r);
	kp_expr_verdict(&r, NF_ACCEPT, NULL);
}

/* Without a way to tell pods from others, nobody counts as one (LD-1). */
static bool knows_pods(const struct kp_nft_builder *b)
{
	return b->settings->detect != KP_DETECT_RANGE || b->settings->has_pod_range[b->family];
}

/* Appends the match of a pod's packet, or of any other's. */
static void match_pod(const struct kp_nft_builder *b, struct kp_nft_rule *r, bool negate)
{
	const struct kp_settings *s = b->settings;

	if (s->detect == KP_DETECT_RANGE)
		kp_expr_saddr_in(r, &s->pod_range[b->family], negate);
	else
		kp_expr_iifname(r, s->pod_interface, s->detect == KP_DETECT_INTERFACE_PREFIX,
				negate);
}

/* What is left when no policy Local holds. */
static void add_masqueraded_balance(struct kp_nft_builder *b, const char *prefix)
{
	kp_nft_build_verdict(b, NFT_JUMP, "", "mark-for-masquerade");
	kp_nft_build_verdict(b, NFT_GOTO, prefix, "balance");
}

/* chain external: with policy Cluster everyone is masqueraded (DP-5). */
static void chain_external(struct kp_nft_builder *b, const char *prefix, enum kp_nft_set_id local)
{
	char chain[64];

	kp_nft_build_chain(b, prefix, "external");
	if (b->features->local) {
		/* FRONTEND @external-local-services goto external-local */
		snprintf(chain, sizeof(chain), "%sexternal-local", prefix);
		kp_nft_build_key_verdict(b, local, NFT_GOTO, chain);
	}
	add_masqueraded_balance(b, prefix);
}

/* chain external-local: pods and the node itself reach all endpoints, others the local ones (DP-6,
 * DP-7, DP-10). */
static void chain_external_local(struct kp_nft_builder *b, const char *prefix,
				 const char *local_prefix, enum kp_nft_set_id set)
{
	char balance[64];
	struct kp_nft_rule r;

	snprintf(balance, sizeof(balance), "%sbalance", prefix);
	kp_nft_build_chain(b, prefix, "external-local");
	if (knows_pods(b)) {
		/* ip saddr PODS goto balance */
		r = kp_nft_build_rule(b);
		match_pod(b, &r, false);
		kp_expr_verdict(&r, NFT_GOTO, balance);
	}
	/* fib saddr type local jump mark-for-masquerade */
	r = kp_nft_build_rule(b);
	kp_expr_saddr_is_local(&r);
	kp_expr_verdict(&r, NFT_JUMP, "mark-for-masquerade");
	/* fib saddr type local goto balance */
	r = kp_nft_build_rule(b);
	kp_expr_saddr_is_local(&r);
	kp_expr_verdict(&r, NFT_GOTO, balance);
	kp_nft_build_verdict(b, NFT_JUMP, local_prefix, "balance");
	/* FRONTEND @external-local-services accept: no endpoints, to be dropped.  Otherwise the
	 * policy has changed since it was looked up. */
	kp_nft_build_key_verdict(b, set, NF_ACCEPT, NULL);
	add_masqueraded_balance(b, prefix);
}

/* chain cluster-local: the same for policy KP_POLICY_INTERNAL_LOCAL (DP-2, DP-3). */
static void chain_cluster_local(struct kp_nft_builder *b)
{
	kp_nft_build_chain(b, "", "cluster-local");
	kp_nft_build_verdict(b, NFT_JUMP, "local-", "balance");
	kp_nft_build_key_verdict(b, KP_SET_INTERNAL_LOCAL, NF_ACCEPT, NULL);
	kp_nft_build_verdict(b, NFT_GOTO, "", "balance");
}

/* chain cluster: clients of a cluster IP are masqueraded unless they are pods (DP-1, DP-2). */
static void chain_cluster(struct kp_nft_builder *b)
{
	struct kp_nft_rule r;

	kp_nft_build_chain(b, "", "cluster");
	if (b->settings->masquerade_all) {
		kp_nft_build_verdict(b, NFT_JUMP, "", "mark-for-masquerade");
	} else if (knows_pods(b)) {
		/* ip saddr != PODS jump mark-for-masquerade */
		r = kp_nft_build_rule(b);
		match_pod(b, &r, true);
		kp_expr_verdict(&r, NFT_JUMP, "mark-for-masquerade");
	}
	if (!b->features->local) {
		kp_nft_build_verdict(b, NFT_GOTO, "", "balance");
		return;
	}
	/* FRONTEND @internal-local-services goto cluster-local */
	kp_nft_build_key_verdict(b, KP_SET_INTERNAL_LOCAL, NFT_GOTO, "cluster-local");
	/* What comes back from 'balance' met a change of the policy, or a reject. */
	kp_nft_build_verdict(b, NFT_JUMP, "", "balance");
	kp_nft_build_verdict(b, NFT_GOTO, "local-", "balance");
}

/* Appends the match of a node port: an address of the node, within the ranges, not loopback (NP-1,
 * NP-2). */
static void match_nodeport(struct kp_nft_rule *r, enum kp_nft_set_id set)
{
	kp_expr_key_in_set(r, KP_SET_NODEPORT_IPS);
	kp_expr_daddr_is_local(r);
	kp_expr_daddr_not_loopback(r);
	kp_expr_key_in_set(r, set);
}

/* NODE-PORT-ADDRESS NODEPORT @SET goto CHAIN */
static void add_nodeport_verdict(struct kp_nft_builder *b, enum kp_nft_set_id set, int verdict,
				 const char *chain)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	match_nodeport(&r, set);
	kp_expr_verdict(&r, verdict, chain);
}

/* chain dispatch: which frontend is it (FE-1)? */
static void chain_dispatch(struct kp_nft_builder *b)
{
	kp_nft_build_chain(b, "", "dispatch");
	kp_nft_build_key_verdict(b, KP_SET_CLUSTER_IPS, NFT_GOTO, "cluster");
	kp_nft_build_key_verdict(b, KP_SET_EXTERNAL, NFT_GOTO, "external");
	add_nodeport_verdict(b, KP_SET_NODEPORT_EXTERNAL, NFT_GOTO, "nodeport-external");
}

/* chain firewall-prerouting, firewall-output: before translation, sources that a load balancer
 * address does not admit are dropped (FW-2, FW-3). */
static void chain_firewall(struct kp_nft_builder *b, const char *name, uint32_t hook)
{
	struct kp_nft_rule r;

	kp_nft_build_base_chain(b, name, "filter", hook, PRIO_DSTNAT - 10);
	add_accept_established(b);
	/* FRONTEND @guarded FRONTEND . ip saddr != @allowed drop */
	r = kp_nft_build_rule(b);
	kp_expr_key_in_set(&r, KP_SET_GUARDED);
	kp_expr_key_not_in_set(&r, KP_SET_ALLOWED);
	kp_expr_verdict(&r, NF_DROP, NULL);
}

/* chain reject-all: a reset for TCP, because an IPv6 ICMP error reaches a connecting socket only
 * after a second (RJ-1). */
static void chain_reject(struct kp_nft_builder *b)
{
	struct kp_nft_rule r;

	kp_nft_build_chain(b, "", "reject-all");
	/* meta l4proto tcp reject with tcp reset */
	r = kp_nft_build_rule(b);
	kp_expr_l4proto(&r, IPPROTO_TCP);
	kp_expr_reject(&r, NFT_REJECT_TCP_RST, 0);
	/* reject */
	r = kp_nft_build_rule(b);
	kp_expr_reject(&r, NFT_REJECT_ICMP_UNREACH, b->family == KP_IPV4 ? 3 : 4);
}

static void chain_mark(struct kp_nft_builder *b)
{
	struct kp_nft_rule r;

	kp_nft_build_chain(b, "", "mark-for-masquerade");
	r = kp_nft_build_rule(b);
	kp_expr_mark_set_bit(&r, b->settings->masquerade_mark);
}

static void chain_postrouting(struct kp_nft_builder *b)
{
	struct kp_nft_rule r;

	kp_nft_build_base_chain(b, "nat-postrouting", "nat", NF_INET_POST_ROUTING, PRIO_SRCNAT);
	if (b->features->n_timeouts > 0) {
		/* meta priority & AFFINITY == AFFINITY meta priority set none */
		r = kp_nft_build_rule(b);
		kp_expr_priority_has(&r, KP_NFT_AFFINITY_MARK);
		kp_expr_priority_reset(&r);
	}
	/* ct status dnat ip saddr . ip daddr @hairpins meta mark set meta mark & ~MARK masquerade
	 * fully-random (HP-1, MQ-1) */
	r = kp_nft_build_rule(b);
	kp_expr_ct_status_dnat(&r);
	kp_expr_key_in_set(&r, KP_SET_HAIRPINS);
	kp_expr_mark_clear_bit(&r, b->settings->masquerade_mark);
	kp_expr_masquerade(&r);
	/* meta mark & MARK == 0 return (MQ-2) */
	r = kp_nft_build_rule(b);
	kp_expr_mark_is_clear(&r, b->settings->masquerade_mark);
	kp_expr_verdict(&r, NFT_RETURN, NULL);
	/* meta mark set meta mark ^ MARK (MQ-1) */
	r = kp_nft_build_rule(b);
	kp_expr_mark_flip_bit(&r, b->settings->masquerade_mark);
	/* masquerade fully-random (MQ-3) */
	r = kp_nft_build_rule(b);
	kp_expr_masquerade(&r);
}

/* What was translated has another destination by now, and passes (trap: priority 0 is after
 * translation). */
static void add_accept_translated(struct kp_nft_builder *b)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	kp_expr_ct_status_dnat(&r);
	kp_expr_verdict(&r, NF_ACCEPT, NULL);
}

/* The first packets of flows that were not translated: frontends without endpoints (DP-3, DP-4,
 * DP-7, DP-8, RJ-6). */
static void chain_filter(struct kp_nft_builder *b, const char *name, uint32_t hook)
{
	kp_nft_build_base_chain(b, name, "filter", hook, PRIO_FILTER);
	add_accept_established(b);
	add_accept_translated(b);
	kp_nft_build_key_verdict(b, KP_SET_NO_ENDPOINTS, NFT_GOTO, "reject-all");
	if (b->features->local)
		kp_nft_build_key_verdict(b, KP_SET_NO_LOCAL_ENDPOINTS, NF_DROP, NULL);
	/* The endpoint came when the packet had passed the translation.  It must not leave, and its
	 * flow must not be remembered as one without translation. */
	kp_nft_build_key_verdict(b, KP_SET_EXTERNAL, NFT_GOTO, "reject-all");
}

/* Node ports end here, also those of local clients, through loopback (RJ-5). */
static void chain_filter_input(struct kp_nft_builder *b)
{
	chain_filter(b, "filter-input", NF_INET_LOCAL_IN);
	add_nodeport_verdict(b, KP_SET_NODEPORT_NO_ENDPOINTS, NFT_GOTO, "reject-all");
	if (b->features->local)
		add_nodeport_verdict(b, KP_SET_NODEPORT_NO_LOCAL_ENDPOINTS, NF_DROP, NULL);
}

/* Forwarded and local packets: unknown ports of cluster IPs, unused addresses (RJ-2, RJ-3). */
static void chain_filter_outgoing(struct kp_nft_builder *b, const char *name, uint32_t hook)
{
	chain_filter(b, name, hook);
	kp_nft_build_key_verdict(b, KP_SET_CLUSTER_IPS, NFT_GOTO, "reject-all");
	kp_nft_build_key_verdict(b, KP_SET_SERVICE_CIDRS, NF_DROP, NULL);
}

static void chain_nat(struct kp_nft_builder *b, const char *name, uint32_t hook)
{
	kp_nft_build_base_chain(b, name, "nat", hook, PRIO_DSTNAT);
	kp_nft_build_verdict(b, NFT_GOTO, "", "dispatch");
}

void kp_nft_chains_build(enum kp_family family, const struct kp_settings *settings,
			 const struct kp_nft_features *features, struct kp_nft_chains *ret)
{
	struct kp_nft_builder b = {
		.family = family, .settings = settings, .features = features, .out = ret};

	chain_mark(&b);
	chain_reject(&b);
	kp_nft_build_balance(&b);
	chain_external(&b, "", KP_SET_EXTERNAL_LOCAL);
	chain_external(&b, "nodeport-", KP_SET_NODEPORT_EXTERNAL_LOCAL);
	if (features->local) {
		chain_external_local(&b, "", "local-", KP_SET_EXTERNAL_LOCAL);
		chain_external_local(&b, "nodeport-", "local-nodeport-",
				     KP_SET_NODEPORT_EXTERNAL_LOCAL);
		chain_cluster_local(&b);
	}
	chain_cluster(&b);
	chain_dispatch(&b);
	if (features->guards) {
		chain_firewall(&b, "firewall-prerouting", NF_INET_PRE_ROUTING);
		chain_firewall(&b, "firewall-output", NF_INET_LOCAL_OUT);
	}
	chain_nat(&b, "nat-prerouting", NF_INET_PRE_ROUTING);
	chain_nat(&b, "nat-output", NF_INET_LOCAL_OUT);
	chain_postrouting(&b);
	chain_filter_input(&b);
	chain_filter_outgoing(&b, "filter-forward", NF_INET_FORWARD);
	chain_filter_outgoing(&b, "filter-output", NF_INET_LOCAL_OUT);
}
