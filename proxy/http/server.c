/* SPDX-License-Identifier: GPL-2.0-or-later */
/* We accept and libmicrohttpd does the rest, so that listening sockets come and go without a daemon
 * each, and the limits hold for all of them together. */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

enum {
	BACKLOG = 4096, /* a full queue drops clients, who try again a second or more later */
	ACCEPT_MAX = 64,
};

struct client {
	struct client *prev, *next;
	struct kp_http_listener *listener; /* NULL: closed meanwhile */
	int fd;				   /* libmicrohttpd's */
	uint64_t start_ms;
	bool evicted;
};

struct kp_http_listener {
	struct kp_http_listener *prev, *next;
	struct kp_http *http;
	kp_http_handler handler;
	void *arg;
	int fd;
	uv_poll_t poll;
};

struct kp_http {
	struct MHD_Daemon *daemon;
	uv_poll_t poll;	  /* its epoll descriptor */
	uv_timer_t timer; /* its time-outs and ours */
	struct kp_http_listener *listeners;
	struct client *clients; /* oldest first */
	unsigned int n_clients;
	uint64_t n_evicted;
	bool paused; /* no descriptors are left, some listeners wait a second */
	uint64_t paused_ms;
};

static void run(struct kp_http *http);

static enum MHD_Result queue(struct MHD_Connection *connection, const struct kp_http_answer *answer)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(answer->size, answer->body,
									MHD_RESPMEM_MUST_FREE);
	enum MHD_Result r;

	if (!response) {
		free(answer->body);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", answer->type);
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "Connection", "close");
	if (answer->header)
		MHD_add_response_header(response, answer->header, answer->header_value);
	r = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return r;
}

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct kp_http_answer answer = {.status = MHD_HTTP_OK, .type = "text/plain"};
	struct client *client = client_of(connection);

	(void)arg, (void)method, (void)version, (void)upload, (void)state;
	*upload_size = 0;
	if (!client || !client->listener)
		return MHD_NO;
	client->listener->handler(client->listener->arg, url, &answer);
	return queue(connection, &answer);
}

static struct client *find_client(const struct kp_http *http, int fd)
{
	struct client *client;

	DL_SEARCH_SCALAR(http->clients, client, fd, fd);
	return client;
}

static void remove_client(struct kp_http *http, struct client *client)
{
	DL_DELETE(http->clients, client);
	http->n_clients--;
	free(client);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct kp_http *http = arg;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = find_client(
			http, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
				      ->connect_fd);
	else if (*context)
		remove_client(http, *context);
}

/* libmicrohttpd sees the end of the connection and closes it. */
static void evict(struct kp_http *http, struct client *client)
{
	if (client->evicted)
		return;
	client->evicted = true;
	http->n_evicted++;
	shutdown(client->fd, SHUT_RDWR);
}

static void evict_slow(struct kp_http *http)
{
	uint64_t now_ms = uv_now(http->timer.loop);
	struct client *client;

	DL_FOREACH (http->clients, client) {
		if (now_ms - client->start_ms < KP_HTTP_TIMEOUT_MS)
			return;
		evict(http, client);
	}
}

static void on_accept(uv_poll_t *poll, int status, int events);

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void resume(struct kp_http *http)
{
	struct kp_http_listener *listener;

	http->paused = false;
	DL_FOREACH (http->listeners, listener)
		uv_poll_start(&listener->poll, UV_READABLE, on_accept);
}

/* Looks again when libmicrohttpd has to, or a second later while there is something to wait for. */
static void run(struct kp_http *http)
{
	MHD_UNSIGNED_LONG_LONG ms = 1000;

	evict_slow(http);
	if (http->paused && uv_now(http->timer.loop) - http->paused_ms >= 1000)
		resume(http);
	MHD_run(http->daemon);
	if (!http->clients && !http->paused) {
		uv_timer_stop(&http->timer);
		return;
	}
	if (MHD_get_timeout(http->daemon, &ms) != MHD_YES || ms > 1000)
		ms = 1000;
	uv_timer_start(&http->timer, on_timer, ms, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	run(poll->data);
}

/* False: no room, the oldest clients would not go. */
static bool make_room(struct kp_http *http)
{
	if (http->n_clients < KP_HTTP_MAX_CLIENTS)
		return true;
	evict(http, http->clients);
	MHD_run(http->daemon);
	return http->n_clients < KP_HTTP_MAX_CLIENTS;
}

static void add_client(struct kp_http_listener *listener, int fd,
		       const struct sockaddr_storage *peer, socklen_t peer_size)
{
	struct kp_http *http = listener->http;
	struct client *client;

	if (!make_room(http)) {
		close(fd);
		return;
	}
	client = kp_xcalloc(1, sizeof(*client));
	client->listener = listener;
	client->fd = fd;
	client->start_ms = uv_now(http->timer.loop);
	DL_APPEND(http->clients, client);
	http->n_clients++;
	/* It closes the descriptor also when it fails, and may have told us so or not. */
	if (MHD_add_connection(http->daemon, fd, (const struct sockaddr *)peer, peer_size) !=
		    MHD_YES &&
	    (client = find_client(http, fd)))
		remove_client(http, client);
}

/* The client that could not be accepted stays in the queue, and would wake us without end. */
static void make_descriptors(struct kp_http_listener *listener)
{
	struct kp_http *http = listener->http;

	if (http->clients && !http->clients->evicted) {
		evict(http, http->clients);
		return;
	}
	uv_poll_stop(&listener->poll);
	http->paused = true;
	http->paused_ms = uv_now(listener->poll.loop);
}

static bool accept_one(struct kp_http_listener *listener)
{
	struct sockaddr_storage peer = {0};
	socklen_t peer_size = sizeof(peer);
	int fd = accept4(listener->fd, (struct sockaddr *)&peer, &peer_size,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		add_client(listener, fd, &peer, peer_size);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		make_descriptors(listener);
	return fd >= 0;
}

/* Not all in one turn of the loop, so that a flood of clients leaves room for everything else. */
static void on_accept(uv_poll_t *poll, int status, int events)
{
	struct kp_http_listener *listener = poll->data;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPT_MAX; i++)
		if (!accept_one(listener))
			break;
	run(listener->http);
}

int kp_http_open(uv_loop_t *loop, struct kp_http **ret, struct kp_err *err)
{
	struct kp_http *http = kp_xcalloc(1, sizeof(*http));

	http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
					on_request, http, MHD_OPTION_CONNECTION_LIMIT,
					2U * KP_HTTP_MAX_CLIENTS,
					MHD_OPTION_CONNECTION_MEMORY_LIMIT,
					(size_t)KP_HTTP_MAX_BYTES, MHD_OPTION_NOTIFY_CONNECTION,
					on_connection, http, MHD_OPTION_END);
	if (!http->daemon) {
		free(http);
		return kp_err_errno(err, errno ? errno : ENOMEM, "start the HTTP server");
	}
	uv_poll_init(loop, &http->poll,
		     MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	uv_timer_init(loop, &http->timer);
	http->poll.data = http->timer.data = http;
	uv_poll_start(&http->poll, UV_READABLE, on_ready);
	*ret = http;
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kp_http *http = handle->data;

	MHD_stop_daemon(http->daemon);
	free(http);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct kp_http *http = handle->data;

	uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}

void kp_http_close(struct kp_http *http)
{
	struct kp_http_listener *listener, *next;

	if (!http)
		return;
	DL_FOREACH_SAFE (http->listeners, listener, next)
		kp_http_unlisten(listener);
	uv_close((uv_handle_t *)&http->poll, on_poll_closed);
}

static socklen_t fill_sockaddr(const struct kp_addr_port *at, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (at->family == KP_IPV4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(at->port);
		memcpy(&in->sin_addr, at->addr.bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(at->port);
	memcpy(&in6->sin6_addr, at->addr.bytes, 16);
	return sizeof(*in6);
}

/* The socket, or -errno. */
static int open_socket(const struct kp_addr_port *at, bool dual_stack)
{
	struct sockaddr_storage sa;
	socklen_t size = fill_sockaddr(at, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r, one = 1;
	int v6_only = !dual_stack;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (at->family == KP_IPV6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
	if (bind(fd, (struct sockaddr *)&sa, size) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int kp_http_listen(struct kp_http *http, const struct kp_addr_port *at, bool dual_stack,
		   kp_http_handler handler, void *arg, struct kp_http_listener **ret,
		   struct kp_err *err)
{
	struct kp_http_listener *listener;
	char text[KP_ADDR_TEXT_SIZE];
	int fd = open_socket(at, dual_stack);

	if (fd < 0)
		return kp_err_errno(err, -fd, "listen on %s",
				    kp_addr_port_text(at->family, &at->addr, at->port, text));
	listener = kp_xcalloc(1, sizeof(*listener));
	listener->http = http;
	listener->handler = handler;
	listener->arg = arg;
	listener->fd = fd;
	uv_poll_init(http->timer.loop, &listener->poll, fd);
	listener->poll.data = listener;
	uv_poll_start(&listener->poll, UV_READABLE, on_accept);
	DL_APPEND(http->listeners, listener);
	*ret = listener;
	return 0;
}

static void on_listener_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* The socket closes at once, so that the port is free for its next owner. */
void kp_http_unlisten(struct kp_http_listener *listener)
{
	struct kp_http *http = listener->http;
	struct client *client;

	DL_DELETE(http->listeners, listener);
	DL_FOREACH (http->clients, client) {
		if (client->listener != listener)
			continue;
		client->listener = NULL;
		shutdown(client->fd, SHUT_RDWR);
	}
	uv_poll_stop(&listener->poll);
	close(listener->fd);
	uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
}

uint64_t kp_http_n_evicted(const struct kp_http *http)
{
	return http->n_evicted;
}

void kp_http_text(struct kp_http_answer *ret, unsigned int status, const char *body)
{
	ret->status = status;
	ret->type = "text/plain; charset=utf-8";
	ret->body = kp_xstrdup(body);
	ret->size = strlen(body);
}

void kp_http_json(struct kp_http_answer *ret, unsigned int status, json_t *body)
{
	ret->status = status;
	ret->type = "application/json";
	ret->body = json_dumps(body, JSON_INDENT(2));
	ret->size = strlen(ret->body);
	json_decref(body);
}
