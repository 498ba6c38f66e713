/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The monotonic clock, for durations and deadlines.  A libuv loop's own time stands still while a
 * callback runs. */
#ifndef KPROXY_CLOCK_H
#define KPROXY_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t kp_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static inline uint64_t kp_clock_ms(void)
{
	return kp_clock_us() / 1000;
}

#endif
