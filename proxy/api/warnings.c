/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/warnings.h"

#include <stdlib.h>
#include <string.h>

#include "kproxy/err.h"

void kp_warnings_clear(struct kp_warnings *warnings)
{
	while (warnings->n > 0)
		free(warnings->texts[--warnings->n]);
}

/* The quoted text behind the code and the agent, without its escapes; "" when there is none. */
static void parse(const char *value, char ret[KP_WARNING_SIZE])
{
	const char *p = value + strspn(value, " \t");
	size_t len = 0;

	ret[0] = 0;
	/* 299 is the only code that API servers send. */
	if (strncmp(p, "299 ", 4) != 0 || !(p = strchr(p, '"')))
		return;
	for (p++; *p && *p != '"' && len < KP_WARNING_SIZE - 1; p++) {
		if (*p == '\\' && p[1])
			p++;
		ret[len++] = *p;
	}
	ret[*p == '"' ? len : 0] = 0;
}

const char *kp_warnings_add(struct kp_warnings *warnings, const char *value)
{
	char text[KP_WARNING_SIZE];

	parse(value, text);
	for (size_t i = 0; i < warnings->n; i++)
		if (strcmp(warnings->texts[i], text) == 0)
			return NULL;
	if (!*text || warnings->n == KP_WARNINGS_MAX)
		return NULL;
	warnings->texts[warnings->n] = kp_xstrdup(text);
	return warnings->texts[warnings->n++];
}
