/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Warning headers: what the server wants whoever runs this client to know, such as the end of an
 * API version.  It says the same with each answer; we say it once (RF-20).  Pure. */
#ifndef KPROXY_WARNINGS_H
#define KPROXY_WARNINGS_H

#include <stddef.h>

enum {
	KP_WARNINGS_MAX = 64, /* texts that are remembered; what comes then is not told */
	KP_WARNING_SIZE = 512,
};

/* Starts as zero. */
struct kp_warnings {
	char *texts[KP_WARNINGS_MAX];
	size_t n;
};

void kp_warnings_clear(struct kp_warnings *warnings);

/* Takes the value of a header, such as '299 - "text" "date"'.  Returns its text when it is new,
 * valid until the next clear; NULL when it is known, or no warning of this form. */
const char *kp_warnings_add(struct kp_warnings *warnings, const char *value);

#endif
