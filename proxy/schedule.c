/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "schedule.h"

enum {
	RETRY_FIRST_MS = 100,
	/* A full sync of a large cluster is not cheap, and changes come at any rate. */
	AFTER_FAILURE_MS = 1000,
};

void kp_schedule_succeeded(struct kp_schedule *s, uint64_t now_ms, bool full)
{
	s->n_failures = 0;
	if (full)
		s->full_ms = now_ms + KP_SCHEDULE_FULL_MS;
}

void kp_schedule_failed(struct kp_schedule *s, uint64_t now_ms, bool full)
{
	uint64_t delay = RETRY_FIRST_MS;

	for (unsigned int i = 0; i < s->n_failures && delay < s->retry_max_ms; i++)
		delay *= 2;
	if (delay > s->retry_max_ms)
		delay = s->retry_max_ms;
	/* What is in the kernel is not what we believe: look at once. */
	if (!full)
		delay = 0;
	s->n_failures++;
	s->failed_ms = now_ms;
	s->retry_ms = now_ms + delay;
}

uint64_t kp_schedule_change(const struct kp_schedule *s, uint64_t now_ms)
{
	uint64_t due = s->failed_ms + AFTER_FAILURE_MS;

	if (s->n_failures == 0)
		return now_ms;
	if (due > s->retry_ms)
		due = s->retry_ms;
	return due > now_ms ? due : now_ms;
}
