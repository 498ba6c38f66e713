/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Type checks and error texts, once for all kinds of objects. */
#include "decode/fields.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int wrong_type(const struct kp_field *field, const char *expected, struct kp_err *err);

const json_t *kp_field_lookup(const struct kp_field *object, const char *name)
{
	const json_t *json = json_object_get(object->json, name);

	return json_is_null(json) ? NULL : json;
}

const json_t *kp_field_at(const struct kp_field *list, size_t index)
{
	const json_t *json = json_array_get(list->json, index);

	return json_is_null(json) ? NULL : json;
}

int kp_field_object(const struct kp_field *field, struct kp_err *err)
{
	if (field->json && !json_is_object(field->json))
		return wrong_type(field, "an object", err);
	return 0;
}

int kp_field_list(const struct kp_field *field, size_t max, size_t *ret_n, struct kp_err *err)
{
	size_t n = json_array_size(field->json);

	if (field->json && !json_is_array(field->json))
		return wrong_type(field, "a list", err);
	if (n > max)
		return kp_field_fail(field, err, "%zu items, more than %zu", n, max);
	*ret_n = n;
	return 0;
}

int kp_field_string(const struct kp_field *field, const char **ret, struct kp_err *err)
{
	const char *text;

	if (!field->json)
		return 0;
	text = json_string_value(field->json);
	if (!text)
		return wrong_type(field, "a string", err);
	if (strlen(text) != json_string_length(field->json))
		return kp_field_fail(field, err, "holds a NUL character");
	*ret = text;
	return 0;
}

int kp_field_bool(const struct kp_field *field, bool *ret, struct kp_err *err)
{
	if (!field->json)
		return 0;
	if (!json_is_boolean(field->json))
		return wrong_type(field, "true or false", err);
	*ret = json_is_true(field->json);
	return 0;
}

int kp_field_number(const struct kp_field *field, long min, long max, long *ret, struct kp_err *err)
{
	json_int_t value;

	if (!field->json)
		return 0;
	if (!json_is_integer(field->json))
		return wrong_type(field, "a whole number", err);
	value = json_integer_value(field->json);
	if (value < min || value > max)
		return kp_field_fail(field, err, "%lld is not in %ld..%ld", (long long)value, min,
				     max);
	*ret = value;
	return 0;
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int kp_field_check_name(const struct kp_field *field, const char *name, size_t max,
			struct kp_err *err)
{
	size_t len = strlen(name);

	if (len == 0 || len > max)
		return kp_field_fail(field, err, "%zu characters, not 1..%zu", len, max);
	for (const char *p = name; *p; p++)
		if (!is_alphanumeric(*p) && *p != '.' && *p != '-')
			return kp_field_fail(field, err, "'%.64s' is not made of a-z 0-9 . -",
					     name);
	return 0;
}

int kp_field_check_port_name(const struct kp_field *field, const char *name, struct kp_err *err)
{
	size_t len = strlen(name);

	if (len > 63)
		return kp_field_fail(field, err, "%zu characters, more than 63", len);
	for (const char *p = name; *p; p++)
		if (!is_alphanumeric(*p) && !(*p >= 'A' && *p <= 'Z') && *p != '-')
			return kp_field_fail(field, err, "'%s' is not made of a-z A-Z 0-9 -", name);
	return 0;
}

static bool is_mapped_ipv4(const struct kp_addr *addr)
{
	static const uint8_t start[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(addr->bytes, start, sizeof(start)) == 0;
}

int kp_field_parse_addr(const char *text, enum kp_family *ret_family, struct kp_addr *ret)
{
	enum kp_family family;
	struct kp_addr addr;

	if (kp_addr_parse(text, &family, &addr) < 0)
		return -EINVAL;
	if (family == KP_IPV6 && is_mapped_ipv4(&addr))
		return -EINVAL;
	*ret_family = family;
	*ret = addr;
	return 0;
}

int kp_field_parse_prefix(const char *text, struct kp_prefix *ret)
{
	struct kp_prefix prefix;

	if (kp_prefix_parse(text, &prefix) < 0)
		return -EINVAL;
	if (prefix.family == KP_IPV6 && prefix.len >= 96 && is_mapped_ipv4(&prefix.addr))
		return -EINVAL;
	*ret = prefix;
	return 0;
}

bool kp_field_addr_is_special(enum kp_family family, const struct kp_addr *addr)
{
	bool multicast = family == KP_IPV4 ? (addr->bytes[0] & 0xf0) == 0xe0
					   : addr->bytes[0] == 0xff;

	return multicast || kp_addr_is_zero(addr) || kp_addr_is_loopback(family, addr);
}

int kp_field_fail(const struct kp_field *field, struct kp_err *err, const char *fmt, ...)
{
	char path[256], text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	kp_field_path(field, path, sizeof(path));
	return kp_err_set(err, EINVAL, "%s%s%s", path, *path ? ": " : "", text);
}

void kp_field_path(const struct kp_field *field, char *buf, size_t size)
{
	const char *format = "%s";
	size_t len;

	buf[0] = 0;
	if (!field->parent)
		return;
	kp_field_path(field->parent, buf, size);
	len = strlen(buf);
	if (!field->name) {
		snprintf(buf + len, size - len, "[%zu]", field->index);
		return;
	}
	/* Keys of labels hold dots themselves. */
	if (strpbrk(field->name, "./"))
		format = "[%s]";
	else if (len > 0)
		format = ".%s";
	snprintf(buf + len, size - len, format, field->name);
}

static const char *type_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a fraction or a number that is too large";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NULL:
		break;
	}
	return "null";
}

static int wrong_type(const struct kp_field *field, const char *expected, struct kp_err *err)
{
	return kp_field_fail(field, err, "expected %s, got %s", expected, type_name(field->json));
}
