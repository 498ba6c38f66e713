/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration file is refused, or what it leads to can be written and leads to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "manifests/single.h"
#include "options/file.h"
#include "options/settle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_duplicate(void *arg, const struct kp_place *place, const char *key)
{
	(void)arg;
	(void)place;
	(void)key;
}

/* The effective configuration, NULL when 'json' is refused. */
static json_t *settle(const json_t *json)
{
	struct kp_options options = {.values = kp_values_new()};
	struct kp_err err = KP_ERR_INIT;
	json_t *document = NULL;

	if (kp_file_read(json, options.values, &options.notes, &err) == 0 &&
	    kp_options_settle(&options, true, &err) == 0)
		document = kp_options_document(&options);
	else if (!*err.text)
		abort();
	kp_options_clear(&options);
	return document;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_auto_t *json = NULL, *first = NULL, *second = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (kp_single_parse((const char *)data, size, ignore_duplicate, NULL, &json, &err) < 0)
		return 0;
	first = settle(json);
	if (!first)
		return 0;
	second = settle(first);
	if (!json_equal(first, second))
		abort();
	return 0;
}
