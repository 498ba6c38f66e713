/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoders of the single kinds, for decode.c only. */
#ifndef KPROXY_KINDS_H
#define KPROXY_KINDS_H

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

/* 'root' is the whole object, whose identity and opt-out labels have been dealt with.  '*ret' is
 * set with KP_DECODED only and belongs to the caller. */
enum kp_decode_result kp_decode_service(const struct kp_decoder *d, const struct kp_field *root,
					struct kp_service **ret);
enum kp_decode_result kp_decode_endpointslice(const struct kp_decoder *d,
					      const struct kp_field *root,
					      struct kp_endpointslice **ret);
enum kp_decode_result kp_decode_node(const struct kp_decoder *d, const struct kp_field *root,
				     struct kp_node **ret);
enum kp_decode_result kp_decode_servicecidr(const struct kp_decoder *d, const struct kp_field *root,
					    struct kp_servicecidr **ret);

/* KP_DECODE_SKIP with a reason. */
enum kp_decode_result kp_decode_skip(const struct kp_decoder *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A remark that does not spoil the object; the field is named in front. */
void kp_decode_warn(const struct kp_decoder *d, const struct kp_field *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
