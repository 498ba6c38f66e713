/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this proxy does its work, as load balancers and the kubelet ask for it (HZ-1 ... HZ-7):
 *
 *   /livez    changes reach the kernel: none has been waiting for too long
 *   /healthz  the same, and the node is to stay: new connections may come here
 *   /readyz   the same as /livez, the first sync is done, and the watches are not stale: our rules
 *             are in place, and are what the cluster wants
 *
 * Both families are synced in one transaction, so what is said of them is always the same.
 *
 * 'now_us' never jumps (CLOCK_MONOTONIC); 'time_us' is Unix time. */
#ifndef KPROXY_HTTP_HEALTH_H
#define KPROXY_HTTP_HEALTH_H

#include "api/watch.h"
#include "http/server.h"
#include "kproxy/model.h"

/* Zero but for 'timeout_us' at the start, and nobody else's to read. */
struct kp_health {
	int64_t timeout_us; /* how long a change may wait; 2 x syncPeriod (HZ-3) */
	bool waiting;
	int64_t since_us;   /* the oldest change that waits */
	int64_t updated_us; /* the last sync, Unix time; 0 = none yet */
	bool node_seen, node_eligible;
	struct kp_watch watches[KP_N_KINDS];
	size_t n_watches; /* 0: the objects do not come from an API server */
};

/* A change waits to be synced. */
void kp_health_queued(struct kp_health *health, int64_t now_us);

/* A sync succeeded: nothing waits. */
void kp_health_updated(struct kp_health *health, int64_t time_us);

/* What is known of our Node; NULL before it is seen, and when it is gone (HZ-5). */
void kp_health_note_node(struct kp_health *health, const struct kp_node *node);

/* How well the API server is followed. */
void kp_health_note_watches(struct kp_health *health, const struct kp_watch watches[KP_N_KINDS]);

bool kp_health_is_live(const struct kp_health *health, int64_t now_us);

/* Answers a request; 404 for other paths. */
void kp_health_answer(const struct kp_health *health, const char *path, int64_t now_us,
		      int64_t time_us, struct kp_http_answer *ret);

#endif
