/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects from a directory of YAML and JSON files: the source that needs no cluster. */
#ifndef KPROXY_DIRECTORY_H
#define KPROXY_DIRECTORY_H

#include <uv.h>

#include "kproxy/err.h"

struct kp_directory;
struct kp_store;

/* Reads every *.yaml, *.yml and *.json file of 'path' into the store and, when 'loop' is not NULL,
 * follows changes on disk from then on.  Bad files and objects are logged, one line each, and do
 * not make it fail; a directory that cannot be read does.
 *
 * 'path' and 'node_name' are copied; 'store' and 'loop' are borrowed and outlive the source. */
int kp_directory_open(const char *path, const char *node_name, struct kp_store *store,
		      uv_loop_t *loop, struct kp_directory **ret, struct kp_err *err);

/* Number of files and objects that were refused in the last reading of each file. */
size_t kp_directory_n_errors(const struct kp_directory *directory);

/* Reads all files again, whether they look changed or not; for a directory that is followed. Errors
 * that were logged before are not repeated. */
void kp_directory_reread(struct kp_directory *directory);

/* Stops following and frees; the objects stay in the store.  The caller runs the loop once more so
 * that libuv's handles can close. */
void kp_directory_close(struct kp_directory *directory);

#endif
