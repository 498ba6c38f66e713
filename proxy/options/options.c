/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options/options.h"

#include "options/arguments.h"
#include "options/file.h"
#include "options/settle.h"

static bool is_on(const struct kp_options *o, const char *flag)
{
	const char *text = kp_values_find(o->values, flag)->text;

	return text && strcmp(text, "true") == 0;
}

static int parse(int argc, char **argv, struct kp_options *o, struct kp_err *err)
{
	const char *path;
	int r = kp_arguments_read(argc, argv, o->values, err);

	if (r < 0)
		return r;
	/* Whatever the file says. */
	o->help = is_on(o, "--help");
	o->version = is_on(o, "--version");
	if (o->help || o->version)
		return 0;
	path = kp_values_find(o->values, "--config")->text;
	if (path) {
		kp_file_identify(path, &o->config_identity);
		r = kp_file_load(path, o->values, &o->notes, err);
	}
	return r < 0 ? r : kp_options_settle(o, path, err);
}

int kp_options_parse(int argc, char **argv, struct kp_options *ret, struct kp_err *err)
{
	int r;

	*ret = (struct kp_options){.values = kp_values_new()};
	r = parse(argc, argv, ret, err);
	if (r < 0)
		kp_options_clear(ret);
	return r;
}

void kp_options_clear(struct kp_options *o)
{
	kp_values_free(o->values);
	kp_notes_clear(&o->notes);
	*o = (struct kp_options){0};
}
