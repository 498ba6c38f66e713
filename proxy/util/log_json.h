/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of the log as JSON: the pairs that the callers of kp_log() write are read back. */
#ifndef KPROXY_LOG_JSON_H
#define KPROXY_LOG_JSON_H

#include <stdint.h>

/* One JSON object without a newline; the caller frees it.  'pairs' is 'key=value key="value"' as in
 * the text form: whole numbers become numbers, everything else strings, whose escapes are undone.
 * Pairs that were cut off end where they end. */
char *kp_log_json(int64_t time_us, const char *level, const char *module, const char *msg,
		  const char *pairs);

#endif
