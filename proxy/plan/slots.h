/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stable slots: an endpoint that stays keeps its slot.  Pure. */
#ifndef KPROXY_SLOTS_H
#define KPROXY_SLOTS_H

#include "kproxy/plan.h"

/* Reorders the endpoint sets of 'want' so that they differ from those of 'have' in as few slots as
 * possible: one endpoint less moves at most one other into its place. */
void kp_slots_keep(struct kp_vservices *want, const struct kp_vservices *have);

#endif
