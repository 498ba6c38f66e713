/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <string.h>

#include "kproxy/addr.h"

struct kp_health {
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	bool (*is_healthy)(const void *arg);
	const void *arg;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status,
			      const char *body)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(body), (void *)body,
									MHD_RESPMEM_PERSISTENT);
	enum MHD_Result r;

	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct kp_health *health = arg;

	(void)method;
	(void)version;
	(void)upload;
	(void)state;
	*upload_size = 0;
	if (strcmp(url, "/healthz") != 0)
		return answer(connection, MHD_HTTP_NOT_FOUND, "{}\n");
	if (health->is_healthy(health->arg))
		return answer(connection, MHD_HTTP_OK, "{\"healthy\": true}\n");
	return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "{\"healthy\": false}\n");
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct kp_health *health = poll->data;

	(void)status;
	(void)events;
	MHD_run(health->daemon);
}

static int parse_address(const char *text, struct sockaddr_storage *ret, struct kp_err *err)
{
	const char *colon = strrchr(text, ':');
	enum kp_family family;
	struct kp_addr addr;
	char host[64] = "", *end;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (colon && len < sizeof(host))
		memcpy(host, text, len);
	if (!colon || *end || port < 1 || port > 65535 || kp_addr_parse(host, &family, &addr) < 0)
		return kp_err_set(err, EINVAL,
				  "health address: expected ADDRESS:PORT with an IP address");
	memset(ret, 0, sizeof(*ret));
	if (family == KP_IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr.bytes, 4);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, addr.bytes, 16);
	}
	return 0;
}

int kp_health_open(const char *address, uv_loop_t *loop, bool (*is_healthy)(const void *arg),
		   const void *arg, struct kp_health **ret, struct kp_err *err)
{
	struct sockaddr_storage sa;
	struct kp_health *health;
	int r = parse_address(address, &sa, err);

	if (r < 0)
		return r;
	health = kp_xcalloc(1, sizeof(*health));
	health->is_healthy = is_healthy;
	health->arg = arg;
	/* No thread of its own: the loop watches the server's epoll descriptor. */
	health->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | (sa.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL,
		on_request, health, MHD_OPTION_SOCK_ADDR, &sa, MHD_OPTION_CONNECTION_LIMIT, 64U,
		MHD_OPTION_CONNECTION_TIMEOUT, 10U, MHD_OPTION_END);
	if (!health->daemon) {
		free(health);
		return kp_err_errno(err, errno ? errno : EADDRINUSE, "health server on %s",
				    address);
	}
	uv_poll_init(loop, &health->poll,
		     MHD_get_daemon_info(health->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	health->poll.data = health;
	uv_poll_start(&health->poll, UV_READABLE, on_ready);
	*ret = health;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct kp_health *health = handle->data;

	MHD_stop_daemon(health->daemon);
	free(health);
}

void kp_health_close(struct kp_health *health)
{
	if (health)
		uv_close((uv_handle_t *)&health->poll, on_closed);
}
