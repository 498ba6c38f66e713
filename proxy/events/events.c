/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/events.h"

#include <stdarg.h>
#include <stdio.h>

/* The API refuses notes of 1 kB. */
#define NOTE_SIZE 1000

static void (*listener)(void *arg, const struct kp_event *event);
static void *listener_arg;

void kp_events_listen(void (*fn)(void *arg, const struct kp_event *event), void *arg)
{
	listener = fn;
	listener_arg = arg;
}

static void tell(struct kp_event event, const char *fmt, va_list ap)
{
	char note[NOTE_SIZE];

	if (!listener)
		return;
	vsnprintf(note, sizeof(note), fmt, ap);
	event.note = note;
	listener(listener_arg, &event);
}

void kp_event_node(enum kp_severity severity, const char *reason, const char *action,
		   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell((struct kp_event){.severity = severity, .reason = reason, .action = action}, fmt, ap);
	va_end(ap);
}

void kp_event_service(const char *service, const char *reason, const char *action, const char *fmt,
		      ...)
{
	const struct kp_event event = {
		.severity = KP_WARNING, .reason = reason, .action = action, .service = service};
	va_list ap;

	va_start(ap, fmt);
	tell(event, fmt, ap);
	va_end(ap);
}
