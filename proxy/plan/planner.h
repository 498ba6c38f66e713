/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the plan of a sync: what is wanted, compared with what is installed.  Pure. */
#ifndef KPROXY_PLANNER_H
#define KPROXY_PLANNER_H

#include <stdio.h>

#include "kproxy/plan.h"
#include "model/store.h"
#include "plan/affinity.h"
#include "plan/claims.h"
#include "track/tracker.h"

struct kp_planner {
	const struct kp_store *store;
	struct kp_tracker *tracker;
	struct kp_claims *claims;
	struct kp_affinity_ids affinity_ids;
	/* Reports frontends that two Services ask for; may be NULL. */
	void (*conflict)(const char *loser, const char *winner, const struct kp_vservice *v,
			 const struct kp_frontend *f);
	/* Reports an owner for whom no ids were left (plan/affinity.h); may be NULL. */
	void (*no_affinity)(const char *owner);
};

/* Plans the change from 'have' to what the store asks for, for the owners that the tracker has
 * marked; with 'full', for all.  'node_ports' says where node ports are served
 * (kproxy/plan.h, node_port_ranges) and is copied.
 *
 * '*ret' is empty on entry; it borrows from 'have' and the tracker, and is carried out or cleared
 * before either changes.  May mark further owners in the tracker. */
void kp_planner_build(struct kp_planner *planner, const struct kp_state *have, bool full,
		      const struct kp_prefix *node_ports, size_t n_node_ports, struct kp_plan *ret);

/* Nothing to do. */
bool kp_plan_is_empty(const struct kp_plan *plan);

/* Prints the plan as people read it, one line a change. */
void kp_plan_print(const struct kp_plan *plan, FILE *out);

#endif
