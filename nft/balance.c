/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/balance.h"

#include <linux/netfilter.h>
#include <stdio.h>

#include "nft/slots.h"

#define SLOT_TABLE(prefix_, set_)                                      \
	{                                                              \
		.prefix = prefix_, .slots = (set_) + KP_SET_ENDPOINTS, \
		.sizes = (set_) + KP_SET_SLOTS_2, .first = set_,       \
	}

static const struct kp_nft_slot_table services = SLOT_TABLE("", KP_SET_SERVICES);
static const struct kp_nft_slot_table local_services = SLOT_TABLE("local-", KP_SET_LOCAL_SERVICES);
static const struct kp_nft_slot_table nodeports = SLOT_TABLE("nodeport-", KP_SET_NODEPORTS);
static const struct kp_nft_slot_table local_nodeports = SLOT_TABLE("local-nodeport-",
								   KP_SET_LOCAL_NODEPORTS);
static const struct kp_nft_slot_table affinity = {
	.prefix = "affinity-",
	.slots = KP_SET_AFFINITY_SLOTS,
	.sizes = KP_SET_AFFINITY_SLOTS_2,
	.first = KP_SET_AFFINITY_SLOTS,
	.ids = true,
};

/* meta priority set ip saddr . meta priority map @affinity-clients
 * update @affinity-clients { ip saddr . meta priority & RECORD timeout T : meta priority }
 * dnat ip to meta priority . meta l4proto map @ENDPOINTS
 *
 * The rule ends where the client has no record, or its endpoint is not among these (SA-2, SA-4). */
static void add_return_to_endpoint(struct kp_nft_builder *b, enum kp_nft_set_id endpoints,
				   uint32_t timeout_s)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	kp_expr_priority_from(&r, KP_SET_AFFINITY_CLIENTS, 0);
	kp_expr_affinity_remember(&r, timeout_s);
	kp_expr_dnat(&r, endpoints, 0);
}

/* meta priority set (meta priority & KEEP) | BITS */
static void add_priority_change(struct kp_nft_builder *b, uint32_t keep, uint32_t bits)
{
	struct kp_nft_rule r = kp_nft_build_rule(b);

	kp_expr_priority_change(&r, keep, bits);
}

/* chain affinity-T, affinity-local-T: the packet's priority holds the service.
 *
 * A client has one record for the cluster set and one for the local set; either will do when its
 * endpoint can be used.  Otherwise its record of this set is replaced.  Packets of one client that
 * come at the same time agree: a record is deleted only by a packet that has read its endpoint and
 * could not use it, and what was recorded is read back.  (Only when both have read the endpoint
 * that is gone may each record another one; the later stays.) */
static void chain_affinity(struct kp_nft_builder *b, const char *prefix, bool local,
			   uint32_t timeout_s)
{
	enum kp_nft_set_id endpoints = local ? KP_SET_AFFINITY_LOCAL_ENDPOINTS
					     : KP_SET_AFFINITY_ENDPOINTS;
	uint32_t own = local ? KP_NFT_AFFINITY_LOCAL : 0, other = KP_NFT_AFFINITY_LOCAL ^ own;
	struct kp_nft_rule r;
	char name[32];

	snprintf(name, sizeof(name), "%u", timeout_s);
	kp_nft_build_chain(b, prefix, name);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, own);
	add_return_to_endpoint(b, endpoints, timeout_s);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, other);
	add_return_to_endpoint(b, endpoints, timeout_s);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, own);
	add_return_to_endpoint(b, endpoints, timeout_s);
	/* meta priority & ENDPOINT != none
	 * delete @affinity-clients { ip saddr . meta priority & RECORD : meta priority } */
	r = kp_nft_build_rule(b);
	kp_expr_priority_has(&r, KP_NFT_AFFINITY_ENDPOINT);
	kp_expr_affinity_forget(&r);
	add_priority_change(b, KP_NFT_AFFINITY_SERVICE, own);
	kp_nft_build_verdict(b, NFT_JUMP, affinity.prefix, "slots");
	/* meta priority & ENDPOINT == none return: there was nothing to draw */
	r = kp_nft_build_rule(b);
	kp_expr_priority_lacks(&r, KP_NFT_AFFINITY_ENDPOINT);
	kp_expr_verdict(&r, NFT_RETURN, NULL);
	/* update @affinity-clients { ip saddr . meta priority & RECORD timeout T : meta priority }
	 */
	r = kp_nft_build_rule(b);
	kp_expr_affinity_remember(&r, timeout_s);
	add_priority_change(b, KP_NFT_AFFINITY_RECORD, 0);
	add_return_to_endpoint(b, endpoints, timeout_s);
	/* There is no room for records. */
	kp_nft_build_verdict(b, NFT_JUMP, affinity.prefix, "slots");
	/* dnat ip to meta priority . meta l4proto map @ENDPOINTS */
	r = kp_nft_build_rule(b);
	kp_expr_dnat(&r, endpoints, 0);
}

/* chain affinity, affinity-local: which timeout has the service? */
static void chains_affinity(struct kp_nft_builder *b, const char *name, const char *prefix,
			    bool local)
{
	for (size_t i = 0; i < b->features->n_timeouts; i++)
		chain_affinity(b, prefix, local, b->features->timeouts_s[i]);
	kp_nft_build_chain(b, "", name);
	for (size_t i = 0; i < b->features->n_timeouts; i++) {
		/* meta priority . numgen random mod 1 offset T @affinity-timeouts goto affinity-T
		 */
		struct kp_nft_rule r = kp_nft_build_rule(b);
		char chain[64];

		kp_expr_affinity_timeout(&r, b->features->timeouts_s[i]);
		snprintf(chain, sizeof(chain), "%s%u", prefix, b->features->timeouts_s[i]);
		kp_expr_verdict(&r, NFT_GOTO, chain);
	}
}

/* chain balance: a client with affinity first returns to its endpoint.  What comes back from there
 * met a commit, and gets the endpoint in slot 0. */
static void chain_balance(struct kp_nft_builder *b, const struct kp_nft_slot_table *table,
			  enum kp_nft_set_id sticky, const char *affinity_chain)
{
	kp_nft_build_chain(b, table->prefix, "balance");
	if (b->features->n_timeouts > 0) {
		/* meta priority set FRONTEND map @sticky-services jump affinity */
		struct kp_nft_rule r = kp_nft_build_rule(b);

		kp_expr_priority_from(&r, sticky, 0);
		kp_expr_verdict(&r, NFT_JUMP, affinity_chain);
	}
	kp_nft_build_verdict(b, NFT_GOTO, table->prefix, "slots");
}

static void chains_local(struct kp_nft_builder *b)
{
	kp_nft_build_slots(b, &local_services);
	kp_nft_build_slots(b, &local_nodeports);
	if (b->features->n_timeouts > 0)
		chains_affinity(b, "affinity-local", "affinity-local-", true);
	chain_balance(b, &local_services, KP_SET_STICKY, "affinity-local");
	chain_balance(b, &local_nodeports, KP_SET_NODEPORT_STICKY, "affinity-local");
}

void kp_nft_build_balance(struct kp_nft_builder *b)
{
	kp_nft_build_slots(b, &services);
	kp_nft_build_slots(b, &nodeports);
	if (b->features->n_timeouts > 0) {
		kp_nft_build_slots(b, &affinity);
		chains_affinity(b, "affinity", "affinity-", false);
	}
	chain_balance(b, &services, KP_SET_STICKY, "affinity");
	chain_balance(b, &nodeports, KP_SET_NODEPORT_STICKY, "affinity");
	if (b->features->local)
		chains_local(b);
}
