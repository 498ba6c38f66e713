/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/bucket.h"

void kp_bucket_init(struct kp_bucket *bucket, double per_s, unsigned int burst)
{
	*bucket = (struct kp_bucket){.per_ms = per_s > 0 ? per_s / 1000 : 0,
				     .burst = burst > 0 ? burst : 1,
				     .tokens = burst > 0 ? burst : 1};
}

static void refill(struct kp_bucket *bucket, uint64_t now_ms)
{
	if (bucket->at_ms && now_ms > bucket->at_ms)
		bucket->tokens += (now_ms - bucket->at_ms) * bucket->per_ms;
	if (bucket->tokens > bucket->burst)
		bucket->tokens = bucket->burst;
	bucket->at_ms = now_ms;
}

uint64_t kp_bucket_wait_ms(struct kp_bucket *bucket, uint64_t now_ms)
{
	if (bucket->per_ms == 0)
		return 0;
	refill(bucket, now_ms);
	/* One more than the rest of the division: a caller that waits so long finds a token. */
	return bucket->tokens >= 1 ? 0 : (uint64_t)((1 - bucket->tokens) / bucket->per_ms) + 1;
}

bool kp_bucket_take(struct kp_bucket *bucket, uint64_t now_ms)
{
	if (kp_bucket_wait_ms(bucket, now_ms) > 0)
		return false;
	bucket->tokens -= 1;
	return true;
}
