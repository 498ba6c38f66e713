/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the framer finds must not depend on where the stream is cut, and what it leaves out is what
 * a parser would find under these names. */
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

/* Empties the fields that the framer leaves out. */
static void empty_unused(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach(json, key, value)
	{
		empty_unused(value);
		if (strcmp(key, "managedFields") == 0 || strcmp(key, "ownerReferences") == 0 ||
		    strcmp(key, "targetRef") == 0) {
			json_object_clear(value);
			json_array_clear(value);
		}
	}
	json_array_foreach(json, i, value) empty_unused(value);
}

static void on_only_object(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	json_auto_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);

	(void)place;
	if (!json_equal(json, arg))
		abort();
}

static void ignore(void *arg, const struct kp_place *place, const char *reason)
{
	(void)arg;
	(void)place;
	(void)reason;
}

/* One object that is no list: the framer and the parser agree on it. */
static void compare_with_parser(const char *text, size_t size)
{
	json_auto_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	const struct kp_json_framer_handler handler = {
		.object = on_only_object, .error = ignore, .arg = json};
	struct kp_json_framer *framer;

	if (!json_is_object(json) || json_object_get(json, "items") || strchr(text, '\\'))
		return;
	empty_unused(json);
	framer = kp_json_framer_new(&handler);
	kp_json_framer_feed(framer, text, size);
	kp_json_framer_free(framer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kp_autofree char *text = NULL;
	size_t step;

	if (size < 1)
		return 0;
	step = 1 + data[0] % 31;
	data++;
	size--;
	if (cut((const char *)data, size, size + 1) != cut((const char *)data, size, step))
		abort();
	/* strchr() wants an end. */
	text = kp_xasprintf("%.*s", (int)size, (const char *)data);
	compare_with_parser(text, strlen(text));
	return 0;
}
