/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoders of the single kinds, for decode.c only. */
#ifndef KPROXY_KINDS_H
#define KPROXY_KINDS_H

#include "decode/remark.h"

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

#endif
