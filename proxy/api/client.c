/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "api/credentials.h"
#include "api/multi.h"
#include "api/transfer.h"
#include "api/warnings.h"
#include "kproxy/log.h"
#include "util/bucket.h"

/* A connection on which something came within this time is alive. */
#define HEARD_MS 60000
#define ERROR_BODY_MAX ((size_t)64 << 10)

enum state {
	WAITING, /* for credentials, the limit, or its first turn */
	RUNNING,
	OVERDUE, /* ends at the next turn */
};

struct kp_request {
	struct kp_request *prev, *next;
	struct kp_client *client;
	struct kp_request_handler handler;
	char *path;
	bool is_watch;
	const char *method, *type; /* NULL: GET */
	char *body;
	enum state state;
	unsigned int credentials_age; /* those that it was sent with */
	struct kp_transfer transfer;

	/* The answer. */
	long status; /* 0: none yet */
	bool wrong_type, stopped;
	uint32_t retry_after_s;
	struct kp_request_ids ids;
	char *error_body;
	size_t error_size;
	uint64_t heard_ms;
};

struct kp_client {
	const struct kp_api_config *config;
	struct kp_multi *multi;
	struct kp_credentials *credentials;
	struct kp_request *requests;
	struct kp_bucket limit;
	struct kp_warnings warnings;
	uv_timer_t turn; /* starts and ends requests outside of everybody's callbacks */
	uv_loop_t *loop;
};

static void on_transfer_done(void *arg, CURL *easy, CURLcode result);
static void on_credentials_ready(void *arg);
static void on_turn(uv_timer_t *timer);

int kp_client_open(const struct kp_api_config *config, const struct kp_request_limit *limit,
		   uv_loop_t *loop, struct kp_client **ret, struct kp_err *err)
{
	struct kp_client *client = kp_xcalloc(1, sizeof(*client));
	int r;

	client->config = config;
	client->loop = loop;
	r = kp_credentials_open(config, loop, on_credentials_ready, client, &client->credentials,
				err);
	if (r < 0) {
		free(client);
		return r;
	}
	kp_bucket_init(&client->limit, limit->per_s, limit->burst);
	client->multi = kp_multi_new(loop, on_transfer_done, client);
	uv_timer_init(loop, &client->turn);
	client->turn.data = client;
	*ret = client;
	return 0;
}

/* --- requests --- */

static void stop_transfer(struct kp_request *request)
{
	if (request->transfer.easy)
		kp_multi_remove(request->client->multi, request->transfer.easy);
	kp_transfer_clear(&request->transfer);
}

static void request_free(struct kp_request *request)
{
	stop_transfer(request);
	DL_DELETE(request->client->requests, request);
	free(request->error_body);
	free(request->body);
	free(request->path);
	free(request);
}

static void on_client_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void kp_client_close(struct kp_client *client)
{
	if (!client)
		return;
	while (client->requests)
		request_free(client->requests);
	kp_multi_close(client->multi);
	kp_credentials_close(client->credentials);
	kp_warnings_clear(&client->warnings);
	uv_close((uv_handle_t *)&client->turn, on_client_closed);
}

static void take_turn(struct kp_client *client)
{
	uv_timer_start(&client->turn, on_turn, 0, 0);
}

static struct kp_request *add_request(struct kp_client *client, const char *path,
				      const struct kp_request_handler *handler)
{
	struct kp_request *request = kp_xcalloc(1, sizeof(*request));

	request->client = client;
	request->handler = *handler;
	request->path = kp_xstrdup(path);
	request->heard_ms = uv_now(client->loop);
	DL_APPEND(client->requests, request);
	take_turn(client);
	return request;
}

struct kp_request *kp_client_get(struct kp_client *client, const char *path,
				 const struct kp_request_handler *handler)
{
	return add_request(client, path, handler);
}

struct kp_request *kp_client_watch(struct kp_client *client, const char *path,
				   const struct kp_request_handler *handler)
{
	struct kp_request *request = add_request(client, path, handler);

	request->is_watch = true;
	return request;
}

static struct kp_request *add_write(struct kp_client *client, const char *method, const char *type,
				    const char *path, const json_t *body,
				    const struct kp_request_handler *handler)
{
	struct kp_request *request = add_request(client, path, handler);

	request->method = method;
	request->type = type;
	request->body = json_dumps(body, JSON_COMPACT);
	return request;
}

struct kp_request *kp_client_create(struct kp_client *client, const char *path, const json_t *body,
				    const struct kp_request_handler *handler)
{
	return add_write(client, "POST", "application/json", path, body, handler);
}

struct kp_request *kp_client_patch(struct kp_client *client, const char *path, const json_t *body,
				   const struct kp_request_handler *handler)
{
	return add_write(client, "PATCH", "application/merge-patch+json", path, body, handler);
}

void kp_request_cancel(struct kp_request *request)
{
	if (request)
		request_free(request);
}

static void finish(struct kp_request *request, const struct kp_end *end)
{
	struct kp_request_handler handler = request->handler;

	request_free(request);
	handler.end(handler.arg, end);
}

/* --- dead connections --- */

static bool another_was_heard(const struct kp_request *request)
{
	const struct kp_client *client = request->client;

	for (const struct kp_request *r = client->requests; r; r = r->next)
		if (r != request && r->state == RUNNING && r->status &&
		    uv_now(client->loop) < r->heard_ms + HEARD_MS)
			return true;
	return false;
}

void kp_request_suspect(struct kp_request *request)
{
	/* A timeout alone would leave the connection in use for the next request. */
	if (!another_was_heard(request))
		kp_multi_shutdown_sockets(request->client->multi);
	stop_transfer(request);
	request->state = OVERDUE;
	take_turn(request->client);
}

/* --- callbacks of libcurl --- */

static bool is_success(const struct kp_request *request)
{
	return request->status >= 200 && request->status < 300;
}

static bool is_json(CURL *easy)
{
	static const char json[] = "application/json";
	const char *type = NULL;

	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	return type && strncasecmp(type, json, sizeof(json) - 1) == 0 &&
	       strchr("; \t", type[sizeof(json) - 1]);
}

/* The value of the header line 'data', when it has this name; without white space around it. */
static bool header_value(const char *data, size_t size, const char *name, char *ret,
			 size_t ret_size)
{
	size_t len = strlen(name);

	if (size <= len || strncasecmp(data, name, len) != 0 || data[len] != ':')
		return false;
	data += len + 1;
	size -= len + 1;
	for (; size > 0 && strchr(" \t\r\n", data[size - 1]); size--)
		;
	for (; size > 0 && strchr(" \t", *data); data++, size--)
		;
	snprintf(ret, ret_size, "%.*s", (int)size, data);
	return true;
}

static void on_warning(struct kp_client *client, const char *value)
{
	const char *text = kp_warnings_add(&client->warnings, value);

	if (text)
		kp_log_warn("api", "the API server warns", "text=%s", kp_log_quote(text));
}

static void read_header(struct kp_request *request, const char *data, size_t size)
{
	char value[2 * KP_WARNING_SIZE];

	if (header_value(data, size, "retry-after", value, sizeof(value)))
		request->retry_after_s = kp_end_parse_retry_after(value);
	else if (header_value(data, size, "warning", value, sizeof(value)))
		on_warning(request->client, value);
	else if (!header_value(data, size, "audit-id", request->ids.audit,
			       sizeof(request->ids.audit)))
		header_value(data, size, "x-kubernetes-pf-flowschema-uid", request->ids.flow_schema,
			     sizeof(request->ids.flow_schema));
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct kp_request *request = arg;

	size *= n;
	request->heard_ms = uv_now(request->client->loop);
	read_header(request, data, size);
	/* The empty line ends the headers; those of a proxy's answer come before the server's. */
	if (size == 2 && data[0] == '\r') {
		curl_easy_getinfo(request->transfer.easy, CURLINFO_RESPONSE_CODE, &request->status);
		request->wrong_type = is_success(request) && !is_json(request->transfer.easy);
		if (is_success(request) && !request->wrong_type && request->handler.answered)
			request->handler.answered(request->handler.arg);
	}
	return size;
}

static void keep_error_body(struct kp_request *request, const char *data, size_t size)
{
	size_t room = ERROR_BODY_MAX - request->error_size;

	if (size > room)
		size = room;
	request->error_body = kp_xrealloc(request->error_body, request->error_size + size);
	memcpy(request->error_body + request->error_size, data, size);
	request->error_size += size;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct kp_request *request = arg;

	size *= n;
	request->heard_ms = uv_now(request->client->loop);
	if (!is_success(request)) {
		keep_error_body(request, data, size);
		return size;
	}
	if (request->wrong_type)
		return 0;
	request->stopped = request->handler.body(request->handler.arg, data, size) != 0;
	return request->stopped ? 0 : size;
}

/* --- how it ended --- */

static const char *what_failed(CURLcode result)
{
	switch (result) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return "name not found (DNS)";
	case CURLE_COULDNT_RESOLVE_PROXY:
		return "name of the proxy not found (DNS)";
	case CURLE_COULDNT_CONNECT:
		return "cannot connect (TCP)";
	case CURLE_OPERATION_TIMEDOUT:
		return "timeout while connecting";
	case CURLE_SSL_CONNECT_ERROR:
		return "TLS handshake failed";
	case CURLE_PEER_FAILED_VERIFICATION:
		return "the server's certificate is not trusted (TLS)";
	case CURLE_SSL_CERTPROBLEM:
		return "client certificate not usable (TLS)";
	case CURLE_PROXY:
		return "the proxy refuses";
	default:
		return "connection lost";
	}
}

static void judge(const struct kp_request *request, CURLcode result, struct kp_end *ret)
{
	const char *detail = *request->transfer.error ? request->transfer.error
						      : curl_easy_strerror(result);

	if (request->wrong_type)
		kp_end_set(ret, KP_END_BROKEN, "the answer is not JSON");
	else if (request->stopped)
		kp_end_set(ret, KP_END_BROKEN, "stopped");
	else if (request->status && !is_success(request))
		kp_end_from_answer(request->status, request->retry_after_s, request->error_body,
				   request->error_size, ret);
	else if (request->status && result == CURLE_OK)
		kp_end_set(ret, KP_END_OK, "complete");
	else if (request->status)
		kp_end_set(ret, KP_END_BROKEN, "the answer broke off: %s", detail);
	else
		kp_end_set(ret, KP_END_NO_CONNECTION, "%s: %s: %s", request->client->config->server,
			   what_failed(result), detail);
}

static void on_transfer_done(void *arg, CURL *easy, CURLcode result)
{
	struct kp_client *client = arg;
	struct kp_request *request;
	struct kp_end end;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request);
	judge(request, result, &end);
	end.ids = request->ids;
	/* In TLS 1.3 a refused client certificate looks like any loss of the connection. */
	if (end.kind == KP_END_NO_CONNECTION)
		kp_credentials_distrust_files(client->credentials);
	if (end.kind == KP_END_UNAUTHORIZED)
		end.renewed = kp_credentials_renew(client->credentials, request->credentials_age);
	finish(request, &end);
}

/* --- turns --- */

static void start(struct kp_request *request)
{
	struct kp_client *client = request->client;
	const struct kp_transfer_ask ask = {.path = request->path,
					    .method = request->method,
					    .body = request->body,
					    .type = request->type};
	CURL *easy;

	request->state = RUNNING;
	request->credentials_age = kp_credentials_age(client->credentials);
	kp_transfer_make(&request->transfer, client->config, client->credentials, &ask);
	easy = request->transfer.easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	kp_multi_add(client->multi, easy);
}

static void on_credentials_ready(void *arg)
{
	take_turn(arg);
}

/* Else another turn comes when the limit admits it. */
static bool may_start(struct kp_request *request)
{
	struct kp_client *client = request->client;
	uint64_t now = uv_now(client->loop), wait_ms;

	if (request->is_watch || kp_bucket_take(&client->limit, now))
		return true;
	wait_ms = kp_bucket_wait_ms(&client->limit, now);
	if (!uv_is_active((uv_handle_t *)&client->turn))
		uv_timer_start(&client->turn, on_turn, wait_ms, 0);
	return false;
}

/* False when the request has ended instead. */
static bool start_waiting(struct kp_request *request)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_end end;

	switch (kp_credentials_prepare(request->client->credentials, &err)) {
	case KP_CREDENTIALS_READY:
		if (may_start(request))
			start(request);
		break;
	case KP_CREDENTIALS_WAIT:
		break;
	case KP_CREDENTIALS_NONE:
		kp_end_set(&end, KP_END_NO_CONNECTION, "no credentials: %s", err.text);
		finish(request, &end);
		return false;
	}
	return true;
}

static void end_overdue(struct kp_request *request)
{
	struct kp_end end;

	kp_end_set(&end, request->status ? KP_END_BROKEN : KP_END_NO_CONNECTION,
		   "%s: the answer is overdue", request->client->config->server);
	finish(request, &end);
}

/* Each step may end any request, so it is looked for the next one from the beginning. */
static void on_turn(uv_timer_t *timer)
{
	struct kp_client *client = timer->data;
	struct kp_request *request = client->requests;

	while (request) {
		struct kp_request *next = request->next;

		if (request->state == OVERDUE) {
			end_overdue(request);
			next = client->requests;
		} else if (request->state == WAITING && !start_waiting(request)) {
			next = client->requests;
		}
		request = next;
	}
}
