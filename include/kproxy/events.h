/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events as "kubectl describe" shows them: what whoever runs the cluster should see without reading
 * our log.  Not to be mistaken for the events of a watch.
 *
 * As with the log, anyone may tell, and nobody has to listen: with manifests nobody does.  Telling
 * never waits. */
#ifndef KPROXY_EVENTS_H
#define KPROXY_EVENTS_H

enum kp_severity {
	KP_NORMAL,
	KP_WARNING,
};

struct kp_event {
	enum kp_severity severity;
	const char *reason;  /* a constant, in CamelCase; the rate limit goes by it */
	const char *action;  /* a constant: what we did or tried */
	const char *service; /* "namespace/name"; NULL: our own Node */
	const char *note;    /* for people.  The same text again is the same event once more. */
};

/* Tells of our own Node. */
void kp_event_node(enum kp_severity severity, const char *reason, const char *action,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Warns of a Service, "namespace/name". */
void kp_event_service(const char *service, const char *reason, const char *action, const char *fmt,
		      ...) __attribute__((format(printf, 4, 5)));

/* From now on 'fn' hears all events; NULL: nobody.  The event is only valid during the call. */
void kp_events_listen(void (*fn)(void *arg, const struct kp_event *event), void *arg);

#endif
