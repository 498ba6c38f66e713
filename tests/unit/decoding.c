/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "decoding.h"

int decoding_setup(void **state)
{
	*state = kp_xcalloc(1, sizeof(struct fixture));
	return 0;
}

int decoding_teardown(void **state)
{
	struct fixture *f = *state;

	kp_object_id_clear(&f->id);
	kp_object_clear(&f->object);
	free(f);
	return 0;
}

static void on_warning(void *arg, const char *text)
{
	struct fixture *f = arg;
	size_t len = strlen(f->warnings);

	snprintf(f->warnings + len, sizeof(f->warnings) - len, "%s|", text);
}

enum kp_decode_result decode_json(struct fixture *f, const json_t *json)
{
	const struct kp_decode_options options = {
		.node_name = "node-1", .warn = on_warning, .warn_arg = f};

	kp_object_id_clear(&f->id);
	kp_object_clear(&f->object);
	f->warnings[0] = 0;
	return kp_decode_object(json, &options, &f->id, &f->object, f->why, &f->err);
}

enum kp_decode_result decode(struct fixture *f, const char *format, ...)
{
	enum kp_decode_result result;
	json_error_t error;
	json_t *json;
	va_list ap;
	char *text;

	va_start(ap, format);
	assert_true(vasprintf(&text, format, ap) > 0);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!json)
		fail_msg("%s in %s", error.text, text);
	free(text);
	result = decode_json(f, json);
	json_decref(json);
	return result;
}

void assert_bad(struct fixture *f, const char *object, const char *reason)
{
	assert_int_equal(decode(f, "%s", object), KP_DECODE_BAD);
	assert_string_equal(f->err.text, reason);
}

void assert_skipped(struct fixture *f, const char *object, const char *why)
{
	assert_int_equal(decode(f, "%s", object), KP_DECODE_SKIP);
	assert_string_equal(f->why, why);
	assert_non_null(f->id.name);
}

const struct kp_service *decode_service(struct fixture *f, const char *object)
{
	if (decode(f, "%s", object) != KP_DECODED)
		fail_msg("%s: %s", object, f->err.text);
	assert_int_equal(f->object.kind, KP_KIND_SERVICE);
	return f->object.service;
}

const struct kp_endpointslice *decode_slice(struct fixture *f, const char *object)
{
	if (decode(f, "%s", object) != KP_DECODED)
		fail_msg("%s: %s", object, f->err.text);
	assert_int_equal(f->object.kind, KP_KIND_ENDPOINTSLICE);
	return f->object.slice;
}

const struct kp_node *decode_node(struct fixture *f, const char *object)
{
	if (decode(f, "%s", object) != KP_DECODED)
		fail_msg("%s: %s", object, f->err.text);
	assert_int_equal(f->object.kind, KP_KIND_NODE);
	return f->object.node;
}

void assert_addr(enum kp_family family, const struct kp_addr *addr, const char *expected)
{
	char text[KP_ADDR_TEXT_SIZE];

	assert_string_equal(kp_addr_text(family, addr, text), expected);
}

void assert_list_addr(const struct kp_addr_list *list, size_t i, const char *expected)
{
	assert_true(i < list->n);
	assert_addr(list->items[i].family, &list->items[i].addr, expected);
}

void assert_prefix(const struct kp_prefix *prefix, const char *expected)
{
	char text[KP_ADDR_TEXT_SIZE];

	assert_string_equal(kp_prefix_text(prefix, text), expected);
}
