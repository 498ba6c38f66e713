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

/* What is drawn from: a slot table of endpoints, the sets that tell its size, and its first slot.
 */
struct group {
	const char *prefix; /* of chain names */
	enum kp_nft_set_id slots, sizes, first;
	bool ids; /* the slots hold endpoint ids for the packet's priority */
};

#define GROUP(prefix_, set_)                                           \
	{                                                              \
		.prefix = prefix_, .slots = (set_) + KP_SET_ENDPOINTS, \
		.sizes = (set_) + KP_SET_SLOTS_2, .first = set_,       \
	}

static const struct group services = GROUP("", KP_SET_SERVICES);
static const struct group local_services = GROUP("local-", KP_SET_LOCAL_SERVICES);
static const struct group nodeports = GROUP("nodeport-", KP_SET_NODEPORTS);
static const struct group local_nodeports = GROUP("local-nodeport-", KP_SET_LOCAL_NODEPORTS);
static const struct group affinity = {
	.prefix = "affinity-",
	.slots = KP_SET_AFFINITY_SLOTS,
	.sizes = KP_SET_AFFINITY_SLOTS_2,
	.first = KP_SET_AFFINITY_SLOTS,
	.ids = true,
};

struct builder {
	enum kp_family family;
	const struct kp_settings *settings;
	const struct kp_nft_features *features;
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

static void add_base_chain(struct builder *b, const char *name, const char *type, uint32_t hook,
			   int32_t priority)
{
	struct kp_nft_chain *chain = add_chain(b, "", name);

	chain->type = type;
	chain->hook = hook;
	chain->priority = priority;
}

/* ct state != new accept: one rule is all that packets of established flows meet. */
static void add_accept_established(struct builder *b)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_ct_state_not_new(&r);
	kp_expr_verdict(&r, NF_ACCEPT, NULL);
}

/* goto CHAIN / jump CHAIN */
static void add_verdict(struct builder *b, int verdict, const char *prefix, const char *chain)
{
	struct kp_nft_rule r = add_rule(b);
	char name[64];

	snprintf(name, sizeof(name), "%s%s", prefix, chain);
	kp_expr_verdict(&r, verdict, name);
}

/* dnat ip to KEY map @SET, or: meta priority set KEY map @SET */
static void add_draw(struct builder *b, const struct group *g, enum kp_nft_set_id map,
		     uint32_t n_slots)
{
	struct kp_nft_rule r = add_rule(b);

	if (g->ids)
		kp_expr_priority_from(&r, map, n_slots);
	else
		kp_expr_dnat(&r, map, n_slots);
}

/* chain draw-N: dnat ip to FRONTEND . numgen random mod N map @endpoints
 *
 * There is one such rule for a size, because the kernel looks at all rules that use a map for each
 * element that is added to it. */
static void chain_draw(struct builder *b, const struct group *g, unsigned int size)
{
	char name[16];

	snprintf(name, sizeof(name), "draw-%u", 1U << size);
	add_chain(b, g->prefix, name);
	add_draw(b, g, g->slots, 1U << size);
}

/* How often a slot is drawn before the lower half is taken: more than half of a table's slots are
 * in use, so eight misses in a row are rarer than 1 in 256. */
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
	add_chain(b, g->prefix, "pick-1");
	add_draw(b, g, g->first, 1);
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
	kp_expr_key_in_set(&r, g->sizes + bit);
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
}

/* meta priority set ip saddr . meta priority map @affinity-clients
 * update @affinity-clients { ip saddr . meta priority & SERVICE timeout T : meta priority }
 * dnat ip to meta priority . meta l4proto map @ENDPOINTS
 *
 * The rule ends where the client has no record, or its endpoint is not among these (SA-2, SA-4). */
static void add_return_to_endpoint(struct builder *b, enum kp_nft_set_id endpoints,
				   uint32_t timeout_s)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_priority_from(&r, KP_SET_AFFINITY_CLIENTS, 0);
	kp_expr_affinity_remember(&r, timeout_s);
	kp_expr_dnat(&r, endpoints, 0);
}

/* meta priority set (meta priority & KEEP) | BITS */
static void add_priority_change(struct builder *b, uint32_t keep, uint32_t bits)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_priority_change(&r, keep, bits);
}

/* chain affinity-T, affinity-local-T: the packet's priority holds the service.
 *
 * A client has one record for the cluster set and one for the local set; either will do when its
 * endpoint can be used.  Otherwise its record of this set is replaced.  It is read back once more,
 * so that two packets of one client at the same time agree. */
static void chain_affinity(struct builder *b, const char *prefix, bool local, uint32_t timeout_s)
{
	enum kp_nft_set_id endpoints = local ? KP_SET_AFFINITY_LOCAL_ENDPOINTS
					     : KP_SET_AFFINITY_ENDPOINTS;
	uint32_t own = local ? KP_NFT_AFFINITY_LOCAL : 0, other = KP_NFT_AFFINITY_LOCAL ^ own;
	struct kp_nft_rule r;
	char name[32];

	snprintf(name, sizeof(name), "%u", timeout_s);
	add_chain(b, prefix, name);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, own);
	add_return_to_endpoint(b, endpoints, timeout_s);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, other);
	add_return_to_endpoint(b, endpoints, timeout_s);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, own);
	/* delete @affinity-clients { ip saddr . meta priority & SERVICE : meta priority } */
	r = add_rule(b);
	kp_expr_affinity_forget(&r);
	add_verdict(b, NFT_JUMP, affinity.prefix, "slots");
	/* meta priority & ENDPOINT == none return: there was nothing to draw */
	r = add_rule(b);
	kp_expr_priority_lacks(&r, KP_NFT_AFFINITY_ENDPOINT);
	kp_expr_verdict(&r, NFT_RETURN, NULL);
	/* update @affinity-clients { ip saddr . meta priority & SERVICE timeout T : meta priority }
	 */
	r = add_rule(b);
	kp_expr_affinity_remember(&r, timeout_s);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE | KP_NFT_AFFINITY_LOCAL, 0);
	add_return_to_endpoint(b, endpoints, timeout_s);
	/* There is no room for records. */
	add_verdict(b, NFT_JUMP, affinity.prefix, "slots");
	/* dnat ip to meta priority . meta l4proto map @ENDPOINTS */
	r = add_rule(b);
	kp_expr_dnat(&r, endpoints, 0);
}

/* chain affinity, affinity-local: which timeout has the service? */
static void chains_affinity(struct builder *b, const char *name, const char *prefix, bool local)
{
	for (size_t i = 0; i < b->features->n_timeouts; i++)
		chain_affinity(b, prefix, local, b->features->timeouts_s[i]);
	add_chain(b, "", name);
	for (size_t i = 0; i < b->features->n_timeouts; i++) {
		/* meta priority . numgen random mod 1 offset T @affinity-timeouts goto affinity-T
		 */
		struct kp_nft_rule r = add_rule(b);
		char chain[64];

		kp_expr_affinity_timeout(&r, b->features->timeouts_s[i]);
		snprintf(chain, sizeof(chain), "%s%u", prefix, b->features->timeouts_s[i]);
		kp_expr_verdict(&r, NFT_GOTO, chain);
	}
}

/* chain balance: a client with affinity first returns to its endpoint.  What comes back from there
 * met a commit, and gets the endpoint in slot 0. */
static void chain_balance(struct builder *b, const struct group *g, enum kp_nft_set_id sticky,
			  const char *affinity_chain)
{
	add_chain(b, g->prefix, "balance");
	if (b->features->n_timeouts > 0) {
		/* meta priority set FRONTEND map @sticky-services jump affinity */
		struct kp_nft_rule r = add_rule(b);

		kp_expr_priority_from(&r, sticky, 0);
		kp_expr_verdict(&r, NFT_JUMP, affinity_chain);
	}
	add_verdict(b, NFT_GOTO, g->prefix, "slots");
}

/* Appends the match of a pod's packet, or of any other's; false when pods cannot be told (LD-1). */
static bool match_pod(struct builder *b, struct kp_nft_rule *r, bool negate)
{
	const struct kp_settings *s = b->settings;

	switch (s->detect) {
	case KP_DETECT_RANGE:
		if (s->has_pod_range[b->family])
			kp_expr_saddr_in(r, &s->pod_range[b->family], negate);
		return s->has_pod_range[b->family];
	case KP_DETECT_INTERFACE:
	case KP_DETECT_INTERFACE_PREFIX:
		kp_expr_iifname(r, s->pod_interface, s->detect == KP_DETECT_INTERFACE_PREFIX,
				negate);
		return true;
	}
	return false;
}

static bool knows_pods(const struct builder *b)
{
	return b->settings->detect != KP_DETECT_RANGE || b->settings->has_pod_range[b->family];
}

/* KEY @SET goto CHAIN */
static void add_key_verdict(struct builder *b, enum kp_nft_set_id set, int verdict,
			    const char *chain)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_key_in_set(&r, set);
	kp_expr_verdict(&r, verdict, chain);
}

static void add_masqueraded_balance(struct builder *b, const struct group *g)
{
	add_verdict(b, NFT_JUMP, "", "mark-for-masquerade");
	add_verdict(b, NFT_GOTO, g->prefix, "balance");
}

/* chain external: with policy Cluster everyone is masqueraded (DP-5). */
static void chain_external(struct builder *b, const struct group *g, enum kp_nft_set_id local)
{
	char chain[64];

	add_chain(b, g->prefix, "external");
	if (b->features->local) {
		/* FRONTEND @external-local-services goto external-local */
		snprintf(chain, sizeof(chain), "%sexternal-local", g->prefix);
		add_key_verdict(b, local, NFT_GOTO, chain);
	}
	add_masqueraded_balance(b, g);
}

/* chain external-local: pods and the node itself reach all endpoints, others the local ones (DP-6,
 * DP-7, DP-10). */
static void chain_external_local(struct builder *b, const struct group *g,
				 const struct group *local, enum kp_nft_set_id set)
{
	char balance[64];
	struct kp_nft_rule r;

	snprintf(balance, sizeof(balance), "%sbalance", g->prefix);
	add_chain(b, g->prefix, "external-local");
	if (knows_pods(b)) {
		/* ip saddr PODS goto balance */
		r = add_rule(b);
		match_pod(b, &r, false);
		kp_expr_verdict(&r, NFT_GOTO, balance);
	}
	/* fib saddr type local jump mark-for-masquerade */
	r = add_rule(b);
	kp_expr_saddr_is_local(&r);
	kp_expr_verdict(&r, NFT_JUMP, "mark-for-masquerade");
	/* fib saddr type local goto balance */
	r = add_rule(b);
	kp_expr_saddr_is_local(&r);
	kp_expr_verdict(&r, NFT_GOTO, balance);
	add_verdict(b, NFT_JUMP, local->prefix, "balance");
	/* FRONTEND @external-local-services accept: no endpoints, to be dropped.  Otherwise the
	 * policy has changed since it was looked up. */
	add_key_verdict(b, set, NF_ACCEPT, NULL);
	add_masqueraded_balance(b, g);
}

/* chain cluster-local: the same for policy KP_POLICY_INTERNAL_LOCAL (DP-2, DP-3). */
static void chain_cluster_local(struct builder *b)
{
	add_chain(b, "", "cluster-local");
	add_verdict(b, NFT_JUMP, local_services.prefix, "balance");
	add_key_verdict(b, KP_SET_INTERNAL_LOCAL, NF_ACCEPT, NULL);
	add_verdict(b, NFT_GOTO, services.prefix, "balance");
}

/* chain cluster: clients of a cluster IP are masqueraded unless they are pods (DP-1, DP-2). */
static void chain_cluster(struct builder *b)
{
	struct kp_nft_rule r;

	add_chain(b, "", "cluster");
	if (b->settings->masquerade_all) {
		add_verdict(b, NFT_JUMP, "", "mark-for-masquerade");
	} else if (knows_pods(b)) {
		/* ip saddr != PODS jump mark-for-masquerade */
		r = add_rule(b);
		match_pod(b, &r, true);
		kp_expr_verdict(&r, NFT_JUMP, "mark-for-masquerade");
	}
	if (b->features->local) {
		/* FRONTEND @internal-local-services goto cluster-local */
		add_key_verdict(b, KP_SET_INTERNAL_LOCAL, NFT_GOTO, "cluster-local");
		/* What comes back from 'balance' met a change of the policy, or a reject. */
		add_verdict(b, NFT_JUMP, services.prefix, "balance");
		add_verdict(b, NFT_GOTO, local_services.prefix, "balance");
	} else {
		add_verdict(b, NFT_GOTO, services.prefix, "balance");
	}
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
static void add_nodeport_verdict(struct builder *b, enum kp_nft_set_id set, int verdict,
				 const char *chain)
{
	struct kp_nft_rule r = add_rule(b);

	match_nodeport(&r, set);
	kp_expr_verdict(&r, verdict, chain);
}

/* chain dispatch: which frontend is it (FE-1)? */
static void chain_dispatch(struct builder *b)
{
	add_chain(b, "", "dispatch");
	add_key_verdict(b, KP_SET_CLUSTER_IPS, NFT_GOTO, "cluster");
	add_key_verdict(b, KP_SET_EXTERNAL, NFT_GOTO, "external");
	add_nodeport_verdict(b, KP_SET_NODEPORT_EXTERNAL, NFT_GOTO, "nodeport-external");
}

/* chain firewall-prerouting, firewall-output: before translation, sources that a load balancer
 * address does not admit are dropped (FW-2, FW-3). */
static void chain_firewall(struct builder *b, const char *name, uint32_t hook)
{
	struct kp_nft_rule r;

	add_base_chain(b, name, "filter", hook, PRIO_DSTNAT - 10);
	add_accept_established(b);
	/* FRONTEND @guarded FRONTEND . ip saddr != @allowed drop */
	r = add_rule(b);
	kp_expr_key_in_set(&r, KP_SET_GUARDED);
	kp_expr_key_not_in_set(&r, KP_SET_ALLOWED);
	kp_expr_verdict(&r, NF_DROP, NULL);
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

static void chain_postrouting(struct builder *b)
{
	struct kp_nft_rule r;

	add_base_chain(b, "nat-postrouting", "nat", NF_INET_POST_ROUTING, PRIO_SRCNAT);
	if (b->features->n_timeouts > 0) {
		/* meta priority & AFFINITY == AFFINITY meta priority set none */
		r = add_rule(b);
		kp_expr_priority_has(&r, KP_NFT_AFFINITY_MARK);
		kp_expr_priority_reset(&r);
	}
	/* ct status dnat ip saddr . ip daddr @hairpins masquerade fully-random (HP-1) */
	r = add_rule(b);
	kp_expr_ct_status_dnat(&r);
	kp_expr_key_in_set(&r, KP_SET_HAIRPINS);
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

/* What was translated has another destination by now, and passes (trap: priority 0 is after
 * translation). */
static void add_accept_translated(struct builder *b)
{
	struct kp_nft_rule r = add_rule(b);

	kp_expr_ct_status_dnat(&r);
	kp_expr_verdict(&r, NF_ACCEPT, NULL);
}

/* The first packets of flows that were not translated: frontends without endpoints (DP-3, DP-4,
 * DP-7, DP-8, RJ-6). */
static void chain_filter(struct builder *b, const char *name, uint32_t hook)
{
	add_base_chain(b, name, "filter", hook, PRIO_FILTER);
	add_accept_established(b);
	add_accept_translated(b);
	add_key_verdict(b, KP_SET_NO_ENDPOINTS, NFT_GOTO, "reject-all");
	if (b->features->local)
		add_key_verdict(b, KP_SET_NO_LOCAL_ENDPOINTS, NF_DROP, NULL);
}

/* Node ports end here, also those of local clients, through loopback (RJ-5). */
static void chain_filter_input(struct builder *b)
{
	chain_filter(b, "filter-input", NF_INET_LOCAL_IN);
	add_nodeport_verdict(b, KP_SET_NODEPORT_NO_ENDPOINTS, NFT_GOTO, "reject-all");
	if (b->features->local)
		add_nodeport_verdict(b, KP_SET_NODEPORT_NO_LOCAL_ENDPOINTS, NF_DROP, NULL);
}

/* Forwarded and local packets: unknown ports of cluster IPs, unused addresses (RJ-2, RJ-3). */
static void chain_filter_outgoing(struct builder *b, const char *name, uint32_t hook)
{
	chain_filter(b, name, hook);
	add_key_verdict(b, KP_SET_CLUSTER_IPS, NFT_GOTO, "reject-all");
	add_key_verdict(b, KP_SET_SERVICE_CIDRS, NF_DROP, NULL);
}

static void chain_nat(struct builder *b, const char *name, uint32_t hook)
{
	add_base_chain(b, name, "nat", hook, PRIO_DSTNAT);
	add_verdict(b, NFT_GOTO, "", "dispatch");
}

static void chains_local(struct builder *b)
{
	chains_of_group(b, &local_services);
	chains_of_group(b, &local_nodeports);
	chain_balance(b, &local_services, KP_SET_STICKY, "affinity-local");
	chain_balance(b, &local_nodeports, KP_SET_NODEPORT_STICKY, "affinity-local");
	chain_external_local(b, &services, &local_services, KP_SET_EXTERNAL_LOCAL);
	chain_external_local(b, &nodeports, &local_nodeports, KP_SET_NODEPORT_EXTERNAL_LOCAL);
	chain_cluster_local(b);
}

void kp_nft_chains_build(enum kp_family family, const struct kp_settings *settings,
			 const struct kp_nft_features *features, struct kp_nft_chains *ret)
{
	struct builder b = {
		.family = family, .settings = settings, .features = features, .out = ret};

	chain_mark(&b);
	chain_reject(&b);
	chains_of_group(&b, &services);
	chains_of_group(&b, &nodeports);
	if (features->n_timeouts > 0) {
		chains_of_group(&b, &affinity);
		chains_affinity(&b, "affinity", "affinity-", false);
		if (features->local)
			chains_affinity(&b, "affinity-local", "affinity-local-", true);
	}
	chain_balance(&b, &services, KP_SET_STICKY, "affinity");
	chain_balance(&b, &nodeports, KP_SET_NODEPORT_STICKY, "affinity");
	chain_external(&b, &services, KP_SET_EXTERNAL_LOCAL);
	chain_external(&b, &nodeports, KP_SET_NODEPORT_EXTERNAL_LOCAL);
	if (features->local)
		chains_local(&b);
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
