/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libcurl says which descriptors to watch and when to wake it.
 *
 * Two lists that must not be confused: 'watches' are descriptors that libcurl wants polled, its
 * resolver's included; 'sockets' are the connections.  A number of a descriptor is reused as soon
 * as it is closed, so a watch ends at the latest when its socket is closed. */
#include "api/multi.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "kproxy/err.h"

/* RF-24: a peer that has vanished is noticed after 30 s, whether we wait or send. */
enum {
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
	KEEPALIVE_COUNT = 3,
	USER_TIMEOUT_MS = 30000,
};

/* Releases of libcurl have missed events of descriptors; looking now and then heals that. */
enum {
	LOOK_MS = 5000
};

struct watch {
	struct watch *prev, *next;
	struct kp_multi *multi;
	uv_poll_t poll;
	curl_socket_t fd;
};

struct socket {
	struct socket *prev, *next;
	curl_socket_t fd;
};

struct kp_multi {
	CURLM *curl;
	uv_loop_t *loop;
	void (*done)(void *arg, CURL *easy, CURLcode result);
	void *arg;
	uv_timer_t timer, look_timer;
	unsigned int n_open; /* timers */
	unsigned int n_transfers;
	struct watch *watches;
	struct socket *sockets;
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch);
static int on_timeout(CURLM *curl, long ms, void *arg);

struct kp_multi *kp_multi_new(uv_loop_t *loop, void (*done)(void *arg, CURL *easy, CURLcode result),
			      void *arg)
{
	struct kp_multi *m = kp_xcalloc(1, sizeof(*m));

	m->loop = loop;
	m->done = done;
	m->arg = arg;
	uv_timer_init(loop, &m->timer);
	uv_timer_init(loop, &m->look_timer);
	m->timer.data = m->look_timer.data = m;
	m->n_open = 2;
	m->curl = curl_multi_init();
	if (!m->curl)
		abort();
	curl_multi_setopt(m->curl, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
	return m;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kp_multi *m = handle->data;

	if (--m->n_open == 0)
		free(m);
}

void kp_multi_close(struct kp_multi *m)
{
	if (!m)
		return;
	curl_multi_cleanup(m->curl);
	uv_close((uv_handle_t *)&m->timer, on_timer_closed);
	uv_close((uv_handle_t *)&m->look_timer, on_timer_closed);
}

/* --- driving --- */

static void finish_transfers(struct kp_multi *m)
{
	const CURLMsg *message;
	int n_left;

	while ((message = curl_multi_info_read(m->curl, &n_left)))
		if (message->msg == CURLMSG_DONE)
			m->done(m->arg, message->easy_handle, message->data.result);
}

static void drive(struct kp_multi *m, curl_socket_t fd, int events)
{
	int n_running;

	curl_multi_socket_action(m->curl, fd, events, &n_running);
	finish_transfers(m);
}

static void on_timer(uv_timer_t *timer)
{
	drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *curl, long ms, void *arg)
{
	struct kp_multi *m = arg;

	(void)curl;
	if (ms < 0)
		uv_timer_stop(&m->timer);
	else
		uv_timer_start(&m->timer, on_timer, ms, 0);
	return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	int what = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
		   (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);

	drive(watch->multi, watch->fd, status < 0 ? CURL_CSELECT_ERR : what);
}

/* --- watches --- */

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void end_watch(struct watch *watch)
{
	struct kp_multi *m = watch->multi;

	DL_DELETE(m->watches, watch);
	curl_multi_assign(m->curl, watch->fd, NULL);
	uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct watch *start_watch(struct kp_multi *m, curl_socket_t fd)
{
	struct watch *watch = kp_xcalloc(1, sizeof(*watch));

	watch->multi = m;
	watch->fd = fd;
	if (uv_poll_init_socket(m->loop, &watch->poll, fd) < 0) {
		free(watch);
		return NULL;
	}
	watch->poll.data = watch;
	DL_APPEND(m->watches, watch);
	curl_multi_assign(m->curl, fd, watch);
	return watch;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	struct kp_multi *m = arg;
	struct watch *watch = assigned;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch)
			end_watch(watch);
		return 0;
	}
	if (!watch)
		watch = start_watch(m, fd);
	if (!watch)
		return -1;
	uv_poll_start(&watch->poll,
		      (what & CURL_POLL_IN ? UV_READABLE : 0) |
			      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_ready);
	return 0;
}

/* --- sockets --- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct kp_multi *m = arg;
	struct socket *s;
	int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			addr->protocol);

	(void)purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	s = kp_xcalloc(1, sizeof(*s));
	s->fd = fd;
	DL_APPEND(m->sockets, s);
	return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct kp_multi *m = arg;
	struct watch *watch, *next_watch;
	struct socket *s, *next;

	DL_FOREACH_SAFE (m->watches, watch, next_watch)
		if (watch->fd == fd)
			end_watch(watch);
	DL_FOREACH_SAFE (m->sockets, s, next) {
		if (s->fd != fd)
			continue;
		DL_DELETE(m->sockets, s);
		free(s);
	}
	return close(fd);
}

static int set_guards(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
		{IPPROTO_TCP, TCP_NODELAY, 1},
	};

	(void)arg;
	(void)purpose;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			       sizeof(int)) < 0)
			return CURL_SOCKOPT_ERROR;
	return CURL_SOCKOPT_OK;
}

void kp_multi_shutdown_sockets(struct kp_multi *m)
{
	for (const struct socket *s = m->sockets; s; s = s->next)
		shutdown(s->fd, SHUT_RDWR);
}

/* --- transfers --- */

static void on_look_timer(uv_timer_t *timer)
{
	drive(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

void kp_multi_add(struct kp_multi *m, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, m);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, m);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_guards);
	if (m->n_transfers++ == 0)
		uv_timer_start(&m->look_timer, on_look_timer, LOOK_MS, LOOK_MS);
	curl_multi_add_handle(m->curl, easy);
}

void kp_multi_remove(struct kp_multi *m, CURL *easy)
{
	curl_multi_remove_handle(m->curl, easy);
	if (--m->n_transfers == 0)
		uv_timer_stop(&m->look_timer);
}
