/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a request, or the stream of a watch, ended.
 *
 * The API server tells a failure in two places: as the status of an answer, and as an ERROR event
 * in the stream of an answer with status 200 (RF-14).  Both come here, so that nobody behind has to
 * know which it was. */
#ifndef KPROXY_END_H
#define KPROXY_END_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum kp_end_kind {
	KP_END_OK,	      /* the answer is complete; the server closed the watch */
	KP_END_NO_CONNECTION, /* no answer began: name, TCP, TLS, proxy, timeout */
	KP_END_BROKEN,	      /* the answer broke off, or is none at all */
	KP_END_GARBAGE,	      /* the answer holds what cannot be understood */
	KP_END_EXPIRED,	      /* 410: the resourceVersion or continue token is too old */
	KP_END_TOO_NEW,	      /* the resourceVersion is one that the server has not reached */
	KP_END_BUSY,	      /* 429, or 5xx that says when to come back */
	KP_END_SERVER_ERROR,  /* 5xx */
	KP_END_UNAUTHORIZED,  /* 401 */
	KP_END_FORBIDDEN,     /* 403 */
	KP_END_NOT_FOUND,     /* 404 */
	KP_END_REFUSED,	      /* 400, 422: a parameter */
	KP_END_UNUSABLE,      /* all others: redirects, 406, 415 */
};

/* How the server's logs name a request, and the class that it was admitted with; "": not told
 * (RF-20). */
struct kp_request_ids {
	char audit[64], flow_schema[64];
};

struct kp_end {
	enum kp_end_kind kind;
	uint32_t retry_after_s; /* 1..60 with KP_END_BUSY, 0: not told (RF-19) */
	bool renewed;		/* with KP_END_UNAUTHORIZED: other credentials are there now */
	struct kp_request_ids ids;
	char text[512]; /* one line for people */
};

/* Parses the value of a Retry-After header: 1..60 seconds, 0 when it is no number. */
uint32_t kp_end_parse_retry_after(const char *value);

/* Classifies a Status object; 'http_status' (0 for an event) counts where the object has no code.
 */
void kp_end_from_status(const json_t *status, int http_status, uint32_t retry_after_s,
			struct kp_end *ret);

/* Classifies an answer that is no success by its body, which may be anything. */
void kp_end_from_answer(int http_status, uint32_t retry_after_s, const char *body, size_t size,
			struct kp_end *ret);

/* Sets an end of any kind with a text. */
void kp_end_set(struct kp_end *end, enum kp_end_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
