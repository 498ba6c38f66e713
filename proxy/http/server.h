/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All HTTP that the process speaks: any number of listening sockets, one libmicrohttpd without a
 * thread, in the loop.
 *
 * Whoever can reach a port may be slow or hostile, so
 * - there are at most KP_HTTP_MAX_CLIENTS connections; when one more comes, the oldest has to go;
 * - a connection carries one request, and ends after KP_HTTP_TIMEOUT_MS in any case;
 * - a request's head has KP_HTTP_MAX_BYTES; its body is not read.
 */
#ifndef KPROXY_HTTP_SERVER_H
#define KPROXY_HTTP_SERVER_H

#include <jansson.h>
#include <uv.h>

#include "kproxy/addr.h"

#define KP_HTTP_MAX_CLIENTS 128
#define KP_HTTP_TIMEOUT_MS 10000
#define KP_HTTP_MAX_BYTES 16384

struct kp_http;
struct kp_http_listener;

struct kp_http_answer {
	unsigned int status;
	const char *type; /* Content-Type */
	char *body;	  /* taken over and freed; NULL: empty */
	size_t size;
	/* One more header; NULL: none. */
	const char *header;
	char header_value[32];
};

/* Answers a request for 'path', whatever its method, at once: the loop waits. */
typedef void (*kp_http_handler)(void *arg, const char *path, struct kp_http_answer *ret);

int kp_http_open(uv_loop_t *loop, struct kp_http **ret, struct kp_err *err);

/* Closes listeners, connections and the handles in the loop, which runs once more.  Accepts NULL.
 */
void kp_http_close(struct kp_http *http);

/* Listens on an address, zero for all; IPv6 takes IPv4 as well when 'dual_stack'.  '*ret' lives
 * until it or 'http' is closed. */
int kp_http_listen(struct kp_http *http, const struct kp_addr_port *at, bool dual_stack,
		   kp_http_handler handler, void *arg, struct kp_http_listener **ret,
		   struct kp_err *err);
void kp_http_unlisten(struct kp_http_listener *listener);

/* Connections that had to go for a newer one or for being too slow, since the start. */
uint64_t kp_http_n_evicted(const struct kp_http *http);

/* Fill an answer; 'body' is copied, or in the case of JSON taken over. */
void kp_http_text(struct kp_http_answer *ret, unsigned int status, const char *body);
void kp_http_json(struct kp_http_answer *ret, unsigned int status, json_t *body);

#endif
