/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the objects of one file, YAML or JSON. */
#ifndef KPROXY_READER_H
#define KPROXY_READER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "decode/framing.h"
#include "kproxy/err.h"

/* True for the names of files that are read: *.yaml, *.yml and *.json, but no hidden ones. */
bool kp_reader_wants(const char *name);

/* Opens a regular file without ever blocking and tells its state, as it is before the first byte
 * is read ('*ret' is left alone when it cannot be opened).  Returns a descriptor; -ENOENT when
 * there is no such file; -ENOTSUP when it is none that can be read as a file (directory, FIFO,
 * device), and -EFBIG when it is larger than 256 MiB. */
int kp_reader_open(const char *path, struct stat *ret, struct kp_err *err);

/* Reads an open file; what 'path' ends in tells the format.  Bad content goes to the sink and is no
 * error here; an error means that the rest of the file could not be read. */
int kp_reader_read(int fd, const char *path, const struct kp_object_sink *sink, struct kp_err *err);

#endif
