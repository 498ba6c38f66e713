/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the decoders of all kinds say about an object. */
#include "decode/remark.h"

#include <stdarg.h>
#include <stdio.h>

enum kp_decode_result kp_decode_skip(const struct kp_decoder *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, KP_DECODE_WHY_SIZE, fmt, ap);
	va_end(ap);
	return KP_DECODE_SKIP;
}

void kp_decode_warn(const struct kp_decoder *d, const struct kp_field *field, const char *fmt, ...)
{
	char text[512];
	size_t len;
	va_list ap;

	if (!d->options->warn)
		return;
	kp_field_path(field, text, sizeof(text) / 2);
	len = strlen(text);
	len += snprintf(text + len, sizeof(text) - len, ": ");
	va_start(ap, fmt);
	vsnprintf(text + len, sizeof(text) - len, fmt, ap);
	va_end(ap);
	d->options->warn(d->options->warn_arg, text);
}
