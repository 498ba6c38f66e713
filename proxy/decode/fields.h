/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the fields of an object, with errors that name the field:
 *
 *     spec.ports[1].port: 65536 is not in 1..65535
 *
 * A field that is null equals a missing one.  The functions return 0, or -EINVAL with 'err' set.
 * They leave '*ret' alone when the field is missing, so that it can hold the default. */
#ifndef KPROXY_FIELDS_H
#define KPROXY_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "kproxy/addr.h"
#include "kproxy/err.h"

/* A value and the way to it; lives on the stack of whoever decodes it. */
struct kp_field {
	const struct kp_field *parent; /* NULL at the top */
	const char *name;	       /* NULL in a list */
	size_t index;		       /* in a list */
	const json_t *json;	       /* NULL: missing or null */
};

/* The member of an object, or the item of a list; missing when 'parent' is missing.  Valid until
 * the end of the block. */
#define KP_MEMBER(parent_, name_)  \
	(&(const struct kp_field){ \
		.parent = (parent_), .name = (name_), .json = kp_field_lookup(parent_, name_)})
#define KP_ITEM(parent_, i_)       \
	(&(const struct kp_field){ \
		.parent = (parent_), .index = (i_), .json = kp_field_at(parent_, i_)})

const json_t *kp_field_lookup(const struct kp_field *object, const char *name);
const json_t *kp_field_at(const struct kp_field *list, size_t index);

/* Checks the type of a field that may be missing. */
int kp_field_object(const struct kp_field *field, struct kp_err *err);
int kp_field_list(const struct kp_field *field, size_t max, size_t *ret_n, struct kp_err *err);

/* '*ret' is borrowed. */
int kp_field_string(const struct kp_field *field, const char **ret, struct kp_err *err);
int kp_field_bool(const struct kp_field *field, bool *ret, struct kp_err *err);
int kp_field_number(const struct kp_field *field, long min, long max, long *ret,
		    struct kp_err *err);

/* How long names may be: of Services and namespaces, and of everything else. */
#define KP_LABEL_MAX 63
#define KP_NAME_MAX 253

/* Checks a name that will stand in logs, dumps and comments of rules: 1 to 'max' of [a-z0-9.-]. */
int kp_field_check_name(const struct kp_field *field, const char *name, size_t max,
			struct kp_err *err);

/* The same for the name of a port: up to 63 of [A-Za-z0-9-]. */
int kp_field_check_port_name(const struct kp_field *field, const char *name, struct kp_err *err);

/* Addresses as they are accepted everywhere: canonical or not (SV-7), but not IPv4 in IPv6's
 * clothes (::ffff:192.0.2.1), which would never match a packet. */
int kp_field_parse_addr(const char *text, enum kp_family *ret_family, struct kp_addr *ret);
int kp_field_parse_prefix(const char *text, struct kp_prefix *ret);

/* True for what no Service and no endpoint can have: unspecified, loopback, multicast. */
bool kp_field_addr_is_special(enum kp_family family, const struct kp_addr *addr);

/* Sets an error that starts with the path of the field; -EINVAL. */
int kp_field_fail(const struct kp_field *field, struct kp_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Writes the path of a field, such as "spec.ports[1].port". */
void kp_field_path(const struct kp_field *field, char *buf, size_t size);

#endif
