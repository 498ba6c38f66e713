/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libcurl's multi interface on the libuv loop, and the sockets of its connections. */
#ifndef KPROXY_MULTI_H
#define KPROXY_MULTI_H

#include <curl/curl.h>
#include <uv.h>

struct kp_multi;

/* 'done' is called outside of libcurl for each transfer that has ended; it may add and remove
 * transfers, this one included. */
struct kp_multi *kp_multi_new(uv_loop_t *loop, void (*done)(void *arg, CURL *easy, CURLcode result),
			      void *arg);

/* All transfers have been removed before.  The caller runs the loop once more. */
void kp_multi_close(struct kp_multi *multi);

/* Adds a transfer; its connections get the guards against dead peers (RF-24). */
void kp_multi_add(struct kp_multi *multi, CURL *easy);

/* Not from within libcurl's callbacks. */
void kp_multi_remove(struct kp_multi *multi, CURL *easy);

/* Shuts all connections down: their transfers end at once, and no later one can land on a dead
 * connection (RF-27). */
void kp_multi_shutdown_sockets(struct kp_multi *multi);

#endif
