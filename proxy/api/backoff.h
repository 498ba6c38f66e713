/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing delays with jitter, each drawn from [d, 2d): d is 0.8 s first, then doubles (RF-18).
 *
 * client-go starts anew when no delay was needed for two minutes; here success does it, so that a
 * server that is restarted a few times in a row is not shunned for a minute. */
#ifndef KPROXY_BACKOFF_H
#define KPROXY_BACKOFF_H

#include <stdint.h>

/* Returns a number that is uniform in [0, n). */
typedef uint32_t kp_random_fn(void *arg, uint32_t n);

struct kp_random {
	kp_random_fn *below;
	void *arg;
};

struct kp_backoff {
	uint32_t step_ms; /* the last d; 0: none yet */
};

/* The largest d.  That for connections makes as many attempts as four reflectors of client-go,
 * which wait each for itself. */
#define KP_BACKOFF_REQUEST_MS 30000
#define KP_BACKOFF_CONNECTION_MS 7500

/* The time at which to try again.  Times are of any monotonic clock. */
uint64_t kp_backoff_next(struct kp_backoff *backoff, uint32_t max_ms, uint64_t now_ms,
			 const struct kp_random *random);

/* The same with the longest delay of a request, for what waiting a little does not mend. */
uint64_t kp_backoff_longest(struct kp_backoff *backoff, uint64_t now_ms,
			    const struct kp_random *random);

/* The next delay is the first one again. */
void kp_backoff_reset(struct kp_backoff *backoff);

#endif
