/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One event, one line on stderr, stable keys; as text or as JSON (docs/logs.md):
 *
 *     time=2026-01-02T03:04:05.678901Z level=info module=sync msg="sync done" services=3 ops=4
 *     {"ts":1767323045678.901,"level":"info","module":"sync","msg":"sync
 * done","services":3,"ops":4}
 *
 * error: someone has to act.  warn: we go on, and the text says how.  info: start, stop, mode
 * changes.  debug: every decision. */
#ifndef KPROXY_LOG_H
#define KPROXY_LOG_H

enum kp_log_level {
	KP_LOG_ERROR,
	KP_LOG_WARN,
	KP_LOG_INFO,
	KP_LOG_DEBUG
};

enum kp_log_format {
	KP_LOG_TEXT,
	KP_LOG_JSON
};

/* Lines above this level are dropped; KP_LOG_INFO at start. */
void kp_log_set_level(enum kp_log_level level);

/* Parses "error", "warn", "info" or "debug"; 0 or -EINVAL. */
int kp_log_parse_level(const char *text, enum kp_log_level *ret);

/* KP_LOG_TEXT at start. */
void kp_log_set_format(enum kp_log_format format);

/* Parses "text" or "json"; 0 or -EINVAL. */
int kp_log_parse_format(const char *text, enum kp_log_format *ret);

/* 'msg' is quoted (quotes, backslashes, control characters and what is not UTF-8 are escaped).
 * 'fmt' makes further key=value pairs, NULL for none; values that may hold spaces are quoted by the
 * caller with the help of kp_log_quote(). */
void kp_log(enum kp_log_level level, const char *module, const char *msg, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Returns 's' in double quotes with escapes, in one of a few static buffers that the next calls
 * reuse.  Long text is cut with "...". */
const char *kp_log_quote(const char *s);

#define kp_log_error(module, msg, ...) kp_log(KP_LOG_ERROR, module, msg, __VA_ARGS__)
#define kp_log_warn(module, msg, ...) kp_log(KP_LOG_WARN, module, msg, __VA_ARGS__)
#define kp_log_info(module, msg, ...) kp_log(KP_LOG_INFO, module, msg, __VA_ARGS__)
#define kp_log_debug(module, msg, ...) kp_log(KP_LOG_DEBUG, module, msg, __VA_ARGS__)

#endif
