/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading any bytes as YAML ends, and whatever it delivers can be walked. */
#include <stdint.h>
#include <string.h>

#include "manifests/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const char *data;
	size_t size;
};

static ssize_t read_input(void *arg, char *buf, size_t size)
{
	struct input *input = arg;

	if (size > input->size)
		size = input->size;
	memcpy(buf, input->data, size);
	input->data += size;
	input->size -= size;
	return size;
}

static void on_object(void *arg, const struct kp_place *place, const json_t *json)
{
	(void)arg;
	(void)place;
	free(json_dumps(json, JSON_ENCODE_ANY));
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	(void)arg;
	(void)place;
	(void)reason;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kp_object_sink sink = {.object = on_object, .error = on_error};
	struct input input = {.data = (const char *)data, .size = size};

	kp_yaml_read(read_input, &input, &sink, NULL);
	return 0;
}
