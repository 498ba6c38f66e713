/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "decode/fields.h"
#include "manifests/single.h"
#include "util/time.h"

#define MAX_LIST 1000

struct reader {
	struct kp_values *values;
	struct kp_notes *notes;
	struct kp_err *err;
};

static int read_block(const struct reader *r, const struct kp_field *block);

/* --- flags next to a file --- */

static bool counts_beside_file(const struct kp_option *o)
{
	if (o->field)
		return o->bits & KP_OPTION_BESIDE_FILE;
	return !(o->bits & KP_OPTION_WITHOUT_FILE);
}

static void drop_flags(struct kp_values *values, struct kp_notes *notes)
{
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];
		struct kp_value *value = &values->items[i];

		if (!value->text || counts_beside_file(o))
			continue;
		kp_value_replace(value, NULL);
		value->given = false;
		if (!kp_option_repeats_flag(o))
			kp_notes_add(notes, KP_LOG_WARN,
				     "flag without effect next to --config; set it in the file",
				     "flag=--%s", o->flag);
	}
}

/* --- the file --- */

static void on_duplicate(void *arg, const struct kp_place *place, const char *key)
{
	kp_notes_add(arg, KP_LOG_WARN, "field comes twice, the last one counts", "field=%s line=%u",
		     kp_log_quote(key), place->line);
}

int kp_file_load(const char *path, struct kp_values *values, struct kp_notes *notes,
		 struct kp_err *err)
{
	json_auto_t *json = NULL;
	int r = kp_single_load(path, on_duplicate, notes, &json, err);

	if (r == 0)
		r = kp_file_read(json, values, notes, err);
	return r < 0 ? kp_err_wrap(err, "--config '%s'", path) : 0;
}

static int check_word(const struct kp_field *root, const char *name, const char *expected,
		      struct kp_err *err)
{
	const struct kp_field *field = KP_MEMBER(root, name);
	const char *text = "";

	if (kp_field_string(field, &text, err) < 0)
		return -EINVAL;
	if (strcmp(text, expected) != 0)
		return kp_field_fail(field, err, "'%.64s' is not %s", text, expected);
	return 0;
}

int kp_file_read(const json_t *json, struct kp_values *values, struct kp_notes *notes,
		 struct kp_err *err)
{
	const struct reader r = {.values = values, .notes = notes, .err = err};
	const struct kp_field *root = &(const struct kp_field){.json = json};

	if (kp_field_object(root, err) < 0 ||
	    check_word(root, "apiVersion", KP_CONFIG_API_VERSION, err) < 0 ||
	    check_word(root, "kind", KP_CONFIG_KIND, err) < 0)
		return -EINVAL;
	drop_flags(values, notes);
	return read_block(&r, root);
}

/* --- values --- */

/* What a list or a map holds becomes one text, whose parts commas part. */
static int add_part(const struct reader *r, const struct kp_field *field, const char *part,
		    char **text)
{
	char *longer;

	if (!*part || strchr(part, ','))
		return kp_field_fail(field, r->err, "'%.64s' is not valid", part);
	longer = kp_xasprintf("%s%s%s", *text ? *text : "", *text ? "," : "", part);
	free(*text);
	*text = longer;
	return 0;
}

static int read_list(const struct reader *r, const struct kp_field *field, char **ret)
{
	size_t n;

	if (kp_field_list(field, MAX_LIST, &n, r->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct kp_field *item = KP_ITEM(field, i);
		const char *part = "";

		if (kp_field_string(item, &part, r->err) < 0 || add_part(r, item, part, ret) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_gates(const struct reader *r, const struct kp_field *field, char **ret)
{
	const char *name;
	json_t *json;

	if (kp_field_object(field, r->err) < 0)
		return -EINVAL;
	json_object_foreach((json_t *)field->json, name, json)
	{
		const struct kp_field *item = KP_MEMBER(field, name);
		kp_autofree char *part = NULL;
		bool on = false;

		if (kp_field_bool(item, &on, r->err) < 0)
			return -EINVAL;
		part = kp_xasprintf("%s=%s", name, on ? "true" : "false");
		if (add_part(r, item, part, ret) < 0)
			return -EINVAL;
	}
	return 0;
}

static int read_text(const struct reader *r, const struct kp_field *field, char **ret)
{
	const char *text = "";

	if (kp_field_string(field, &text, r->err) < 0)
		return -EINVAL;
	*ret = kp_xstrdup(text);
	return 0;
}

static int read_number(const struct reader *r, const struct kp_field *field, char **ret)
{
	long value = 0;

	if (kp_field_number(field, LONG_MIN, LONG_MAX, &value, r->err) < 0)
		return -EINVAL;
	*ret = kp_xasprintf("%ld", value);
	return 0;
}

static int read_switch(const struct reader *r, const struct kp_field *field, char **ret)
{
	bool on = false;

	if (kp_field_bool(field, &on, r->err) < 0)
		return -EINVAL;
	*ret = kp_xstrdup(on ? "true" : "false");
	return 0;
}

/* The value as a flag would have it. */
static int read_value(const struct reader *r, const struct kp_option *o,
		      const struct kp_field *field, char **ret)
{
	switch (o->type) {
	case KP_OPTION_SWITCH:
		return read_switch(r, field, ret);
	case KP_OPTION_NUMBER:
		return read_number(r, field, ret);
	case KP_OPTION_FRACTION:
		if (!json_is_real(field->json))
			return read_number(r, field, ret);
		*ret = kp_xasprintf("%.9g", json_real_value(field->json));
		return 0;
	case KP_OPTION_LIST:
		return read_list(r, field, ret);
	case KP_OPTION_GATES:
		return read_gates(r, field, ret);
	case KP_OPTION_OPAQUE:
		return 0;
	default:
		return read_text(r, field, ret);
	}
}

/* Empty, and for some options zero, means the default as null does. */
static bool is_unset(const struct kp_option *o, const char *text)
{
	int64_t ms;

	if (!text || !*text)
		return true;
	if (!(o->bits & KP_OPTION_ZERO_IS_UNSET))
		return false;
	if (o->type == KP_OPTION_DURATION)
		return kp_duration_parse_ms(text, &ms) == 0 && ms == 0;
	return strcmp(text, "0") == 0;
}

static int take_value(const struct reader *r, const struct kp_option *o,
		      const struct kp_field *field)
{
	kp_autofree char *text = NULL;

	if (!field->json)
		return 0;
	if (read_value(r, o, field, &text) < 0)
		return -EINVAL;
	if (is_unset(o, text) || kp_values_of(r->values, o)->text)
		return 0;
	return kp_values_give(r->values, o, text, false, r->err);
}

/* --- fields --- */

static const struct kp_option *find_field(const char *path)
{
	for (size_t i = 0; i < kp_n_options; i++)
		if (kp_option_table[i].field && strcmp(kp_option_table[i].field, path) == 0)
			return &kp_option_table[i];
	return NULL;
}

/* True when there are fields below this one. */
static bool is_block(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < kp_n_options; i++) {
		const char *field = kp_option_table[i].field;

		if (field && strncmp(field, path, len) == 0 && field[len] == '.')
			return true;
	}
	return false;
}

static int read_field(const struct reader *r, const struct kp_field *field)
{
	const struct kp_option *option;
	char path[256];

	kp_field_path(field, path, sizeof(path));
	option = find_field(path);
	if (option)
		return take_value(r, option, field);
	if (is_block(path))
		return read_block(r, field);
	if (strcmp(path, "kind") != 0 && strcmp(path, "apiVersion") != 0)
		kp_notes_add(r->notes, KP_LOG_WARN, "unknown field, ignored", "field=%s",
			     kp_log_quote(path));
	return 0;
}

static int read_block(const struct reader *r, const struct kp_field *block)
{
	const char *name;
	json_t *json;

	if (kp_field_object(block, r->err) < 0)
		return -EINVAL;
	json_object_foreach((json_t *)block->json, name, json)
	{
		if (read_field(r, KP_MEMBER(block, name)) < 0)
			return -EINVAL;
	}
	return 0;
}
