/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each file of the directory has given to the store.
 *
 * Looking is done in two steps: mark the files, then run.  A run reads each marked file once, in
 * the order of names, and settles at its end what objects have come, gone, or moved from one file
 * to another.  When to look is directory.c's business; nothing here knows of time or events. */
#ifndef KPROXY_FILES_H
#define KPROXY_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "kproxy/err.h"

struct kp_files;
struct kp_store;

/* How a file is looked at; the higher one wins when a file is marked twice. */
enum kp_look {
	KP_LOOK_IF_CHANGED, /* reads it if it is another version than the one we know */
	KP_LOOK_AGAIN,	    /* reads it, and keeps silent about errors that were logged before */
	KP_LOOK_OPEN,	    /* as IF_CHANGED, but somebody may be writing it: nothing is removed */
	KP_LOOK_WRITTEN,    /* reads it: two writes may leave the same time stamp */
};

/* Copies 'path' and 'node_name', borrows 'store'. */
struct kp_files *kp_files_new(const char *path, const char *node_name, struct kp_store *store);

/* The objects stay in the store. */
void kp_files_free(struct kp_files *files);

void kp_files_mark(struct kp_files *files, const char *name, enum kp_look look);

/* Marks all files, those in the directory and those we know. */
int kp_files_mark_all(struct kp_files *files, enum kp_look look, struct kp_err *err);

/* Reads what is marked.  -ENOENT when the directory itself has gone: then no file's absence was
 * believed. */
int kp_files_run(struct kp_files *files);

size_t kp_files_n_errors(const struct kp_files *files);

#endif
