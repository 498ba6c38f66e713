/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who owns a frontend when several Services ask for the same address and port (FE-4).
 *
 * External IPs, and manifests, can be written by anyone who may edit Services; a collision must not
 * stop the sync.  The oldest Service wins, then the first by name, so that the answer does not
 * depend on the order of events; when the winner goes, the next one takes over. */
#ifndef KPROXY_CLAIMS_H
#define KPROXY_CLAIMS_H

#include "kproxy/plan.h"

struct kp_claims;

struct kp_claims *kp_claims_new(void);
void kp_claims_free(struct kp_claims *claims);

struct kp_claims_events {
	/* 'owner' won or lost a frontend through what another one did, and must be looked at
	 * again. */
	void (*affected)(void *arg, const char *owner);
	/* 'loser' asks for a frontend that 'winner' has.  Comes once, until the loser is filtered
	 * again and there is another winner; a node port that is lost in both families comes once.
	 */
	void (*conflict)(void *arg, const char *loser, const char *winner,
			 const struct kp_vservice *v, const struct kp_frontend *f);
	void *arg;
};

/* Replaces all claims of 'owner' by the frontends of 'vs'; an empty list gives all up.  'created_s'
 * is Unix time, 0 = unknown, which counts as youngest.  Calls 'affected'. */
void kp_claims_update(struct kp_claims *claims, const char *owner, int64_t created_s,
		      const struct kp_vservices *vs, const struct kp_claims_events *events);

/* Drops the frontends of 'vs', the list that 'owner' has claimed, that it has not won, and virtual
 * services that have none left.  Calls 'conflict'. */
void kp_claims_filter(struct kp_claims *claims, const char *owner, struct kp_vservices *vs,
		      const struct kp_claims_events *events);

/* Frontends that owners had to do without when they were last filtered. */
size_t kp_claims_n_losses(const struct kp_claims *claims);

#endif
