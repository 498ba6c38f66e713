/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the next sync is due: after a change, again after a failure, and a full one now and then.
 *
 * Pure: times are milliseconds of any monotonic clock, and handed in. */
#ifndef KPROXY_SCHEDULE_H
#define KPROXY_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* Time from one full sync to the next, whatever syncPeriod is (SY-5). */
#define KP_SCHEDULE_FULL_MS (3600 * UINT64_C(1000))

struct kp_schedule {
	uint64_t retry_max_ms;	      /* syncPeriod; the only field that is set from outside */
	unsigned int n_failures;      /* in a row */
	uint64_t failed_ms, retry_ms; /* while there are: the last one, and when to try again */
	uint64_t full_ms; /* when the next full sync is due; 0: the first one is to come */
};

/* A sync was done. */
void kp_schedule_succeeded(struct kp_schedule *schedule, uint64_t now_ms, bool full);

/* A sync failed: the retry, which is a full sync, is due at 'retry_ms'.  At once when the kernel
 * was not looked at before, else with delays that grow up to syncPeriod (SY-4). */
void kp_schedule_failed(struct kp_schedule *schedule, uint64_t now_ms, bool full);

/* When to sync a change that comes now: at once, but not within a second of a failure. */
uint64_t kp_schedule_change(const struct kp_schedule *schedule, uint64_t now_ms);

#endif
