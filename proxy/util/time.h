/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Points in time and durations, as Kubernetes writes them. */
#ifndef KPROXY_TIME_H
#define KPROXY_TIME_H

#include <stdint.h>

#define KP_TIME_TEXT_SIZE 40

/* Now, in microseconds of Unix time. */
int64_t kp_time_now_us(void);

/* Microseconds of Unix time from an RFC 3339 time stamp, with or without a fraction; 0 for anything
 * else. */
int64_t kp_time_parse_us(const char *text);

/* "2024-05-06T07:08:09.123456Z"; for 0, the zero of Go's time, which its programs know as "never".
 * Writes into 'buf' and returns it. */
const char *kp_time_text(int64_t us, char buf[KP_TIME_TEXT_SIZE]);

/* Parses a duration as Go does, such as "30s", "1m30s", "250ms" or "1.5h"; "0" needs no unit.
 * -EINVAL when it is something else, is negative, or is longer than a year. */
int kp_duration_parse_ms(const char *text, int64_t *ret);

#endif
