/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding any JSON gives an object or an error, and the same object twice. */
#include <stdint.h>
#include <stdlib.h>

#include "decode/decode.h"
#include "kproxy/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum kp_decode_result decode(const json_t *json, struct kp_object *ret)
{
	static const struct kp_decode_options options = {.node_name = "node1"};
	struct kp_object_id id;
	struct kp_err err;
	char why[128];
	enum kp_decode_result result = kp_decode_object(json, &options, &id, ret, why, &err);

	kp_object_id_clear(&id);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct kp_object a = {0}, b = {0};

	if (!json)
		return 0;
	if (decode(json, &a) != decode(json, &b) || !kp_object_equal(&a, &b))
		abort();
	kp_object_clear(&a);
	kp_object_clear(&b);
	return 0;
}
