/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "decode/decode.h"
#include "fuzz.h"

/* A reason is one line, and a place counts from 1. */
static void check_reason(const struct kp_place *place, const char *reason)
{
	if (place->document == 0 || place->line == 0 || !*reason || strpbrk(reason, "\n"))
		abort();
}

static void on_warning(void *arg, const char *text)
{
	check_reason(arg, text);
}

static void on_object(void *arg, const struct kp_place *place, const json_t *json)
{
	const struct kp_decode_options options = {
		.node_name = "node1", .warn = on_warning, .warn_arg = (void *)place};
	struct kp_object_id id;
	struct kp_object object;
	char why[128] = "";
	struct kp_err err = KP_ERR_INIT;

	(void)arg;
	switch (kp_decode_object(json, &options, &id, &object, why, &err)) {
	case KP_DECODED:
		if (!kp_object_equal(&object, &object))
			abort();
		kp_object_clear(&object);
		break;
	case KP_DECODE_BAD:
		if (!*err.text)
			abort();
		break;
	default:
		if (!*why)
			abort();
	}
	kp_object_id_clear(&id);
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	(void)arg;
	check_reason(place, reason);
}

const struct kp_object_sink kp_fuzz_sink = {.object = on_object, .error = on_error};
