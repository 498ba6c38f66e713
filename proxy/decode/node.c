/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Node v1, our own (rules ND-2 to ND-6). */
#include <errno.h>

#include "decode/kinds.h"

#define UNLIMITED ((size_t)-1)

static int decode_zone(const struct kp_decoder *d, const struct kp_field *root,
		       struct kp_node *node);
static int decode_addresses(const struct kp_decoder *d, const struct kp_field *root,
			    const char *wanted_type, struct kp_node *node);
static int decode_pod_cidrs(const struct kp_decoder *d, const struct kp_field *root,
			    struct kp_node *node);
static int decode_eligible(const struct kp_decoder *d, const struct kp_field *root,
			   struct kp_node *node);

enum kp_decode_result kp_decode_node(const struct kp_decoder *d, const struct kp_field *root,
				     struct kp_node **ret)
{
	struct kp_node *node = kp_xcalloc(1, sizeof(*node));

	node->name = kp_xstrdup(d->id->name);
	/* An address of the first type wins over all of the second (ND-2). */
	if (decode_zone(d, root, node) < 0 || decode_addresses(d, root, "InternalIP", node) < 0 ||
	    decode_addresses(d, root, "ExternalIP", node) < 0 ||
	    decode_pod_cidrs(d, root, node) < 0 || decode_eligible(d, root, node) < 0) {
		kp_node_free(node);
		return KP_DECODE_BAD;
	}
	*ret = node;
	return KP_DECODED;
}

static int decode_zone(const struct kp_decoder *d, const struct kp_field *root,
		       struct kp_node *node)
{
	const struct kp_field *metadata = KP_MEMBER(root, "metadata");
	const struct kp_field *labels = KP_MEMBER(metadata, "labels");
	const char *zone = "";

	if (kp_field_string(KP_MEMBER(labels, "topology.kubernetes.io/zone"), &zone, d->err) < 0)
		return -EINVAL;
	node->zone = kp_xstrdup(zone);
	return 0;
}

/* Takes the address if it is the first of its family. */
static void take_address(const struct kp_decoder *d, const struct kp_field *field, const char *text,
			 struct kp_node *node)
{
	enum kp_family family;
	struct kp_addr addr;

	if (kp_field_parse_addr(text, &family, &addr) < 0 || kp_addr_is_zero(&addr))
		kp_decode_warn(d, field, "'%.64s' is not a node's IP address, ignored", text);
	else if (kp_addr_is_zero(&node->ip[family]))
		node->ip[family] = addr;
}

static int decode_addresses(const struct kp_decoder *d, const struct kp_field *root,
			    const char *wanted_type, struct kp_node *node)
{
	const struct kp_field *status = KP_MEMBER(root, "status");
	const struct kp_field *addresses = KP_MEMBER(status, "addresses");
	size_t n;

	if (kp_field_object(status, d->err) < 0 ||
	    kp_field_list(addresses, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct kp_field *item = KP_ITEM(addresses, i);
		const struct kp_field *address = KP_MEMBER(item, "address");
		const char *type = "", *text = "";

		if (kp_field_object(item, d->err) < 0 ||
		    kp_field_string(KP_MEMBER(item, "type"), &type, d->err) < 0 ||
		    kp_field_string(address, &text, d->err) < 0)
			return -EINVAL;
		if (strcmp(type, wanted_type) == 0)
			take_address(d, address, text, node);
	}
	return 0;
}

/* Takes the range if it is the first of its family (LD-3). */
static int take_pod_cidr(const struct kp_decoder *d, const struct kp_field *field,
			 struct kp_node *node)
{
	struct kp_prefix prefix;
	const char *text = "";

	if (kp_field_string(field, &text, d->err) < 0)
		return -EINVAL;
	if (kp_field_parse_prefix(text, &prefix) < 0) {
		kp_decode_warn(d, field, "'%.64s' is not a CIDR, ignored", text);
	} else if (!node->has_pod_cidr[prefix.family]) {
		node->has_pod_cidr[prefix.family] = true;
		node->pod_cidr[prefix.family] = prefix;
	}
	return 0;
}

/* podCIDRs defaults to [podCIDR], as in the API server. */
static int decode_pod_cidrs(const struct kp_decoder *d, const struct kp_field *root,
			    struct kp_node *node)
{
	const struct kp_field *spec = KP_MEMBER(root, "spec");
	const struct kp_field *cidrs = KP_MEMBER(spec, "podCIDRs");
	const struct kp_field *first = KP_MEMBER(spec, "podCIDR");
	size_t n;

	if (kp_field_object(spec, d->err) < 0 || kp_field_list(cidrs, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (take_pod_cidr(d, KP_ITEM(cidrs, i), node) < 0)
			return -EINVAL;
	if (n == 0 && first->json)
		return take_pod_cidr(d, first, node);
	return 0;
}

/* ND-6 */
static int decode_eligible(const struct kp_decoder *d, const struct kp_field *root,
			   struct kp_node *node)
{
	const struct kp_field *metadata = KP_MEMBER(root, "metadata");
	const struct kp_field *spec = KP_MEMBER(root, "spec");
	const struct kp_field *taints = KP_MEMBER(spec, "taints");
	size_t n;

	node->eligible = !KP_MEMBER(metadata, "deletionTimestamp")->json;
	if (kp_field_list(taints, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct kp_field *taint = KP_ITEM(taints, i);
		const char *key = "";

		if (kp_field_object(taint, d->err) < 0 ||
		    kp_field_string(KP_MEMBER(taint, "key"), &key, d->err) < 0)
			return -EINVAL;
		if (strcmp(key, "ToBeDeletedByClusterAutoscaler") == 0)
			node->eligible = false;
	}
	return 0;
}
