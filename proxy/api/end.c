/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/end.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_AFTER_MAX_S 60

static uint32_t clamp_retry_after(long seconds)
{
	if (seconds < 1)
		return 1;
	return seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds;
}

uint32_t kp_end_parse_retry_after(const char *value)
{
	char *end;
	long seconds;

	value += strspn(value, " \t");
	if (*value < '0' || *value > '9')
		return 0;
	seconds = strtol(value, &end, 10);
	return end[strspn(end, " \t\r\n")] ? 0 : clamp_retry_after(seconds);
}

void kp_end_set(struct kp_end *end, enum kp_end_kind kind, const char *fmt, ...)
{
	va_list ap;

	*end = (struct kp_end){.kind = kind};
	va_start(ap, fmt);
	vsnprintf(end->text, sizeof(end->text), fmt, ap);
	va_end(ap);
}

/* --- what a Status says --- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool has_cause(const json_t *details, const char *reason)
{
	const json_t *causes = json_object_get(details, "causes"), *cause;
	size_t i;

	json_array_foreach(causes, i,
			   cause) if (strcmp(text_of(cause, "reason"), reason) == 0) return true;
	return false;
}

/* Servers up to 1.18 tell a resourceVersion that is too large by the message alone. */
static bool is_too_new(const json_t *status)
{
	return has_cause(json_object_get(status, "details"), "ResourceVersionTooLarge") ||
	       strstr(text_of(status, "message"), "Too large resource version");
}

static enum kp_end_kind kind_of_code(int code, bool has_retry_after)
{
	switch (code) {
	case 400:
	case 422:
		return KP_END_REFUSED;
	case 401:
		return KP_END_UNAUTHORIZED;
	case 403:
		return KP_END_FORBIDDEN;
	case 404:
		return KP_END_NOT_FOUND;
	case 410:
		return KP_END_EXPIRED;
	case 429:
		return KP_END_BUSY;
	}
	if (code >= 500 && code <= 599)
		return has_retry_after ? KP_END_BUSY : KP_END_SERVER_ERROR;
	return KP_END_UNUSABLE;
}

static enum kp_end_kind kind_of_status(const json_t *status, int code, bool has_retry_after)
{
	const char *reason = text_of(status, "reason");

	if (strcmp(reason, "Expired") == 0 || strcmp(reason, "Gone") == 0)
		return KP_END_EXPIRED;
	if (is_too_new(status))
		return KP_END_TOO_NEW;
	if (strcmp(reason, "TooManyRequests") == 0)
		return KP_END_BUSY;
	return kind_of_code(code, has_retry_after);
}

void kp_end_from_status(const json_t *status, int http_status, uint32_t retry_after_s,
			struct kp_end *ret)
{
	const json_t *details = json_object_get(status, "details");
	const json_t *retry = json_object_get(details, "retryAfterSeconds");
	int code = json_integer_value(json_object_get(status, "code"));

	if (code == 0)
		code = http_status ? http_status : 500;
	if (retry_after_s == 0 && json_integer_value(retry) > 0)
		retry_after_s = clamp_retry_after(json_integer_value(retry));
	kp_end_set(ret, kind_of_status(status, code, retry_after_s > 0), "%d %s: %s", code,
		   text_of(status, "reason"), text_of(status, "message"));
	ret->retry_after_s = retry_after_s;
}

/* --- answers --- */

/* The first line of a body that is not JSON, for people. */
static int first_line(const char *body, size_t size)
{
	int len = 0;

	while ((size_t)len < size && len < 200 && body[len] != '\n' && body[len] != '\r')
		len++;
	return len;
}

void kp_end_from_answer(int http_status, uint32_t retry_after_s, const char *body, size_t size,
			struct kp_end *ret)
{
	json_auto_t *json = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);

	if (strcmp(text_of(json, "kind"), "Status") == 0) {
		kp_end_from_status(json, http_status, retry_after_s, ret);
		return;
	}
	kp_end_set(ret, kind_of_code(http_status, retry_after_s > 0), "status %d: %.*s",
		   http_status, first_line(body, size), size > 0 ? body : "");
	ret->retry_after_s = retry_after_s;
}
