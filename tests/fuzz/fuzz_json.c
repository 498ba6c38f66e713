/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON framer, fed in parts of a size that depends on the input, and decoding. */
#include "decode/json_framer.h"

#include "fuzz.h"

static void on_object(void *arg, const struct kp_place *place, const char *text, size_t size)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_DECODE_ANY, &error);

	(void)arg;
	if (json)
		kp_fuzz_sink.object(NULL, place, json);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kp_json_framer_handler handler = {.object = on_object,
						       .error = kp_fuzz_sink.error};
	struct kp_json_framer *framer = kp_json_framer_new(&handler);
	size_t part = 1 + size % 61;

	for (size_t at = 0; at < size; at += part)
		if (kp_json_framer_feed(framer, (const char *)data + at,
					size - at < part ? size - at : part) < 0)
			break;
	kp_json_framer_finish(framer);
	kp_json_framer_free(framer);
	return 0;
}
