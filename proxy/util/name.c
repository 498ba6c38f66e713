/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/name.h"

#include <stddef.h>
#include <string.h>
#include <uthash.h>

#include "kproxy/err.h"

struct name {
	size_t n_users;
	UT_hash_handle hh;
	char text[];
};

static struct name *names;

const char *kp_name_get(const char *text)
{
	size_t len = strlen(text);
	struct name *name;

	HASH_FIND(hh, names, text, len, name);
	if (!name) {
		name = kp_xcalloc(1, sizeof(*name) + len + 1);
		memcpy(name->text, text, len + 1);
		HASH_ADD_KEYPTR(hh, names, name->text, len, name);
	}
	name->n_users++;
	return name->text;
}

void kp_name_put(const char *text)
{
	struct name *name;

	if (!text)
		return;
	name = (struct name *)(text - offsetof(struct name, text));
	if (--name->n_users > 0)
		return;
	HASH_DEL(names, name);
	free(name);
}
