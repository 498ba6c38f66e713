/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The health check ports of Services (HC-1 ... HC-8): load balancers ask them whether this node has
 * endpoints of the Service, and how many.  They bring all traffic of a Service with policy Local to
 * the nodes that answer 200. */
#ifndef KPROXY_HTTP_SERVICE_HEALTH_H
#define KPROXY_HTTP_SERVICE_HEALTH_H

#include "http/server.h"
#include "kproxy/plan.h"
#include "model/store.h"
#include "track/tracker.h"

struct kp_service_health;

/* 'is_live' is asked at each request whether this proxy is healthy (HZ-3).  All is borrowed. */
struct kp_service_health *kp_service_health_new(struct kp_http *http, const struct kp_store *store,
						bool (*is_live)(const void *arg), const void *arg);

/* Before 'http' is closed.  Accepts NULL. */
void kp_service_health_free(struct kp_service_health *sh);

/* After a sync: looks at the Services that the tracker has marked, and listens where node ports are
 * served.  'full': the node's addresses may have changed.  A port that cannot be had is logged
 * once, and tried again after each sync (HC-6). */
void kp_service_health_update(struct kp_service_health *sh, const struct kp_tracker *tracker,
			      const struct kp_facts *facts, bool full);

/* Services with such a port, and of these the ones that cannot be asked. */
size_t kp_service_health_n_ports(const struct kp_service_health *sh);
size_t kp_service_health_n_failed(const struct kp_service_health *sh);

#endif
