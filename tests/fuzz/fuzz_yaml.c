/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The YAML reader and decoding; the stream comes in parts of 7 bytes. */
#include "manifests/yaml.h"

#include "fuzz.h"

struct stream {
	const uint8_t *data;
	size_t size;
};

static ssize_t read_stream(void *arg, char *buf, size_t size)
{
	struct stream *s = arg;

	if (size > 7)
		size = 7;
	if (size > s->size)
		size = s->size;
	memcpy(buf, s->data, size);
	s->data += size;
	s->size -= size;
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream stream = {.data = data, .size = size};
	struct kp_err err;

	if (kp_yaml_read(read_stream, &stream, &kp_fuzz_sink, &err) < 0)
		abort();
	return 0;
}
