/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A token bucket: so many at once, then one at a time.  Times are ms of any monotonic clock. */
#ifndef KPROXY_BUCKET_H
#define KPROXY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct kp_bucket {
	double per_ms; /* tokens that come back; 0: no limit */
	double burst;  /* tokens that it holds at most */
	double tokens;
	uint64_t at_ms; /* when 'tokens' was counted */
};

/* A full bucket; 'per_s' 0 or less is one without limit. */
void kp_bucket_init(struct kp_bucket *bucket, double per_s, unsigned int burst);

/* Takes a token, if there is one. */
bool kp_bucket_take(struct kp_bucket *bucket, uint64_t now_ms);

/* How long until there is a token, in ms; 0: there is one. */
uint64_t kp_bucket_wait_ms(struct kp_bucket *bucket, uint64_t now_ms);

#endif
