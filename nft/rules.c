/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each rule stands under the nft line that it is; CAPITALS are explained in docs/ruleset.md. */
#include "nft/rules.h"

#include <libnftnl/chain.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>

#include "nft/expr.h"

/* Netfilter's usual priorities. */
enum {
	PRIO_DSTNAT = -100,
	PRIO_FILTER = 0,
	PRIO_SRCNAT = 100
};

/* A frontend that has slots in some sets of either group. */
struct group {
	const char *prefix;	  /* of chain names */
	enum kp_nft_set_id first; /* KP_SET_SERVICES or KP_SET_NODEPORTS */
};

static const struct group services = {"", KP_SET_SERVICES};
static const struct group nodeports = {"nodeport-", KP_SET_NODEPORTS};

struct builder {
	enum kp_family family;
	const struct kp_settings *settings;
	struct kp_nft_chains *out;
};

uint32_t kp_nft_family(enum kp_family family)
{
	return family == KP_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

static struct kp_nft_chain *add_chain(struct builder *b, const char *prefix, const char *name)
{
	struct kp_nft_chains *chains = b->out;
	struct kp_nft_chain *chain;

	chains->items = kp_xrealloc(chains->items, (chains->n + 1) * sizeof(*chains->items));
	chain = &chains->items[chains->n++];
	memset(chain, 0, sizeof(*chain));
	snprintf(chain->name, sizeof(chain->name), "%s%s", prefix, name);
	return chain;
}

static struct kp_nft_rule add_rule(struct builder *b)
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

/* goto CHAIN / jump CHAIN */
static void add_verdict(struct builder *b, int verdict, const char *prefix, const char *chain)
{
	struct kp_nft_rule r = add_rule(b);
	char name[64];

	snprintf(name, sizeof(name), "%s%s", prefix, chain);
	kp_expr_verdict(&r, verdict, name);
}

/* chain draw-N: dnat ip to FRONTEND . numgen random mod N map @endpoints
 *
 * There is one such rule for a size, because the kernel looks at all rules that use a map for each
 * element that is added to it. */
static void chain_draw(struct builder *b, const struct group *g, unsigned int size)
{
	char name[16];
	struct kp_nft_rule r;

	snprintf(name, sizeof(name), "draw-%u", 1U << size);
	add_chain(b, g->prefix, name);
	r = add_rule(b);
	kp_expr_dnat(&r, g->first + KP_SET_ENDPOINTS, 1U << size);
}

/* How often a slot is drawn before the lower half is taken: more than half of a table's slots are in
 * use, so eight misses in a row are rarer than 1 in 256. */
static unsigned int n_draws(unsigned int size)
{
	if (size == 1)
		return 1; /* two slots, both in use */
	return size == 2 ? 4 : 8;
}

/* chain pick-N: draws a slot below N = 2^size.
 *
 * A Service with n endpoints has N/2 < n <= N.  A draw that hits an empty slot comes back, and the
 * next one follows; below N/2 all slots are in use.  The last resort, slot 0, holds whatever a
 * commit changes between these lookups. */
static void chain_pick(struct builder *b, const struct group *g, unsigned int size)
{
	char name[16], draw[16], lower[16];

	snprintf(name, sizeof(name), "pick-%u", 1U << size);
	snprintf(draw, sizeof(draw), "draw-%u", 1U << size);
	snprintf(lower, sizeof(lower), "draw-%u", 1U << (size - 1));
	add_chain(b, g->prefix, name);
	for (unsigned int i = 0; i < n_draws(size); i++)
		add_verdict(b, NFT_JUMP, g->prefix, draw);
	if (size > 1)
		add_verdict(b, NFT_JUMP, g->prefix, lower);
	add_verdict(b, NFT_GOTO, g->prefix, "pick-1");
}

/* chain pick-1: dnat ip to FRONTEND map @services */
static void chain_pick_first(struct builder *b, const struct group *g)
{
	struct kp_nft_rule r;

	add_chain(b, g->prefix, "pick-1");
	r = add_rule(b);
	kp_expr_dnat(&r, g->first + KP_SET_SERVICES, 0);
}

/* The chains that look a frontend up in the four slots sets, one after the other, and end in the
 * pick chain of its size.  'code' holds the answers so far for the sets above 'bit'. */
static void chains_size(struct builder *b, const struct group *g, const char *path, int bit,
			unsigned int code)
{
	char name[96], child[2][64];
	struct kp_nft_rule r;

	for (int answer = 0; answer < 2; answer++) {
		unsigned int next = code | (unsigned int)answer << bit;

		if (bit == 0) {
			snprintf(child[answer], sizeof(child[answer]), "pick-%u",
				 1U << kp_nft_slots_decode(next));
		} else {
			snprintf(name, sizeof(name), "%s%s%d", path, *path ? "" : "-", answer);
			snprintf(child[answer], sizeof(child[answer]), "slots%.50s", name);
			chains_size(b, g, name, bit - 1, next);
		}
	}
	snprintf(name, sizeof(name), "slots%s", path);
	add_chain(b, g->prefix, name);
	/* FRONTEND @slots-N goto slots-1 */
	r = add_rule(b);
	kp_expr_field_in_set(&r, g->first + KP_SET_SLOTS_2 + bit);
	snprintf(name, sizeof(name), "%s%s", g->prefix, child[1]);
	kp_expr_verdict(&r, NFT_GOTO, name);
	add_verdict(b, NFT_GOTO, g->prefix, child[0]);
}

static void chains_of_group(struct builder *b, const struct group *g)
{
	chain_pick_first(b, g);
	for (unsigned int size = 1; size < KP_NFT_N_SIZES; size++) {
		chain_draw(b, g, size);
		chain_pick(b, g, size);
	}
	chains_size(b, g, "", KP_NFT_SLOTS_BITS - 1, 0);
	/* Everyone is masqueraded (DP-5). */
	add_chain(b, g->prefix, "external");
	add_verdict(b, NFT_JUMP, "", "mark-for-masquerade");
	add_verdict(b, NFT_GOTO, g->prefix, "slots");
}

/* chain cluster: clients of a cluster IP are masqueraded unless they are pods (DP-1). */
static void chain_cluster(struct builder *b)
{
	add_chain(b, "", "cluster");
	if (b->settings->masquerade_all) {
		add_verdict(b, NFT_JUMP, "", "mark-for-masquerade");
	} else if (b->settings->has_pod_range[b->family]) {
		/* ip saddr != PODS jump mark-for-masquerade */
		struct kp_nft_rule r = add_rule(b);

		kp_expr_saddr_not_in(&r, &b->settings->pod_range[b->family]);
		kp_expr_verdict(&r, NFT_JUMP, "mark-for-masquerade");
	}
	add_verdict(b, NFT_GOTO, "", "slots");
}

/* Appends the match of a node port: an address of the node, within the ranges, not loopback (NP-1,
 * NP-2). */
static void match_nodeport(struct kp_nft_rule *r, enum kp_nft_set_id set)
{
	kp_expr_field_in_set(r, KP_SET_NODEPORT_IPS);
	kp_expr_daddr_is_local(r);
	kp_expr_daddr_not_loopback(r);
	kp_expr_field_in_set(r, set);
}

/* chain dispatch: which frontend is it (FE-1)? */
static void chain_dispatch(struct builder *b)
{
	struct kp_nft_rule r;

	add_chain(b, "", "dispatch");
	/* ip daddr @cluster-ips goto cluster */
	r = add_rule(b);
	kp_expr_field_in_set(&r, KP_SET_CLUSTER_IPS);
	kp_expr_verdict(&r, NFT_GOTO, "cluster");
	/* FRONTEND @external-services goto external */
	r = add_rule(b);
	kp_expr_field_in_set(&r, KP_SET_EXTERNAL);
	kp_expr_verdict(&r, NFT_GOTO, "external");
	/* NODEPORT @external-nodeports goto nodeport-external */
	r = add_rule(b);
	match_nodeport(&r, KP_SET_NODEPORT_EXTERNAL);
	kp_expr_verdict(&r, NFT_GOTO, "nodeport-external");
}

/* chain reject-all: a reset for TCP, because an IPv6 ICMP error reaches a connecting socket only
 * after a second (RJ-1). */
static void chain_reject(struct builder *b)
{
	struct kp_nft_rule r;

	add_chain(b, "", "reject-all");
	/* meta l4proto tcp reject with tcp reset */
	r = add_rule(b);
	kp_expr_l4proto(&r, IPPROTO_TCP);
	kp_expr_reject(&r, NFT_REJECT_TCP_RST, 0);
	/* reject */
	r = add_rule(b);
	kp_expr_reject(&r, NFT_REJECT_ICMP_UNREACH, b->family == KP_IPV4 ? 3 : 4);
}

static void chain_mark(struct builder *b)
{
	struct kp_nft_rule r;

	add_chain(b, "", "mark-for-masquerade");
	r = add_rule(b);
	kp_expr_mark_set_bit(&r, b->settings->masquerade_mark);
}

static void add_base_chain(struct builder *b, const char *name, const char *type, uint32_t hook,
			   int32_t priority)
{
	struct kp_nft_chain *chain = add_chain(b, "", name);

	chain->type = type;
	chain->hook = hook;
	chain->priority = priority;
}

static void chain_postrouting(struct builder *b)
{
	struct kp_nft_rule r;

	add_base_chain(b, "nat-postrouting", "nat", NF_INET_POST_ROUTING, PRIO_SRCNAT);
	/* ct status dnat ip saddr . ip daddr @hairpins masquerade fully-random (HP-1) */
	r = add_rule(b);
	kp_expr_ct_status_dnat(&r);
	kp_expr_field_in_set(&r, KP_SET_HAIRPINS);
	kp_expr_masquerade(&r);
	/* meta mark & MARK == 0 return (MQ-2) */
	r = add_rule(b);
	kp_expr_mark_is_clear(&r, b->settings->masquerade_mark);
	kp_expr_verdict(&r, NFT_RETURN, NULL);
	/* meta mark set meta mark ^ MARK (MQ-1) */
	r = add_rule(b);
	kp_expr_mark_flip_bit(&r, b->settings->masquerade_mark);
	/* masquerade fully-random (MQ-3) */
	r = add_rule(b);
	kp_expr_masquerade(&r);
}

/* ct state new FRONTEND @no-endpoints goto reject-all (DP-4) */
static void add_no_endpoints_check(struct builder *b)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_ct_state_new(&r);
	kp_expr_field_in_set(&r, KP_SET_NO_ENDPOINTS);
	kp_expr_verdict(&r, NFT_GOTO, "reject-all");
}

/* What was translated has another destination by now, and passes (trap: priority 0 is after
 * translation). */
static void add_accept_translated(struct builder *b)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_ct_status_dnat(&r);
	kp_expr_verdict(&r, NF_ACCEPT, NULL);
}

static void chain_filter_input(struct builder *b)
{
	struct kp_nft_rule r;

	add_base_chain(b, "filter-input", "filter", NF_INET_LOCAL_IN, PRIO_FILTER);
	add_accept_translated(b);
	add_no_endpoints_check(b);
	/* ct state new NODEPORT @nodeport-no-endpoints goto reject-all (DP-8, RJ-5) */
	r = add_rule(b);
	kp_expr_ct_state_new(&r);
	match_nodeport(&r, KP_SET_NODEPORT_NO_ENDPOINTS);
	kp_expr_verdict(&r, NFT_GOTO, "reject-all");
}

/* Forwarded and local packets to cluster IPs that were not translated (RJ-2, RJ-3). */
static void chain_filter_outgoing(struct builder *b, const char *name, uint32_t hook)
{
	struct kp_nft_rule r;

	add_base_chain(b, name, "filter", hook, PRIO_FILTER);
	add_accept_translated(b);
	add_no_endpoints_check(b);
	/* ct state new ip daddr @cluster-ips goto reject-all */
	r = add_rule(b);
	kp_expr_ct_state_new(&r);
	kp_expr_field_in_set(&r, KP_SET_CLUSTER_IPS);
	kp_expr_verdict(&r, NFT_GOTO, "reject-all");
	/* ct state new ip daddr @service-cidrs drop */
	r = add_rule(b);
	kp_expr_ct_state_new(&r);
	kp_expr_field_in_set(&r, KP_SET_SERVICE_CIDRS);
	kp_expr_verdict(&r, NF_DROP, NULL);
}

static void chain_nat(struct builder *b, const char *name, uint32_t hook)
{
	add_base_chain(b, name, "nat", hook, PRIO_DSTNAT);
	add_verdict(b, NFT_GOTO, "", "dispatch");
}

void kp_nft_chains_build(enum kp_family family, const struct kp_settings *settings,
			 struct kp_nft_chains *ret)
{
	struct builder b = {.family = family, .settings = settings, .out = ret};

	chain_mark(&b);
	chain_reject(&b);
	chains_of_group(&b, &services);
	chains_of_group(&b, &nodeports);
	chain_cluster(&b);
	chain_dispatch(&b);
	chain_nat(&b, "nat-prerouting", NF_INET_PRE_ROUTING);
	chain_nat(&b, "nat-output", NF_INET_LOCAL_OUT);
	chain_postrouting(&b);
	chain_filter_input(&b);
	chain_filter_outgoing(&b, "filter-forward", NF_INET_FORWARD);
	chain_filter_outgoing(&b, "filter-output", NF_INET_LOCAL_OUT);
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
