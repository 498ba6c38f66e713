/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nearly every scalar is text, so its first character decides before anything is tried. */
#include "manifests/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const words[3])
{
	return strcmp(text, words[0]) == 0 || strcmp(text, words[1]) == 0 ||
	       strcmp(text, words[2]) == 0;
}

static const char *skip_digits(const char *p)
{
	return p + strspn(p, "0123456789");
}

/* Null, true or false, or NULL when it is none of them. */
static json_t *resolve_word(const char *text)
{
	static const char *const nulls[] = {"null", "Null", "NULL"};
	static const char *const trues[] = {"true", "True", "TRUE"};
	static const char *const falses[] = {"false", "False", "FALSE"};

	if (!*text || strcmp(text, "~") == 0 || is_one_of(text, nulls))
		return json_null();
	if (is_one_of(text, trues))
		return json_true();
	if (is_one_of(text, falses))
		return json_false();
	return NULL;
}

/* An integer, or NULL when it is none or too large for one. */
static json_t *resolve_integer(const char *text, const char *digits)
{
	json_int_t value;

	if (*skip_digits(digits) || digits == skip_digits(digits))
		return NULL;
	errno = 0;
	value = strtoll(text, NULL, 10);
	return errno ? NULL : json_integer(value);
}

static json_t *resolve_real(const char *text, const char *digits)
{
	const char *p = skip_digits(digits);
	size_t n_digits = p - digits;
	double value;

	if (*p == '.') {
		n_digits += skip_digits(p + 1) - (p + 1);
		p = skip_digits(p + 1);
	}
	if (n_digits == 0)
		return NULL;
	if (*p == 'e' || *p == 'E') {
		p += p[1] == '+' || p[1] == '-' ? 2 : 1;
		if (p == skip_digits(p))
			return NULL;
		p = skip_digits(p);
	}
	value = strtod(text, NULL);
	return *p || !isfinite(value) ? NULL : json_real(value);
}

static json_t *resolve_number(const char *text)
{
	const char *digits = text + (*text == '-' || *text == '+');
	json_t *number;

	/* Octal for YAML 1.1, decimal for YAML 1.2: better text than the wrong number. */
	if (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9')
		return NULL;
	number = resolve_integer(text, digits);
	return number ? number : resolve_real(text, digits);
}

json_t *kp_scalar_resolve(const char *text, size_t size)
{
	json_t *json = NULL;

	if (!*text || strchr("~nNtTfF", *text))
		json = resolve_word(text);
	else if (strchr("+-.0123456789", *text))
		json = resolve_number(text);
	return json ? json : json_stringn_nocheck(text, size);
}
