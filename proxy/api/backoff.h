/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing delays with jitter, as client-go has them (RF-18): 0.8 s doubling to 30 s, each drawn
 * from [d, 2d); back to the start when none was needed for two minutes. */
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
	uint32_t step_ms;  /* the last d; 0: none yet */
	uint64_t until_ms; /* the end of the last delay */
};

/* The time at which to try again.  Times are of any monotonic clock. */
uint64_t kp_backoff_next(struct kp_backoff *backoff, uint64_t now_ms,
			 const struct kp_random *random);

/* The same with the longest delay, for what waiting a little does not mend. */
uint64_t kp_backoff_longest(struct kp_backoff *backoff, uint64_t now_ms,
			    const struct kp_random *random);

#endif
