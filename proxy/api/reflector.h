/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to ask the API server next for one resource, and when: list, watch, resume, list again.
 *
 * A pure state machine.  Whoever drives it sends what it asks for, tells it what comes back, and
 * keeps the objects; time and chance are handed in.
 *
 *     LIST         -> page ... page -> complete: WATCH
 *     STREAM_LIST  -> events ... end of the initial events: the same stream goes on as WATCH
 *     WATCH        -> events ... the stream ends: WATCH from the last version, or LIST
 *     ABSENT       -> an optional resource that the server lacks: LIST, much later
 *
 * kp_reflector_end() is the table of what follows on which end.  Times are milliseconds of any
 * monotonic clock. */
#ifndef KPROXY_REFLECTOR_H
#define KPROXY_REFLECTOR_H

#include <stdbool.h>

#include "api/backoff.h"
#include "api/end.h"
#include "api/selection.h"

#define KP_NEVER UINT64_MAX

/* A resourceVersion is text: kept and sent back as it came. */
#define KP_VERSION_SIZE 64

struct kp_reflector_settings {
	struct kp_selection selection;
	struct kp_random random;
};

enum kp_reflector_phase {
	KP_REFLECTOR_LIST,
	KP_REFLECTOR_STREAM_LIST,
	KP_REFLECTOR_WATCH,
	KP_REFLECTOR_ABSENT,
};

struct kp_reflector {
	struct kp_reflector_settings settings;
	enum kp_reflector_phase phase;
	bool synced; /* one list was complete, or the resource is absent */
	bool fatal;  /* before the first list: retrying will not help */

	char version[KP_VERSION_SIZE]; /* of the last list or event; "": none yet */
	uint64_t due_ms;	       /* when to send the next request */
	struct kp_backoff backoff;

	/* How to list. */
	bool newest_first;  /* the server answers "newest" from memory (1.31) */
	bool version_lost;  /* the last version is of no use: ask for the newest */
	bool pages;	    /* lists of the newest come in pages */
	bool no_pages_once; /* a page has expired */
	bool stream_lists;
	unsigned int n_stream_failures;
	bool drop_field_selector;
	char *continue_token;		    /* NULL: ask for the first page */
	char list_version[KP_VERSION_SIZE]; /* of the first page */
	uint64_t relist_ms;		    /* when to list although nothing failed (RF-13) */

	/* Limits on what is done at once. */
	bool relisted_at_once;	      /* no watch has worked since */
	bool watch_failed;	      /* the last one did not work */
	bool renewed;		      /* the credentials, and no request has worked since */
	uint64_t went_back_ms;	      /* when the server last lost its history */
	unsigned int n_server_errors; /* of watches, in a row */

	/* What is heard of the server. */
	uint64_t heard_ms;    /* the last time, or the start */
	bool sends_bookmarks; /* about once a minute, if it ever does */

	/* The request under way. */
	bool in_flight, answered;
	bool has_bookmark;
	size_t n_events;
	uint64_t sent_ms, byte_ms, event_ms;
	uint64_t deadline_ms;
};

/* 'settings' is copied, its texts are borrowed. */
void kp_reflector_init(struct kp_reflector *reflector, const struct kp_reflector_settings *settings,
		       uint64_t now_ms);
void kp_reflector_clear(struct kp_reflector *reflector);

/* Tells what the server is capable of, before the first request. */
void kp_reflector_set_server(struct kp_reflector *reflector, int major, int minor,
			     bool stream_lists);

/* Forgets the request under way and all delays: the next thing is a list of the newest.  The server
 * may be another one; kp_reflector_set_server() tells what it is capable of. */
void kp_reflector_restart(struct kp_reflector *reflector, uint64_t now_ms);

/* The path and query to send now; the caller frees it.  The request is under way until
 * kp_reflector_listed() or kp_reflector_end(). */
char *kp_reflector_request(struct kp_reflector *reflector, uint64_t now_ms);

/* Bytes have come; the headers of the answer count as well. */
void kp_reflector_alive(struct kp_reflector *reflector, uint64_t now_ms);

enum kp_list_result {
	KP_LIST_MORE,	  /* another page is due */
	KP_LIST_COMPLETE, /* what was not in the list does not exist */
	KP_LIST_REFUSED,  /* the list says something impossible; it starts over */
};

/* The answer to a list is complete.  'version' and 'continue_token' are those of its metadata; ""
 * when missing. */
enum kp_list_result kp_reflector_listed(struct kp_reflector *reflector, uint64_t now_ms,
					const char *version, const char *continue_token);

enum kp_event_type {
	KP_EVENT_ADDED,
	KP_EVENT_MODIFIED,
	KP_EVENT_DELETED,
	KP_EVENT_BOOKMARK,
	KP_EVENT_UNKNOWN,
};

enum kp_event_result {
	KP_EVENT_GO_ON,
	KP_EVENT_LIST_COMPLETE, /* as KP_LIST_COMPLETE */
	KP_EVENT_STOP,		/* the server has lost history: end the request, list again */
};

/* An event has been applied.  'version' is its object's; 'ends_initial' is the mark of the bookmark
 * behind the initial events. */
enum kp_event_result kp_reflector_event(struct kp_reflector *reflector, uint64_t now_ms,
					enum kp_event_type type, const char *version,
					bool ends_initial);

/* The request has ended, other than by a complete list. */
void kp_reflector_end(struct kp_reflector *reflector, uint64_t now_ms, const struct kp_end *end);

/* When the request under way has to be taken for dead, if nothing comes (RF-25, RF-26). */
uint64_t kp_reflector_guard(const struct kp_reflector *reflector);

/* The guard has struck: the caller ends the request and reports KP_END_BROKEN. */
void kp_reflector_guard_struck(struct kp_reflector *reflector);

/* What is known may be out of date: the server has been silent for longer than it is while a watch
 * works, and than it takes to replace one that does not. */
bool kp_reflector_is_stale(const struct kp_reflector *reflector, uint64_t now_ms);

/* Orders two resourceVersions of one resource; 0 also when one of them is no number (RF-9). */
int kp_version_compare(const char *a, const char *b);

#endif
