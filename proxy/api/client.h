/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to one API server, over one HTTP/2 connection when it offers that, else over several.
 *
 * The client knows TLS, proxies, credentials and how an answer can go wrong; what is asked and what
 * the answer means is the caller's business. */
#ifndef KPROXY_CLIENT_H
#define KPROXY_CLIENT_H

#include <uv.h>

#include "api/config.h"
#include "api/end.h"

struct kp_client;
struct kp_request;

struct kp_request_handler {
	/* A success has been answered, its body follows.  May be NULL. */
	void (*answered)(void *arg);

	/* The next bytes of the body of a success.  Anything but 0 ends the request: 'end' is then
	 * called with KP_END_BROKEN.  May not start or cancel requests. */
	int (*body)(void *arg, const char *data, size_t size);

	/* Called once at the end; the request is gone then.  May start and cancel others, but not
	 * close the client. */
	void (*end)(void *arg, const struct kp_end *end);

	void *arg;
};

/* How many requests are sent: watches do not count (RF-31). */
struct kp_request_limit {
	double per_s; /* 0 or less: as many as there are */
	unsigned int burst;
};

/* 'config' is borrowed.  Fails when something that it names cannot be used. */
int kp_client_open(const struct kp_api_config *config, const struct kp_request_limit *limit,
		   uv_loop_t *loop, struct kp_client **ret, struct kp_err *err);

/* Ends everything without further calls of handlers.  The caller runs the loop once more. */
void kp_client_close(struct kp_client *client);

/* Starts a request.  'path' is the path and query behind the server's URL.  Answers are never
 * compressed (RF-30).  'handler' is copied; nothing of it is called before this returns. */
struct kp_request *kp_client_get(struct kp_client *client, const char *path,
				 const struct kp_request_handler *handler);

/* The same for a watch, which no limit delays. */
struct kp_request *kp_client_watch(struct kp_client *client, const char *path,
				   const struct kp_request_handler *handler);

/* Creates an object (POST), or changes one by a merge patch (PATCH).  'body' is copied. */
struct kp_request *kp_client_create(struct kp_client *client, const char *path, const json_t *body,
				    const struct kp_request_handler *handler);
struct kp_request *kp_client_patch(struct kp_client *client, const char *path, const json_t *body,
				   const struct kp_request_handler *handler);

/* Drops a request; its handler is not called any more.  Not from within 'body'. */
void kp_request_cancel(struct kp_request *request);

/* The answer is overdue.  Ends this request, and all connections if nothing else has been heard
 * from the server either (RF-27).  'end' is called later. */
void kp_request_suspect(struct kp_request *request);

#endif
