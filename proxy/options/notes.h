/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines for the log that reading a configuration gives.  They wait until it is known how to log. */
#ifndef KPROXY_OPTIONS_NOTES_H
#define KPROXY_OPTIONS_NOTES_H

#include <stddef.h>

#include "kproxy/log.h"

struct kp_note {
	enum kp_log_level level;
	const char *msg; /* static */
	char *details;	 /* key=value pairs */
};

struct kp_notes {
	size_t n;
	struct kp_note *items;
};

void kp_notes_add(struct kp_notes *notes, enum kp_log_level level, const char *msg, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
void kp_notes_log(const struct kp_notes *notes);
void kp_notes_clear(struct kp_notes *notes);

#endif
