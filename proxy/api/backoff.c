/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/backoff.h"

enum {
	FIRST_MS = 800
};

static uint64_t delayed(const struct kp_backoff *backoff, uint64_t now_ms,
			const struct kp_random *random)
{
	return now_ms + backoff->step_ms + random->below(random->arg, backoff->step_ms);
}

uint64_t kp_backoff_next(struct kp_backoff *backoff, uint32_t max_ms, uint64_t now_ms,
			 const struct kp_random *random)
{
	uint32_t next = backoff->step_ms ? backoff->step_ms * 2 : FIRST_MS;

	backoff->step_ms = next < max_ms ? next : max_ms;
	return delayed(backoff, now_ms, random);
}

uint64_t kp_backoff_longest(struct kp_backoff *backoff, uint64_t now_ms,
			    const struct kp_random *random)
{
	backoff->step_ms = KP_BACKOFF_REQUEST_MS;
	return delayed(backoff, now_ms, random);
}

void kp_backoff_reset(struct kp_backoff *backoff)
{
	backoff->step_ms = 0;
}
