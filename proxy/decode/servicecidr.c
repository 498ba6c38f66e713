/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ServiceCIDR networking.k8s.io/v1 (IN-4, RJ-3). */
#include <errno.h>

#include "decode/kinds.h"

/* The API allows one per family. */
#define MAX_CIDRS 2

/* Unknown addresses of these ranges are dropped, so a range that is not what was meant is refused
 * as a whole and the previous one stays. */
static int decode_cidrs(const struct kp_decoder *d, const struct kp_field *root,
			struct kp_prefix_list *ret)
{
	const struct kp_field *spec = KP_MEMBER(root, "spec");
	const struct kp_field *cidrs = KP_MEMBER(spec, "cidrs");
	size_t n;

	if (kp_field_object(spec, d->err) < 0 || kp_field_list(cidrs, MAX_CIDRS, &n, d->err) < 0)
		return -EINVAL;
	ret->items = kp_xcalloc(n, sizeof(*ret->items));
	for (; ret->n < n; ret->n++) {
		const struct kp_field *cidr = KP_ITEM(cidrs, ret->n);
		const char *text = "";

		if (kp_field_string(cidr, &text, d->err) < 0)
			return -EINVAL;
		if (kp_field_parse_prefix(text, &ret->items[ret->n]) < 0)
			return kp_field_fail(cidr, d->err, "'%.64s' is not a CIDR", text);
		if (ret->items[ret->n].len == 0)
			return kp_field_fail(cidr, d->err, "'%.64s' is every address", text);
	}
	return 0;
}

enum kp_decode_result kp_decode_servicecidr(const struct kp_decoder *d, const struct kp_field *root,
					    struct kp_servicecidr **ret)
{
	struct kp_servicecidr *cidr = kp_xcalloc(1, sizeof(*cidr));

	cidr->name = kp_xstrdup(d->id->name);
	if (decode_cidrs(d, root, &cidr->cidrs) < 0) {
		kp_servicecidr_free(cidr);
		return KP_DECODE_BAD;
	}
	*ret = cidr;
	return KP_DECODED;
}
