/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Not getopt_long(): it takes abbreviations for flags, which then change their meaning when a flag
 * is added, and it does not know _. */
#include "options/arguments.h"

#include <errno.h>
#include <string.h>

#define MAX_NAME 64

/* The name in "--name=value" or "-v=2", with - for _; false when it is none. */
static bool read_name(const char *arg, char ret[MAX_NAME], const char **ret_value)
{
	size_t dashes = strspn(arg, "-"), len;

	if (dashes == 0 || dashes > 2)
		return false;
	len = strcspn(arg + dashes, "=");
	if (dashes == 1 && len > 1)
		return false;
	if (len == 0 || len >= MAX_NAME)
		return false;
	memcpy(ret, arg + dashes, len);
	ret[len] = 0;
	for (char *p = ret; *p; p++)
		if (*p == '_')
			*p = '-';
	*ret_value = arg[dashes + len] ? arg + dashes + len + 1 : NULL;
	return true;
}

static const struct kp_option *find_flag(const char *name)
{
	if (strcmp(name, "h") == 0)
		name = "help";
	for (size_t i = 0; i < kp_n_options; i++)
		if (kp_option_table[i].flag && strcmp(kp_option_table[i].flag, name) == 0)
			return &kp_option_table[i];
	return NULL;
}

/* A list grows with each time that its flag is there. */
static int give(struct kp_values *values, const struct kp_option *option, const char *text,
		struct kp_err *err)
{
	const struct kp_value *value = kp_values_of(values, option);
	bool adds = option->type == KP_OPTION_LIST || option->type == KP_OPTION_GATES;
	kp_autofree char *all = NULL;

	if (!adds || !value->text || !*value->text)
		return kp_values_give(values, option, text, true, err);
	all = kp_xasprintf("%s,%s", value->text, text);
	return kp_values_give(values, option, all, true, err);
}

/* One flag may be for several fields. */
static int give_all(struct kp_values *values, const char *flag, const char *text,
		    struct kp_err *err)
{
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];
		int r;

		if (!o->flag || strcmp(o->flag, flag) != 0)
			continue;
		r = give(values, o, text, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int kp_arguments_read(int argc, char **argv, struct kp_values *values, struct kp_err *err)
{
	for (int i = 1; i < argc; i++) {
		const struct kp_option *option = NULL;
		const char *value = NULL;
		char name[MAX_NAME];
		int r;

		if (argv[i][0] != '-')
			return kp_err_set(err, EINVAL, "unexpected argument '%.200s'", argv[i]);
		if (read_name(argv[i], name, &value))
			option = find_flag(name);
		if (!option)
			return kp_err_set(err, EINVAL, "unknown flag '%.200s'", argv[i]);
		if (!value && option->type == KP_OPTION_SWITCH)
			value = "true";
		else if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value)
			return kp_err_set(err, EINVAL, "%s needs a value, %s", argv[i],
					  kp_option_value_name(option));
		r = give_all(values, option->flag, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}
