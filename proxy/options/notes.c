/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kproxy/err.h"

void kp_notes_add(struct kp_notes *notes, enum kp_log_level level, const char *msg, const char *fmt,
		  ...)
{
	char details[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(details, sizeof(details), fmt, ap);
	va_end(ap);
	notes->items = kp_xrealloc(notes->items, (notes->n + 1) * sizeof(*notes->items));
	notes->items[notes->n++] =
		(struct kp_note){.level = level, .msg = msg, .details = kp_xstrdup(details)};
}

void kp_notes_log(const struct kp_notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		kp_log(notes->items[i].level, "options", notes->items[i].msg, "%s",
		       notes->items[i].details);
}

void kp_notes_clear(struct kp_notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		free(notes->items[i].details);
	free(notes->items);
	*notes = (struct kp_notes){0};
}
