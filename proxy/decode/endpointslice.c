/* SPDX-License-Identifier: GPL-2.0-or-later */
/* EndpointSlice discovery.k8s.io/v1 (rules ES-1 to ES-6). */
#include <errno.h>
#include <stdio.h>

#include "decode/kinds.h"
#include "util/time.h"

/* Limits of the API.  The one for hints, 8 there, leaves room for later versions. */
#define MAX_PORTS 20000
#define MAX_ENDPOINTS 1000
#define MAX_ADDRESSES 100
#define MAX_HINTS 64

static int decode_service_name(const struct kp_decoder *d, const struct kp_field *root,
			       const char **ret);
static int decode_address_type(const struct kp_decoder *d, const struct kp_field *root,
			       const char **ret_text, enum kp_family *ret);
static int decode_trigger_time(const struct kp_decoder *d, const struct kp_field *root,
			       struct kp_endpointslice *slice);
static int decode_ports(const struct kp_decoder *d, const struct kp_field *root,
			struct kp_endpointslice *slice);
static int decode_endpoints(const struct kp_decoder *d, const struct kp_field *root,
			    struct kp_endpointslice *slice);

enum kp_decode_result kp_decode_endpointslice(const struct kp_decoder *d,
					      const struct kp_field *root,
					      struct kp_endpointslice **ret)
{
	const char *service = "", *address_type = "";
	struct kp_endpointslice *slice;
	enum kp_family family;

	if (decode_service_name(d, root, &service) < 0 ||
	    decode_address_type(d, root, &address_type, &family) < 0)
		return KP_DECODE_BAD;
	if (!*service)
		return kp_decode_skip(d, "no label kubernetes.io/service-name");
	if (strcmp(address_type, "FQDN") == 0)
		return kp_decode_skip(d, "address type FQDN");

	slice = kp_xcalloc(1, sizeof(*slice));
	slice->ns = kp_name_get(d->id->ns);
	slice->name = kp_xstrdup(d->id->name);
	slice->service = kp_xstrdup(service);
	slice->family = family;
	if (decode_trigger_time(d, root, slice) < 0 || decode_ports(d, root, slice) < 0 ||
	    decode_endpoints(d, root, slice) < 0) {
		kp_endpointslice_free(slice);
		return KP_DECODE_BAD;
	}
	*ret = slice;
	return KP_DECODED;
}

/* ES-1; the label's value becomes part of a Service's key and is held to the same rules. */
static int decode_service_name(const struct kp_decoder *d, const struct kp_field *root,
			       const char **ret)
{
	const struct kp_field *metadata = KP_MEMBER(root, "metadata");
	const struct kp_field *labels = KP_MEMBER(metadata, "labels");
	const struct kp_field *label = KP_MEMBER(labels, "kubernetes.io/service-name");

	if (kp_field_string(label, ret, d->err) < 0)
		return -EINVAL;
	return **ret ? kp_field_check_name(label, *ret, KP_LABEL_MAX, d->err) : 0;
}

/* ES-2 */
static int decode_address_type(const struct kp_decoder *d, const struct kp_field *root,
			       const char **ret_text, enum kp_family *ret)
{
	const struct kp_field *field = KP_MEMBER(root, "addressType");

	if (kp_field_string(field, ret_text, d->err) < 0)
		return -EINVAL;
	*ret = strcmp(*ret_text, "IPv6") == 0 ? KP_IPV6 : KP_IPV4;
	if (strcmp(*ret_text, "FQDN") == 0 || strcmp(*ret_text, kp_family_name(*ret)) == 0)
		return 0;
	if (!**ret_text)
		return kp_field_fail(field, d->err, "missing");
	return kp_field_fail(field, d->err, "'%.64s' is not IPv4, IPv6 or FQDN", *ret_text);
}

/* ES-11; a time that cannot be read is as none. */
static int decode_trigger_time(const struct kp_decoder *d, const struct kp_field *root,
			       struct kp_endpointslice *slice)
{
	const struct kp_field *metadata = KP_MEMBER(root, "metadata");
	const struct kp_field *annotations = KP_MEMBER(metadata, "annotations");
	const char *text = "";

	if (kp_field_string(KP_MEMBER(annotations,
				      "endpoints.kubernetes.io/last-change-trigger-time"),
			    &text, d->err) < 0)
		return -EINVAL;
	slice->trigger_us = kp_time_parse_us(text);
	return 0;
}

/* Sets ret->proto to 0 when the port is to be left out (ES-3).  No name is the empty name and no
 * protocol is TCP, as the API server fills in; its objects always have both. */
static int decode_port(const struct kp_decoder *d, const struct kp_field *field,
		       struct kp_slice_port *ret)
{
	const struct kp_field *name_field = KP_MEMBER(field, "name");
	const char *name = "", *proto = "TCP";
	long port = 0;

	if (kp_field_object(field, d->err) < 0 || kp_field_string(name_field, &name, d->err) < 0 ||
	    kp_field_check_port_name(name_field, name, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(field, "protocol"), &proto, d->err) < 0 ||
	    kp_field_number(KP_MEMBER(field, "port"), 0, UINT16_MAX, &port, d->err) < 0)
		return -EINVAL;
	if (port == 0)
		kp_decode_warn(d, KP_MEMBER(field, "port"), "missing or 0, port ignored");
	else if (kp_proto_parse(proto) == 0)
		kp_decode_warn(d, KP_MEMBER(field, "protocol"),
			       "'%.64s' is not a protocol that we know, port ignored", proto);
	else
		*ret = (struct kp_slice_port){
			.name = kp_name_get(name), .proto = kp_proto_parse(proto), .port = port};
	return 0;
}

static int decode_ports(const struct kp_decoder *d, const struct kp_field *root,
			struct kp_endpointslice *slice)
{
	const struct kp_field *ports = KP_MEMBER(root, "ports");
	size_t n;

	if (kp_field_list(ports, MAX_PORTS, &n, d->err) < 0)
		return -EINVAL;
	slice->ports = kp_xcalloc(n, sizeof(*slice->ports));
	for (size_t i = 0; i < n; i++) {
		struct kp_slice_port *port = &slice->ports[slice->n_ports];

		if (decode_port(d, KP_ITEM(ports, i), port) < 0)
			return -EINVAL;
		if (port->proto != 0)
			slice->n_ports++;
	}
	return 0;
}

/* The first address (ES-5).  '*ret_usable' says whether it can be used; if not, a warning tells
 * why. */
static int decode_address(const struct kp_decoder *d, const struct kp_field *endpoint,
			  enum kp_family wanted, bool *ret_usable, struct kp_addr *ret)
{
	const struct kp_field *addresses = KP_MEMBER(endpoint, "addresses");
	const struct kp_field *first = KP_ITEM(addresses, 0);
	enum kp_family family;
	const char *text = "";
	size_t n;

	if (kp_field_list(addresses, MAX_ADDRESSES, &n, d->err) < 0 ||
	    kp_field_string(first, &text, d->err) < 0)
		return -EINVAL;
	*ret_usable = false;
	if (n == 0)
		kp_decode_warn(d, addresses, "empty, endpoint ignored");
	else if (kp_field_parse_addr(text, &family, ret) < 0)
		kp_decode_warn(d, first, "'%.64s' is not a plain IP address, endpoint ignored",
			       text);
	else if (family != wanted)
		kp_decode_warn(d, first, "'%.64s' is not %s as addressType says, endpoint ignored",
			       text, kp_family_name(wanted));
	else if (kp_field_addr_is_special(family, ret))
		kp_decode_warn(d, first, "'%.64s' cannot be an endpoint, ignored", text);
	else
		*ret_usable = true;
	return 0;
}

static int decode_conditions(const struct kp_decoder *d, const struct kp_field *conditions,
			     struct kp_endpoint *ret)
{
	ret->ready = true;
	ret->serving = true;
	ret->terminating = false;
	if (kp_field_object(conditions, d->err) < 0 ||
	    kp_field_bool(KP_MEMBER(conditions, "ready"), &ret->ready, d->err) < 0 ||
	    kp_field_bool(KP_MEMBER(conditions, "serving"), &ret->serving, d->err) < 0 ||
	    kp_field_bool(KP_MEMBER(conditions, "terminating"), &ret->terminating, d->err) < 0)
		return -EINVAL;
	return 0;
}

static int decode_hint_name(const struct kp_decoder *d, const struct kp_field *hint,
			    const char **ret)
{
	*ret = "";
	if (kp_field_object(hint, d->err) < 0)
		return -EINVAL;
	return kp_field_string(KP_MEMBER(hint, "name"), ret, d->err);
}

static int decode_node_hints(const struct kp_decoder *d, const struct kp_field *nodes,
			     struct kp_endpoint *ret)
{
	size_t n;

	if (kp_field_list(nodes, MAX_HINTS, &n, d->err) < 0)
		return -EINVAL;
	ret->has_node_hints = n > 0;
	for (size_t i = 0; i < n; i++) {
		const char *name;

		if (decode_hint_name(d, KP_ITEM(nodes, i), &name) < 0)
			return -EINVAL;
		if (strcmp(name, d->options->node_name) == 0)
			ret->hinted_here = true;
	}
	return 0;
}

/* A nameless hint names no zone and is left out. */
static int decode_zone_hints(const struct kp_decoder *d, const struct kp_field *zones,
			     struct kp_endpoint *ret)
{
	kp_autofree char *joined = NULL;
	size_t n, len = 0;

	if (kp_field_list(zones, MAX_HINTS, &n, d->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const char *name;

		if (decode_hint_name(d, KP_ITEM(zones, i), &name) < 0)
			return -EINVAL;
		if (!*name)
			continue;
		joined = kp_xrealloc(joined, len + strlen(name) + 2);
		len += sprintf(joined + len, "%s%s", len ? "," : "", name);
	}
	ret->zone_hints = joined ? kp_name_get(joined) : NULL;
	return 0;
}

/* '*ret_usable' false: nothing is left in '*ret'. */
static int decode_endpoint(const struct kp_decoder *d, const struct kp_field *field,
			   enum kp_family family, bool *ret_usable, struct kp_endpoint *ret)
{
	const struct kp_field *hints = KP_MEMBER(field, "hints");
	struct kp_endpoint endpoint = {0};
	const char *node = NULL;

	if (kp_field_object(field, d->err) < 0 || kp_field_object(hints, d->err) < 0 ||
	    decode_address(d, field, family, ret_usable, &endpoint.addr) < 0 ||
	    decode_conditions(d, KP_MEMBER(field, "conditions"), &endpoint) < 0 ||
	    kp_field_string(KP_MEMBER(field, "nodeName"), &node, d->err) < 0 ||
	    decode_node_hints(d, KP_MEMBER(hints, "forNodes"), &endpoint) < 0)
		return -EINVAL;
	if (!*ret_usable)
		return 0;
	endpoint.local = node && strcmp(node, d->options->node_name) == 0; /* ES-6 */
	if (decode_zone_hints(d, KP_MEMBER(hints, "forZones"), &endpoint) < 0)
		return -EINVAL;
	*ret = endpoint;
	return 0;
}

static int decode_endpoints(const struct kp_decoder *d, const struct kp_field *root,
			    struct kp_endpointslice *slice)
{
	const struct kp_field *endpoints = KP_MEMBER(root, "endpoints");
	size_t n;

	if (kp_field_list(endpoints, MAX_ENDPOINTS, &n, d->err) < 0)
		return -EINVAL;
	slice->endpoints = kp_xcalloc(n, sizeof(*slice->endpoints));
	for (size_t i = 0; i < n; i++) {
		bool usable;

		if (decode_endpoint(d, KP_ITEM(endpoints, i), slice->family, &usable,
				    &slice->endpoints[slice->n_endpoints]) < 0)
			return -EINVAL;
		if (usable)
			slice->n_endpoints++;
	}
	return 0;
}
