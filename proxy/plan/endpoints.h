/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which endpoints of a service port are used: the join with EndpointSlices (ES-4, ES-7), the choice
 * of the cluster and the local set (EP-1 ... EP-12).  Pure. */
#ifndef KPROXY_ENDPOINTS_H
#define KPROXY_ENDPOINTS_H

#include "kproxy/plan.h"
#include "model/store.h"

struct kp_endpoint_choice {
	struct kp_endpoint_set cluster; /* EP-2 */
	struct kp_endpoint_set local;	/* EP-3 */
	struct kp_endpoint_set serving; /* all that serve, terminating or not (CT-3) */
	bool any;			/* a usable endpoint exists on some node (EP-5) */
	bool local_ready;		/* 'local' is ready, and not what terminates (HC-8) */
};

/* Chooses among the endpoints of one family that belong to 'port'.  Sets are sorted by address and
 * port, free of duplicates, and hold KP_MAX_SLOTS at most.  The caller owns the sets. */
void kp_endpoints_choose(const struct kp_store_service *service, const struct kp_service_port *port,
			 enum kp_family family, const char *zone, struct kp_endpoint_choice *ret);

/* The number of addresses of ready endpoints on our node, over all ports of a Service (HC-3). */
size_t kp_endpoints_count_local(const struct kp_store_service *service, enum kp_family family);

#endif
