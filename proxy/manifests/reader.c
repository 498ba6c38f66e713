/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a file safely, and choosing who reads it: yaml.c, or the JSON framer with jansson. */
#include "manifests/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "decode/json_framer.h"
#include "manifests/yaml.h"

#define MAX_FILE_SIZE ((off_t)256 << 20)
#define CHUNK_SIZE ((size_t)64 << 10)

static int read_json(kp_read_fn *read_fn, void *read_arg, const struct kp_object_sink *sink,
		     struct kp_err *err);

static bool ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

bool kp_reader_wants(const char *name)
{
	return *name != '.' &&
	       (ends_in(name, ".yaml") || ends_in(name, ".yml") || ends_in(name, ".json"));
}

static int check_file(int fd, struct stat *ret, struct kp_err *err)
{
	if (fstat(fd, ret) < 0)
		return kp_err_errno(err, errno, "fstat");
	if (!S_ISREG(ret->st_mode))
		return kp_err_set(err, ENOTSUP, "not a regular file");
	if (ret->st_size > MAX_FILE_SIZE)
		return kp_err_set(err, EFBIG, "larger than 256 MiB");
	return 0;
}

int kp_reader_open(const char *path, struct stat *ret, struct kp_err *err)
{
	/* O_NONBLOCK: a FIFO without a writer must not hold the whole program up. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r;

	/* A socket cannot be opened at all. */
	if (fd < 0 && errno == ENXIO)
		return kp_err_set(err, ENOTSUP, "not a regular file");
	if (fd < 0)
		return kp_err_errno(err, errno, "open");
	r = check_file(fd, ret, err);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* A file that is still being written can grow past the limit while it is read. */
struct source {
	int fd;
	off_t size;
};

static ssize_t read_source(void *arg, char *buf, size_t size)
{
	struct source *source = arg;
	ssize_t n = read(source->fd, buf, size);

	if (n < 0)
		return -errno;
	source->size += n;
	return source->size > MAX_FILE_SIZE ? -EFBIG : n;
}

int kp_reader_read(int fd, const char *path, const struct kp_object_sink *sink, struct kp_err *err)
{
	struct source source = {.fd = fd};

	if (ends_in(path, ".json"))
		return read_json(read_source, &source, sink, err);
	return kp_yaml_read(read_source, &source, sink, err);
}

static void on_json_object(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	const struct kp_object_sink *sink = arg;
	struct kp_place where = *place;
	char reason[JSON_ERROR_TEXT_LENGTH + 16];
	json_error_t error;
	json_auto_t *json = json_loadb(text, size, JSON_DECODE_ANY, &error);

	if (json) {
		sink->object(sink->arg, place, json);
		return;
	}
	where.line += error.line > 0 ? error.line - 1 : 0;
	snprintf(reason, sizeof(reason), "JSON: %s", error.text);
	sink->error(sink->arg, &where, reason);
}

static void on_json_error(void *arg, const struct kp_place *place, const char *reason)
{
	const struct kp_object_sink *sink = arg;

	sink->error(sink->arg, place, reason);
}

static int read_json(kp_read_fn *read_fn, void *read_arg, const struct kp_object_sink *sink,
		     struct kp_err *err)
{
	const struct kp_json_framer_handler handler = {
		.object = on_json_object,
		.error = on_json_error,
		.arg = (void *)sink,
	};
	struct kp_json_framer *framer = kp_json_framer_new(&handler);
	kp_autofree char *buf = kp_xmalloc(CHUNK_SIZE);
	bool broken = false;
	ssize_t n;

	do {
		n = read_fn(read_arg, buf, CHUNK_SIZE);
		if (n > 0)
			broken = kp_json_framer_feed(framer, buf, n) < 0;
	} while ((n > 0 && !broken) || n == -EINTR);
	if (n == 0)
		kp_json_framer_finish(framer);
	kp_json_framer_free(framer);
	return n < 0 ? kp_err_errno(err, -n, "read") : 0;
}
