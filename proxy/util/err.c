/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int kp_err_set(struct kp_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		err->code = -code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return -code;
}

int kp_err_errno(struct kp_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	if (err) {
		err->code = -code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		len = strlen(err->text);
		snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(code));
	}
	return -code;
}

int kp_err_wrap(struct kp_err *err, const char *fmt, ...)
{
	struct kp_err inner;
	va_list ap;
	size_t len;

	if (!err)
		return -1;
	inner = *err;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof(err->text) - len, ": %s", inner.text);
	return err->code;
}

static void *or_abort(void *p)
{
	if (!p) {
		fputs("kproxy: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *kp_xmalloc(size_t size)
{
	return or_abort(malloc(size ? size : 1));
}

void *kp_xcalloc(size_t n, size_t size)
{
	return or_abort(calloc(n ? n : 1, size ? size : 1));
}

void *kp_xrealloc(void *p, size_t size)
{
	return or_abort(realloc(p, size ? size : 1));
}

char *kp_xstrdup(const char *s)
{
	return or_abort(strdup(s));
}

char *kp_xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return or_abort(n < 0 ? NULL : s);
}
