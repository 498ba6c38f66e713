/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How well one resource of the API server is followed, for health and metrics. */
#ifndef KPROXY_WATCH_H
#define KPROXY_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct kp_watch {
	const char *resource; /* "services"; a constant */
	uint64_t silent_ms;   /* since the server last sent anything for it, bookmarks included */
	bool stale;	      /* longer than a watch that works is silent */

	/* Since the start. */
	uint64_t n_lists;    /* complete ones */
	uint64_t n_watches;  /* requests for one */
	uint64_t n_failures; /* requests that ended otherwise than they should */
	uint64_t n_refused;  /* objects and events that could not be read */
};

#endif
