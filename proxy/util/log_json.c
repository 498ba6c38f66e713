/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/log_json.h"

#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "kproxy/err.h"

/* What stands for bytes that are not UTF-8. */
#define REPLACEMENT "\xef\xbf\xbd"

/* More digits may not fit. */
#define NUMBER_MAX_DIGITS 18

/* The longest valid beginning: what was cut off may end within a character. */
static json_t *text_value(const char *text, size_t len)
{
	json_t *value;

	while (!(value = json_stringn(text, len)))
		len--;
	return value;
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Undoes one escape behind a backslash; returns what follows it. */
static const char *unescape(const char *p, FILE *out)
{
	int byte;

	if (*p != 'x' || !isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2])) {
		if (*p)
			putc(*p, out);
		return *p ? p + 1 : p;
	}
	byte = hex_digit(p[1]) << 4 | hex_digit(p[2]);
	if (byte < 0x80)
		putc(byte, out);
	else
		fputs(REPLACEMENT, out);
	return p + 3;
}

/* '*p' is behind the quote that opens, and then behind the one that closes. */
static json_t *take_quoted(const char **p)
{
	kp_autofree char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return json_null();
	while (**p && **p != '"') {
		if (**p == '\\') {
			*p = unescape(*p + 1, out);
		} else {
			putc(**p, out);
			(*p)++;
		}
	}
	if (**p)
		(*p)++;
	fclose(out);
	return text_value(text, len);
}

/* As the grammar of JSON has them; a version such as 1.30 is not one. */
static bool is_number(const char *word, size_t len)
{
	const char *digits = word + (*word == '-');
	size_t n = len - (digits - word);

	if (n == 0 || n > NUMBER_MAX_DIGITS || strspn(digits, "0123456789") < n)
		return false;
	return *digits != '0' || n == 1;
}

static json_t *take_word(const char **p)
{
	const char *word = *p;
	size_t len = strcspn(word, " ");

	*p += len;
	if (is_number(word, len))
		return json_integer(strtoll(word, NULL, 10));
	return text_value(word, len);
}

static void take_pairs(json_t *object, const char *p)
{
	while (*(p += strspn(p, " "))) {
		size_t len = strcspn(p, "= ");
		kp_autofree char *key = kp_xasprintf("%.*s", (int)len, p);

		p += len;
		if (*p != '=') {
			json_object_set_new(object, key, json_null());
			continue;
		}
		p++;
		if (*p == '"') {
			p++;
			json_object_set_new(object, key, take_quoted(&p));
		} else {
			json_object_set_new(object, key, take_word(&p));
		}
	}
}

char *kp_log_json(int64_t time_us, const char *level, const char *module, const char *msg,
		  const char *pairs)
{
	json_auto_t *object = json_pack("{s:f, s:s, s:s, s:o}", "ts", time_us / 1e3, "level", level,
					"module", module, "msg", text_value(msg, strlen(msg)));

	take_pairs(object, pairs);
	/* Milliseconds with three decimals have 16 digits. */
	return json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(16));
}
