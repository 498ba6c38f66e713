/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From Kubernetes objects to virtual services.  Pure. */
#ifndef KPROXY_DESIRED_H
#define KPROXY_DESIRED_H

#include "kproxy/plan.h"
#include "model/store.h"

/* Makes the virtual services that a Service asks for, in the order of kp_vservices_sort(); an empty
 * list when the Service is not there.  Slots are in the order of addresses: kp_slots_keep() puts
 * them where they are installed.
 *
 * Affinity and endpoint ids are left 0: kp_affinity_assign() gives them.  'node' is our own, NULL
 * when it is not known.  '*ret' is empty on entry and owned by the caller. */
void kp_desired_build(const struct kp_store_service *service, const struct kp_node *node,
		      struct kp_vservices *ret);

/* Drops endpoint sets and sources that no frontend uses, and policies and affinity where there are
 * no endpoints, so that a state holds only what can be programmed and read back. */
void kp_desired_prune(struct kp_vservices *vs);

#endif
