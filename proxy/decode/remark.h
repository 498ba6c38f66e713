/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the decoders of all kinds say about an object. */
#ifndef KPROXY_REMARK_H
#define KPROXY_REMARK_H

#include "decode/decode.h"
#include "decode/fields.h"

#define KP_DECODE_WHY_SIZE 128

/* What the decoding of one object needs all the way down. */
struct kp_decoder {
	const struct kp_decode_options *options;
	const struct kp_object_id *id;
	char *why; /* KP_DECODE_WHY_SIZE bytes */
	struct kp_err *err;
};

/* KP_DECODE_SKIP with a reason. */
enum kp_decode_result kp_decode_skip(const struct kp_decoder *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A remark that does not spoil the object; the field is named in front. */
void kp_decode_warn(const struct kp_decoder *d, const struct kp_field *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
