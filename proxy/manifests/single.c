/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manifests/single.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manifests/yaml.h"

#define MAX_FILE_SIZE (1 << 20)

struct document {
	json_t *json;
	char error[256];
	kp_duplicate_fn *duplicate;
	void *arg;
};

static void on_object(void *arg, const struct kp_place *place, const json_t *json)
{
	struct document *d = arg;

	if (place->document == 1 && !d->json)
		d->json = json_incref((json_t *)json);
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	struct document *d = arg;

	if (place->document == 1)
		snprintf(d->error, sizeof(d->error), "line %u: %s", place->line, reason);
}

static void on_duplicate(void *arg, const struct kp_place *place, const char *key)
{
	struct document *d = arg;

	if (place->document == 1)
		d->duplicate(d->arg, place, key);
}

static int read_document(kp_read_fn *read_fn, void *read_arg, struct document *d, json_t **ret,
			 struct kp_err *err)
{
	const struct kp_object_sink sink = {.object = on_object,
					    .error = on_error,
					    .duplicate = d->duplicate ? on_duplicate : NULL,
					    .arg = d};
	int r = kp_yaml_read(read_fn, read_arg, &sink, err);

	if (r == 0 && *d->error)
		r = kp_err_set(err, EINVAL, "%s", d->error);
	if (r == 0 && !d->json)
		r = kp_err_set(err, EINVAL, "the file is empty");
	if (r < 0) {
		json_decref(d->json);
		return r;
	}
	*ret = d->json;
	return 0;
}

struct file {
	int fd;
	size_t size;
};

static ssize_t read_file(void *arg, char *buf, size_t size)
{
	struct file *file = arg;
	ssize_t n = read(file->fd, buf, size);

	if (n < 0)
		return -errno;
	file->size += n;
	return file->size > MAX_FILE_SIZE ? -EFBIG : n;
}

int kp_single_load(const char *path, kp_duplicate_fn *duplicate, void *arg, json_t **ret,
		   struct kp_err *err)
{
	struct document d = {.duplicate = duplicate, .arg = arg};
	struct file file = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
	int r;

	if (file.fd < 0)
		return kp_err_errno(err, errno, "open");
	r = read_document(read_file, &file, &d, ret, err);
	close(file.fd);
	return r;
}

struct memory {
	const char *text;
	size_t size;
};

static ssize_t read_memory(void *arg, char *buf, size_t size)
{
	struct memory *memory = arg;

	if (size > memory->size)
		size = memory->size;
	memcpy(buf, memory->text, size);
	memory->text += size;
	memory->size -= size;
	return size;
}

int kp_single_parse(const char *text, size_t size, kp_duplicate_fn *duplicate, void *arg,
		    json_t **ret, struct kp_err *err)
{
	struct document d = {.duplicate = duplicate, .arg = arg};
	struct memory memory = {.text = text, .size = size};

	return read_document(read_memory, &memory, &d, ret, err);
}
