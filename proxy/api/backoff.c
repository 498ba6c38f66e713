/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/backoff.h"

enum {
	FIRST_MS = 800,
	MAX_MS = 30000,
	FORGET_MS = 120000
};

static uint64_t delay(struct kp_backoff *backoff, uint64_t now_ms, const struct kp_random *random)
{
	backoff->until_ms = now_ms + backoff->step_ms +
			    random->below(random->arg, backoff->step_ms);
	return backoff->until_ms;
}

uint64_t kp_backoff_next(struct kp_backoff *backoff, uint64_t now_ms,
			 const struct kp_random *random)
{
	if (backoff->step_ms == 0 || now_ms > backoff->until_ms + FORGET_MS)
		backoff->step_ms = FIRST_MS;
	else
		backoff->step_ms = backoff->step_ms * 2 < MAX_MS ? backoff->step_ms * 2 : MAX_MS;
	return delay(backoff, now_ms, random);
}

uint64_t kp_backoff_longest(struct kp_backoff *backoff, uint64_t now_ms,
			    const struct kp_random *random)
{
	backoff->step_ms = MAX_MS;
	return delay(backoff, now_ms, random);
}
