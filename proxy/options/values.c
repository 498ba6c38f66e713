/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options/values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/time.h"

struct kp_values *kp_values_new(void)
{
	struct kp_values *values = kp_xcalloc(1, sizeof(*values));

	values->items = kp_xcalloc(kp_n_options, sizeof(*values->items));
	return values;
}

void kp_values_free(struct kp_values *values)
{
	if (!values)
		return;
	for (size_t i = 0; i < kp_n_options; i++)
		free(values->items[i].text);
	free(values->items);
	free(values);
}

struct kp_value *kp_values_of(const struct kp_values *values, const struct kp_option *option)
{
	return &values->items[option - kp_option_table];
}

struct kp_value *kp_values_find(const struct kp_values *values, const char *name)
{
	bool by_flag = strncmp(name, "--", 2) == 0;

	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];
		const char *known = by_flag ? o->flag : o->field;

		if (known && strcmp(known, by_flag ? name + 2 : name) == 0)
			return &values->items[i];
	}
	abort();
}

void kp_value_replace(struct kp_value *value, char *text)
{
	free(value->text);
	value->text = text;
}

/* --- types --- */

/* As Go's ParseBool. */
static const char *parse_switch(const char *text)
{
	static const char *const words[2][6] = {
		{"0", "f", "F", "false", "FALSE", "False"},
		{"1", "t", "T", "true", "TRUE", "True"},
	};

	for (int on = 0; on < 2; on++)
		for (int i = 0; i < 6; i++)
			if (strcmp(text, words[on][i]) == 0)
				return on ? "true" : "false";
	return NULL;
}

static bool is_number(const char *text, long min, long max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	return *text && !*end && !errno && value >= min && value <= max;
}

static bool is_fraction(const char *text)
{
	size_t len;

	text += *text == '-';
	len = strspn(text, "0123456789");
	if (text[len] == '.')
		len += 1 + strspn(text + len + 1, "0123456789");
	return *text && *text != '.' && !text[len] && len < 32;
}

static bool is_duration(const char *text, int64_t min_ms)
{
	int64_t ms;

	return kp_duration_parse_ms(text, &ms) == 0 && ms >= min_ms;
}

/* "Name=true,Other=false" */
static bool is_gates(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ",");
		kp_autofree char *gate = kp_xasprintf("%.*s", (int)len, text);
		const char *equals = strchr(gate, '=');

		if (!equals || equals == gate || !parse_switch(equals + 1))
			return false;
		text += len + (text[len] == ',');
	}
	return true;
}

static bool is_valid(const struct kp_option *o, const char *text)
{
	if (!*text && o->bits & KP_OPTION_NOT_EMPTY)
		return false;
	switch (o->type) {
	case KP_OPTION_SWITCH:
		return parse_switch(text);
	case KP_OPTION_NUMBER:
		return is_number(text, o->min, o->max);
	case KP_OPTION_FRACTION:
		return is_fraction(text);
	case KP_OPTION_DURATION:
		return is_duration(text, o->min);
	case KP_OPTION_GATES:
		return is_gates(text);
	default:
		return true;
	}
}

/* --- giving --- */

static void describe_expected(const struct kp_option *o, char *buf, size_t size)
{
	if (o->expected)
		snprintf(buf, size, "%s", o->expected);
	else if (o->type == KP_OPTION_NUMBER)
		snprintf(buf, size, "a whole number, %ld to %ld", o->min, o->max);
	else if (o->type == KP_OPTION_FRACTION)
		snprintf(buf, size, "a number");
	else if (o->type == KP_OPTION_DURATION)
		snprintf(buf, size, "a duration such as 30s or 1h0m0s%s",
			 o->min > 0 ? ", longer than 0" : "");
	else if (o->type == KP_OPTION_SWITCH)
		snprintf(buf, size, "true or false");
	else
		snprintf(buf, size, "%s", kp_option_value_name(o));
}

int kp_value_refuse(const struct kp_value *value, const struct kp_option *option,
		    struct kp_err *err)
{
	char name[64], expected[128];

	describe_expected(option, expected, sizeof(expected));
	return kp_err_set(err, EINVAL, "%s: '%.200s' is not valid; expected %s",
			  kp_option_name(value->named, value->by_flag, name), value->text,
			  expected);
}

int kp_values_give(struct kp_values *values, const struct kp_option *option, const char *text,
		   bool by_flag, struct kp_err *err)
{
	struct kp_value *value = kp_values_of(values, option);

	kp_value_replace(value, kp_xstrdup(text));
	value->given = true;
	value->by_flag = by_flag;
	value->named = option;
	if (!is_valid(option, text))
		return kp_value_refuse(value, option, err);
	if (option->type == KP_OPTION_SWITCH)
		kp_value_replace(value, kp_xstrdup(parse_switch(value->text)));
	return 0;
}
