/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells when a file is another one than it was: written, replaced, or switched through a symbolic
 * link as in ConfigMap volumes. */
#ifndef KPROXY_FILE_WATCH_H
#define KPROXY_FILE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "kproxy/err.h"

struct kp_file_watch;

/* What makes a file another one. */
struct kp_file_identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t written_s, written_ns;
};

/* False when there is no such file, and then all is zero. */
bool kp_file_identify(const char *path, struct kp_file_identity *ret);

/* Calls 'changed' a moment after each change since 'known'; what is being written may change again.
 * A file that is gone has not changed: it may come back.  'path' and '*known' are copied. */
int kp_file_watch_open(const char *path, const struct kp_file_identity *known, uv_loop_t *loop,
		       void (*changed)(void *arg), void *arg, struct kp_file_watch **ret,
		       struct kp_err *err);

/* Closes the handles in the loop, which runs once more.  Accepts NULL. */
void kp_file_watch_close(struct kp_file_watch *watch);

#endif
