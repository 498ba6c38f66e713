/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as kube-proxy would write it: as an object, and as YAML. */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "options/file.h"

/* --- the object --- */

static void add_gate(json_t *gates, const char *part, size_t len)
{
	kp_autofree char *name = kp_xasprintf("%.*s", (int)len, part);
	char *equals = strchr(name, '=');

	*equals = 0;
	json_object_set_new(gates, name, json_boolean(strchr("1tT", equals[1])));
}

/* A list of texts, or a map of gates. */
static json_t *split(const char *text, bool gates)
{
	json_t *json = gates ? json_object() : json_array();

	while (*text) {
		size_t len = strcspn(text, ",");

		if (gates)
			add_gate(json, text, len);
		else
			json_array_append_new(json, json_stringn(text, len));
		text += len + (text[len] == ',');
	}
	return json;
}

static json_t *to_json(const struct kp_option *o, const char *text)
{
	switch (o->type) {
	case KP_OPTION_SWITCH:
		return json_boolean(strcmp(text, "true") == 0);
	case KP_OPTION_NUMBER:
		return json_integer(strtol(text, NULL, 10));
	case KP_OPTION_FRACTION:
		return strchr(text, '.') ? json_real(strtod(text, NULL))
					 : json_integer(strtol(text, NULL, 10));
	case KP_OPTION_LIST:
	case KP_OPTION_GATES:
		return split(text, o->type == KP_OPTION_GATES);
	default:
		return json_string(text);
	}
}

/* Puts a value at a path; the objects on the way are made. */
static void put(json_t *object, const char *path, json_t *value)
{
	const char *dot = strchr(path, '.');
	kp_autofree char *name = NULL;
	json_t *block;

	if (!dot) {
		json_object_set_new(object, path, value);
		return;
	}
	name = kp_xasprintf("%.*s", (int)(dot - path), path);
	block = json_object_get(object, name);
	if (!block) {
		block = json_object();
		json_object_set_new(object, name, block);
	}
	put(block, dot + 1, value);
}

json_t *kp_options_document(const struct kp_options *options)
{
	json_t *json = json_pack("{s:s, s:s}", "apiVersion", KP_CONFIG_API_VERSION, "kind",
				 KP_CONFIG_KIND);

	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];

		if (o->field && o->type != KP_OPTION_OPAQUE)
			put(json, o->field, to_json(o, options->values->items[i].text));
	}
	return json;
}

/* --- YAML --- */

static void emit(yaml_emitter_t *emitter, const json_t *json);

static void emit_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
	yaml_event_t event;

	yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, strlen(text),
				     true, true, style);
	yaml_emitter_emit(emitter, &event);
}

static void emit_object(yaml_emitter_t *emitter, const json_t *json)
{
	yaml_event_t event;
	const char *name;
	json_t *value;

	yaml_mapping_start_event_initialize(&event, NULL, NULL, true, YAML_BLOCK_MAPPING_STYLE);
	yaml_emitter_emit(emitter, &event);
	json_object_foreach((json_t *)json, name, value)
	{
		emit_scalar(emitter, name, YAML_PLAIN_SCALAR_STYLE);
		emit(emitter, value);
	}
	yaml_mapping_end_event_initialize(&event);
	yaml_emitter_emit(emitter, &event);
}

static void emit_array(yaml_emitter_t *emitter, const json_t *json)
{
	yaml_event_t event;
	json_t *value;
	size_t i;

	yaml_sequence_start_event_initialize(&event, NULL, NULL, true, YAML_BLOCK_SEQUENCE_STYLE);
	yaml_emitter_emit(emitter, &event);
	json_array_foreach(json, i, value) emit(emitter, value);
	yaml_sequence_end_event_initialize(&event);
	yaml_emitter_emit(emitter, &event);
}

/* Texts are always quoted: what needs it differs between versions of YAML. */
static void emit(yaml_emitter_t *emitter, const json_t *json)
{
	kp_autofree char *plain = NULL;

	if (json_is_object(json)) {
		emit_object(emitter, json);
	} else if (json_is_array(json)) {
		emit_array(emitter, json);
	} else if (json_is_string(json)) {
		emit_scalar(emitter, json_string_value(json), YAML_DOUBLE_QUOTED_SCALAR_STYLE);
	} else {
		plain = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
		emit_scalar(emitter, plain, YAML_PLAIN_SCALAR_STYLE);
	}
}

static void emit_document(FILE *file, const json_t *json)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	if (!yaml_emitter_initialize(&emitter))
		abort();
	yaml_emitter_set_output_file(&emitter, file);
	yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
	yaml_emitter_emit(&emitter, &event);
	yaml_document_start_event_initialize(&event, NULL, NULL, NULL, true);
	yaml_emitter_emit(&emitter, &event);
	emit(&emitter, json);
	yaml_document_end_event_initialize(&event, true);
	yaml_emitter_emit(&emitter, &event);
	yaml_stream_end_event_initialize(&event);
	yaml_emitter_emit(&emitter, &event);
	yaml_emitter_delete(&emitter);
}

int kp_options_write(const struct kp_options *options, const char *path, struct kp_err *err)
{
	json_auto_t *json = kp_options_document(options);
	FILE *file = fopen(path, "we");

	if (!file)
		return kp_err_errno(err, errno, "--write-config-to '%s'", path);
	emit_document(file, json);
	if (fclose(file) != 0)
		return kp_err_errno(err, errno, "--write-config-to '%s'", path);
	return 0;
}
