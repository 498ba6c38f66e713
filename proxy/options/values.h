/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each option was given as: one text for each row of the table. */
#ifndef KPROXY_OPTIONS_VALUES_H
#define KPROXY_OPTIONS_VALUES_H

#include "options/table.h"

struct kp_value {
	char *text; /* NULL: not given */
	bool given; /* and no default */
	bool by_flag;
	const struct kp_option *named; /* the option that errors name; another one's when mapped */
};

struct kp_values {
	struct kp_value *items; /* kp_n_options */
};

struct kp_values *kp_values_new(void);
void kp_values_free(struct kp_values *values);

struct kp_value *kp_values_of(const struct kp_values *values, const struct kp_option *option);

/* By field, or by "--flag"; it must exist. */
struct kp_value *kp_values_find(const struct kp_values *values, const char *name);

/* Gives an option a text, in the place of the one before.  -EINVAL when it is not of the option's
 * type or out of its range; the error names the flag or the field. */
int kp_values_give(struct kp_values *values, const struct kp_option *option, const char *text,
		   bool by_flag, struct kp_err *err);

/* Sets an error that names the option and what is expected; -EINVAL. */
int kp_value_refuse(const struct kp_value *value, const struct kp_option *option,
		    struct kp_err *err);

/* Puts a text in the place of a value's, whatever it is, and keeps where it came from. */
void kp_value_replace(struct kp_value *value, char *text);

#endif
