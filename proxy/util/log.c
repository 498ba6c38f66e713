/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "kproxy/err.h"
#include "util/log_json.h"
#include "util/time.h"

enum {
	PAIRS_SIZE = 2048
};

static const struct {
	const char *name;
	int priority; /* of syslog */
} levels[] = {
	[KP_LOG_ERROR] = {"error", LOG_ERR},
	[KP_LOG_WARN] = {"warn", LOG_WARNING},
	[KP_LOG_INFO] = {"info", LOG_INFO},
	[KP_LOG_DEBUG] = {"debug", LOG_DEBUG},
};

static const char *const format_names[] = {
	[KP_LOG_TEXT] = "text",
	[KP_LOG_JSON] = "json",
};

static enum kp_log_level max_level = KP_LOG_INFO;
static enum kp_log_format log_format = KP_LOG_TEXT;

void kp_log_set_level(enum kp_log_level level)
{
	max_level = level;
}

int kp_log_parse_level(const char *text, enum kp_log_level *ret)
{
	for (int i = KP_LOG_ERROR; i <= KP_LOG_DEBUG; i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

void kp_log_set_format(enum kp_log_format format)
{
	log_format = format;
}

int kp_log_parse_format(const char *text, enum kp_log_format *ret)
{
	for (int i = KP_LOG_TEXT; i <= KP_LOG_JSON; i++) {
		if (strcmp(text, format_names[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- quoting --- */

/* The bytes of the UTF-8 character at 's', which is not ASCII; 0 when it is none that a line should
 * hold: not valid, or a control character, which terminals obey. */
static size_t character_size(const unsigned char *s)
{
	size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return size;
}

/* Appends the character at 's' with its escapes, at most 4 bytes, to '*at'; returns its size. */
static size_t put_character(const unsigned char *s, char **at)
{
	static const char hex[] = "0123456789abcdef";
	size_t size = *s >= 0x80 ? character_size(s) : *s >= 0x20 && *s != 0x7f;

	if (size == 0) {
		*(*at)++ = '\\';
		*(*at)++ = 'x';
		*(*at)++ = hex[*s >> 4];
		*(*at)++ = hex[*s & 15];
		return 1;
	}
	if (*s == '"' || *s == '\\')
		*(*at)++ = '\\';
	memcpy(*at, s, size);
	*at += size;
	return size;
}

/* Escapes 's' into 'buf' within double quotes. */
static void quote(const char *s, char *buf, size_t size)
{
	char *at = buf, *last = buf + size - sizeof("1234...\"");

	*at++ = '"';
	while (*s && at <= last)
		s += put_character((const unsigned char *)s, &at);
	if (*s)
		at = stpcpy(at, "...");
	strcpy(at, "\"");
}

const char *kp_log_quote(const char *s)
{
	static char bufs[4][1024];
	static unsigned int next;
	char *buf = bufs[next++ % 4];

	quote(s ? s : "", buf, sizeof(bufs[0]));
	return buf;
}

/* --- lines --- */

/* systemd tells in JOURNAL_STREAM which file leads to the journal; stderr may lead elsewhere by
 * now. */
static bool goes_to_journal(void)
{
	static int known = -1;
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	if (known < 0)
		known = stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
			fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
	return known;
}

static char *text_line(enum kp_log_level level, const char *module, const char *msg,
		       const char *pairs)
{
	char quoted[1024], time[KP_TIME_TEXT_SIZE], head[KP_TIME_TEXT_SIZE + 16];

	/* The journal has a time of its own, and wants a priority. */
	if (goes_to_journal())
		snprintf(head, sizeof(head), "<%d>", levels[level].priority);
	else
		snprintf(head, sizeof(head), "time=%s ", kp_time_text(kp_time_now_us(), time));
	quote(msg, quoted, sizeof(quoted));
	return kp_xasprintf("%slevel=%s module=%s msg=%s%s%s\n", head, levels[level].name, module,
			    quoted, *pairs ? " " : "", pairs);
}

static char *json_line(enum kp_log_level level, const char *module, const char *msg,
		       const char *pairs)
{
	kp_autofree char *json = kp_log_json(kp_time_now_us(), levels[level].name, module, msg,
					     pairs);

	return kp_xasprintf("%s\n", json);
}

void kp_log(enum kp_log_level level, const char *module, const char *msg, const char *fmt, ...)
{
	kp_autofree char *line = NULL;
	char pairs[PAIRS_SIZE] = "";
	va_list ap;

	if (level > max_level)
		return;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(pairs, sizeof(pairs), fmt, ap);
		va_end(ap);
	}
	line = (log_format == KP_LOG_JSON ? json_line : text_line)(level, module, msg, pairs);
	/* One write, so that lines of several processes do not mix.  Nobody can be told when
	 * stderr is gone. */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		return;
}
