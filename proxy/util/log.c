/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {
	[KP_LOG_ERROR] = "error",
	[KP_LOG_WARN] = "warn",
	[KP_LOG_INFO] = "info",
	[KP_LOG_DEBUG] = "debug",
};

static enum kp_log_level max_level = KP_LOG_INFO;

void kp_log_set_level(enum kp_log_level level)
{
	max_level = level;
}

int kp_log_parse_level(const char *text, enum kp_log_level *ret)
{
	for (int i = KP_LOG_ERROR; i <= KP_LOG_DEBUG; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Escapes 's' into 'buf' within double quotes. */
static void quote(const char *s, char *buf, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = 0;

	buf[len++] = '"';
	for (; *s; s++) {
		unsigned char c = *s;

		if (len + 10 > size) {
			memcpy(buf + len, "...", 3);
			len += 3;
			break;
		}
		if (c == '"' || c == '\\') {
			buf[len++] = '\\';
			buf[len++] = c;
		} else if (c < 0x20 || c == 0x7f) {
			buf[len++] = '\\';
			buf[len++] = 'x';
			buf[len++] = hex[c >> 4];
			buf[len++] = hex[c & 15];
		} else {
			buf[len++] = c;
		}
	}
	buf[len++] = '"';
	buf[len] = 0;
}

const char *kp_log_quote(const char *s)
{
	static char bufs[4][1024];
	static unsigned int next;
	char *buf = bufs[next++ % 4];

	quote(s ? s : "", buf, sizeof(bufs[0]));
	return buf;
}

void kp_log(enum kp_log_level level, const char *module, const char *msg, const char *fmt, ...)
{
	char line[2048], quoted[1024];
	va_list ap;
	size_t len;

	if (level > max_level)
		return;
	quote(msg, quoted, sizeof(quoted));
	len = snprintf(line, sizeof(line), "level=%s module=%s msg=%s", level_names[level], module,
		       quoted);
	if (fmt) {
		line[len++] = ' ';
		va_start(ap, fmt);
		vsnprintf(line + len, sizeof(line) - len, fmt, ap);
		va_end(ap);
		len = strlen(line);
	}
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	/* One write, so that lines of several processes do not mix.  Nobody can be told when
	 * stderr is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
