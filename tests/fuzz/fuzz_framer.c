/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the framer finds must not depend on where the stream is cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decode/json_framer.h"
#include "kproxy/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A checksum of everything that was found. */
struct found {
	uint64_t hash;
};

static void add(struct found *f, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		f->hash = (f->hash ^ (uint8_t)text[i]) * 1099511628211ULL;
	f->hash = (f->hash ^ size) * 1099511628211ULL;
}

static void on_text(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	add(arg, (const char *)place, sizeof(*place));
	add(arg, text, size);
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	on_text(arg, place, reason, strlen(reason));
}

static uint64_t cut(const char *text, size_t size, size_t step)
{
	struct found found = {0};
	const struct kp_json_framer_handler handler = {
		.object = on_text, .list = on_text, .error = on_error, .arg = &found};
	struct kp_json_framer *framer = kp_json_framer_new(&handler);

	for (size_t i = 0; i < size; i += step) {
		size_t n = size - i < step ? size - i : step;
		char *piece = kp_xmalloc(n);

		memcpy(piece, text + i, n);
		kp_json_framer_feed(framer, piece, n);
		free(piece);
	}
	kp_json_framer_finish(framer);
	kp_json_framer_free(framer);
	return found.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step;

	if (size < 1)
		return 0;
	step = 1 + data[0] % 31;
	data++;
	size--;
	if (cut((const char *)data, size, size + 1) != cut((const char *)data, size, step))
		abort();
	return 0;
}
