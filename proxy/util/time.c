/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define US_PER_S 1000000
#define YEAR_MS (365LL * 24 * 3600 * 1000)

int64_t kp_time_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

/* The fraction at '*p' in microseconds; moves '*p' behind it. */
static int64_t parse_fraction_us(const char **p)
{
	int64_t us = 0;

	if (**p != '.')
		return 0;
	(*p)++;
	for (int64_t unit = US_PER_S / 10; **p >= '0' && **p <= '9'; unit /= 10, (*p)++)
		us += (**p - '0') * unit;
	return us;
}

int64_t kp_time_parse_us(const char *text)
{
	int hours, minutes, end = 0;
	struct tm tm = {0};
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t us;

	if (!p)
		return 0;
	us = parse_fraction_us(&p) + timegm(&tm) * (int64_t)US_PER_S;
	if (strcasecmp(p, "Z") == 0)
		return us;
	if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &end) != 2 ||
	    p[1 + end] || hours < 0 || minutes < 0)
		return 0;
	return us + (*p == '-' ? 1 : -1) * (hours * 3600 + minutes * 60) * (int64_t)US_PER_S;
}

const char *kp_time_text(int64_t us, char buf[KP_TIME_TEXT_SIZE])
{
	time_t seconds = us / US_PER_S;
	struct tm tm;
	size_t len;

	if (us == 0)
		return strcpy(buf, "0001-01-01T00:00:00Z");
	gmtime_r(&seconds, &tm);
	len = strftime(buf, KP_TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, KP_TIME_TEXT_SIZE - len, ".%06dZ", (int)(us % US_PER_S));
	return buf;
}

/* Milliseconds of the unit at '*p', 0 when there is none; moves '*p' behind it. */
static double parse_unit_ms(const char **p)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t len = strlen(units[i].name);

		if (strncmp(*p, units[i].name, len) != 0)
			continue;
		*p += len;
		return units[i].ms;
	}
	return 0;
}

int kp_duration_parse_ms(const char *text, int64_t *ret)
{
	double total = 0;
	const char *p = text;

	if (strcmp(text, "0") == 0) {
		*ret = 0;
		return 0;
	}
	do {
		size_t len = strspn(p, "0123456789.");
		double value, unit;
		char *end;

		/* Not strtod() alone: it knows "inf" and "0x1p3". */
		value = strtod(p, &end);
		if (len == 0 || end != p + len)
			return -EINVAL;
		p = end;
		unit = parse_unit_ms(&p);
		total += value * unit;
		if (unit == 0 || total > YEAR_MS)
			return -EINVAL;
	} while (*p);
	*ret = (int64_t)total;
	return 0;
}
