/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ids for session affinity: records in the kernel name a virtual service and one life of one of
 * its endpoints (SA-4).  Ids that are installed are kept; new ones are given in turn, so that an id
 * is used again as late as possible.  Pure. */
#ifndef KPROXY_AFFINITY_H
#define KPROXY_AFFINITY_H

#include "kproxy/plan.h"

/* The virtual services' ids in use, per family. */
struct kp_affinity_ids {
	uint16_t last[KP_N_FAMILIES];
	uint8_t used[KP_N_FAMILIES][KP_MAX_AFFINITY_ID / 8 + 1];
};

/* Learns the ids that are installed. */
void kp_affinity_ids_reset(struct kp_affinity_ids *ids, const struct kp_state *have);

/* Gives ids to the virtual services of 'want' that have affinity and to their endpoints, the same
 * as in 'have' where they are in both, and takes back those that only 'have' holds.
 *
 * -ENOSPC when there are none left: a virtual service that lacks one is balanced without affinity.
 */
int kp_affinity_assign(struct kp_affinity_ids *ids, struct kp_vservices *want,
		       const struct kp_vservices *have);

#endif
