/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which flows a plan or a repair leaves behind (CT-1 ... CT-13).  Pure.
 *
 * A flow of UDP has no end: as long as its client sends, the kernel goes on with the translation
 * that it chose for the first datagram.  TCP and SCTP notice a dead peer themselves, and their
 * translations are never touched (CT-7). */
#ifndef KPROXY_CONNTRACK_STALE_H
#define KPROXY_CONNTRACK_STALE_H

#include "kproxy/plan.h"

/* All flows from one frontend to one endpoint, whoever the client is. */
struct kp_flow {
	struct kp_addr frontend; /* original destination; zero: any address, for node ports */
	struct kp_addr endpoint; /* source of the replies; the frontend itself: not translated */
	uint16_t frontend_port;
	uint16_t endpoint_port;
	uint8_t family; /* enum kp_family */
	uint8_t proto;	/* IPPROTO_* */
};
_Static_assert(sizeof(struct kp_flow) == 38, "padding would break lookups");

static inline bool kp_flow_is_translated(const struct kp_flow *flow)
{
	return flow->frontend_port != flow->endpoint_port ||
	       !kp_addr_equal(&flow->frontend, &flow->endpoint);
}

struct kp_stale_flow {
	struct kp_flow flow;
	bool selected; /* by kp_stale_select() */
	UT_hash_handle hh;
};

/* A set of flows; empty when zero. */
struct kp_stale {
	struct kp_stale_flow *flows; /* uthash by flow */
};

/* What several flows have in common. */
struct kp_flow_filter {
	struct kp_flow like; /* of one family and protocol; what is zero may have any value */
	bool translated_only;
};

void kp_stale_clear(struct kp_stale *stale);

/* True when kp_stale_update() will look at 'node_addrs': a node port is served from now on. */
bool kp_stale_needs_node_addrs(const struct kp_plan *plan);

/* Brings the set in step with a plan that was carried out, and not committed yet:
 *
 * - adds the flows to endpoints that left, and of frontends that went away (CT-4, CT-13);
 * - adds the flows to frontends that are served from now on, and were not translated (CT-5);
 * - removes what has become right.  This comes last and looks at the whole plan: a frontend or an
 *   endpoint may pass from one Service to another.
 *
 * 'node_addrs' are the node's own addresses that serve node ports, as prefixes of full length. */
void kp_stale_update(struct kp_stale *stale, const struct kp_plan *plan,
		     const struct kp_prefix *node_addrs, size_t n_node_addrs);

/* Nobody knows what was served until now: adds the flows to all frontends of 'state' that were not
 * translated, of any protocol. */
void kp_stale_add_unserved(struct kp_stale *stale, const struct kp_state *state,
			   const struct kp_prefix *node_addrs, size_t n_node_addrs);

/* Selects flows that are looked for in one pass: those that share an endpoint or a frontend, or
 * with very many flows all of one family.  Fills '*ret' with what they have in common.  The set
 * must not be empty. */
void kp_stale_select(struct kp_stale *stale, struct kp_flow_filter *ret);

/* Removes the flows that were selected, and not removed and added again since. */
void kp_stale_remove_selected(struct kp_stale *stale);

/* True when the set holds 'flow', or holds it as that of a node port at any address. */
bool kp_stale_matches(const struct kp_stale *stale, const struct kp_flow *flow);

#endif
