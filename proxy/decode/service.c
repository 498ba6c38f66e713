/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Service v1 (rules SV-1 to SV-9).
 *
 * What would give a Service other frontends than its author meant spoils the object.  What only
 * costs one extra address is reported and left out, as the reference does. */
#include <errno.h>

#include "decode/kinds.h"
#include "util/time.h"

/* The API allows one per family. */
#define MAX_CLUSTER_IPS 2

/* No limit of their own: the size of the object bounds them, and what they make together has one.
 */
#define UNLIMITED ((size_t)-1)
#define MAX_FRONTENDS UINT16_MAX
#define MAX_GUARDS ((size_t)1 << 20)

static int decode_service(const struct kp_decoder *d, const struct kp_field *root, const char *type,
			  struct kp_service *service);
static const char *absence_reason(const char *type, const char *cluster_ip);
static int decode_cluster_ips(const struct kp_decoder *d, const struct kp_field *spec,
			      struct kp_service *service);
static int decode_ports(const struct kp_decoder *d, const struct kp_field *spec,
			struct kp_service *service);
static int decode_external_ips(const struct kp_decoder *d, const struct kp_field *spec,
			       struct kp_service *service);
static int decode_vips(const struct kp_decoder *d, const struct kp_field *root,
		       struct kp_service *service);
static int decode_source_ranges(const struct kp_decoder *d, const struct kp_field *spec,
				struct kp_service *service);
static int decode_policies(const struct kp_decoder *d, const struct kp_field *spec,
			   const char *type, struct kp_service *service);
static int decode_affinity(const struct kp_decoder *d, const struct kp_field *spec,
			   struct kp_service *service);
static int decode_identity(const struct kp_decoder *d, const struct kp_field *root,
			   struct kp_service *service);
static int check_size(const struct kp_decoder *d, const struct kp_field *spec,
		      const struct kp_service *service);

enum kp_decode_result kp_decode_service(const struct kp_decoder *d, const struct kp_field *root,
					struct kp_service **ret)
{
	const struct kp_field *spec = KP_MEMBER(root, "spec");
	const char *type = "", *cluster_ip = "", *absent;
	struct kp_service *service;

	if (kp_field_object(spec, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(spec, "type"), &type, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(spec, "clusterIP"), &cluster_ip, d->err) < 0)
		return KP_DECODE_BAD;
	absent = absence_reason(type, cluster_ip);
	if (absent)
		return kp_decode_skip(d, "%s", absent);

	service = kp_xcalloc(1, sizeof(*service));
	service->ns = kp_name_get(d->id->ns);
	service->name = kp_xstrdup(d->id->name);
	if (decode_service(d, root, type, service) < 0) {
		kp_service_free(service);
		return KP_DECODE_BAD;
	}
	if (kp_addr_is_zero(&service->cluster_ip[KP_IPV4]) &&
	    kp_addr_is_zero(&service->cluster_ip[KP_IPV6])) {
		kp_service_free(service);
		return kp_decode_skip(d, "no cluster IP of any of its families");
	}
	*ret = service;
	return KP_DECODED;
}

/* Why a Service counts as absent (SV-2), or NULL. */
static const char *absence_reason(const char *type, const char *cluster_ip)
{
	if (strcmp(type, "ExternalName") == 0)
		return "of type ExternalName";
	if (!*cluster_ip)
		return "no cluster IP";
	if (strcmp(cluster_ip, "None") == 0)
		return "headless";
	return NULL;
}

static int decode_service(const struct kp_decoder *d, const struct kp_field *root, const char *type,
			  struct kp_service *service)
{
	const struct kp_field *spec = KP_MEMBER(root, "spec");

	if (decode_identity(d, root, service) < 0 || decode_cluster_ips(d, spec, service) < 0 ||
	    decode_ports(d, spec, service) < 0 || decode_external_ips(d, spec, service) < 0 ||
	    decode_vips(d, root, service) < 0 || decode_source_ranges(d, spec, service) < 0 ||
	    decode_policies(d, spec, type, service) < 0 || decode_affinity(d, spec, service) < 0)
		return -EINVAL;
	return check_size(d, spec, service);
}

/* One object of 1 MB could ask for more than the memory of every node. */
static int check_size(const struct kp_decoder *d, const struct kp_field *spec,
		      const struct kp_service *service)
{
	size_t n_addrs = 2 + service->external_ips.n + service->vips.n;
	size_t n_guards = service->n_ports * service->vips.n * service->source_ranges.n;

	if (service->n_ports * n_addrs > MAX_FRONTENDS)
		return kp_field_fail(spec, d->err,
				     "%zu ports with %zu addresses each, more than %d together",
				     service->n_ports, n_addrs, MAX_FRONTENDS);
	if (n_guards > MAX_GUARDS)
		return kp_field_fail(
			spec, d->err,
			"%zu ports with %zu load balancer addresses and %zu source ranges each, "
			"more than %zu together",
			service->n_ports, service->vips.n, service->source_ranges.n, MAX_GUARDS);
	return 0;
}

static int parse_family(const struct kp_decoder *d, const struct kp_field *field,
			enum kp_family *ret)
{
	const char *text = "";

	if (kp_field_string(field, &text, d->err) < 0)
		return -EINVAL;
	for (enum kp_family family = 0; family < KP_N_FAMILIES; family++) {
		if (strcmp(text, kp_family_name(family)) == 0) {
			*ret = family;
			return 0;
		}
	}
	return kp_field_fail(field, d->err, "'%.64s' is neither IPv4 nor IPv6", text);
}

static int parse_cluster_ip(const struct kp_decoder *d, const struct kp_field *field,
			    enum kp_family *ret_family, struct kp_addr *ret)
{
	const char *text = "";

	if (kp_field_string(field, &text, d->err) < 0)
		return -EINVAL;
	if (kp_field_parse_addr(text, ret_family, ret) < 0)
		return kp_field_fail(field, d->err, "'%.64s' is not a plain IP address", text);
	if (kp_field_addr_is_special(*ret_family, ret))
		return kp_field_fail(field, d->err, "'%.64s' cannot be a cluster IP", text);
	return 0;
}

/* One entry of clusterIPs against the entry of ipFamilies at the same index. */
static int decode_paired_cluster_ip(const struct kp_decoder *d, const struct kp_field *ip,
				    const struct kp_field *wanted, struct kp_service *service)
{
	enum kp_family family, wanted_family = KP_IPV4;
	struct kp_addr addr;

	if (parse_family(d, wanted, &wanted_family) < 0 ||
	    parse_cluster_ip(d, ip, &family, &addr) < 0)
		return -EINVAL;
	if (family != wanted_family)
		return kp_field_fail(ip, d->err, "not of the family %s that ipFamilies wants",
				     kp_family_name(wanted_family));
	if (!kp_addr_is_zero(&service->cluster_ip[family]))
		return kp_field_fail(wanted, d->err, "%s twice", kp_family_name(family));
	service->cluster_ip[family] = addr;
	return 0;
}

/* SV-3.  clusterIPs defaults to [clusterIP], as in the API server. */
static int decode_cluster_ips(const struct kp_decoder *d, const struct kp_field *spec,
			      struct kp_service *service)
{
	const struct kp_field *first = KP_MEMBER(spec, "clusterIP");
	const struct kp_field *ips = KP_MEMBER(spec, "clusterIPs");
	const struct kp_field *families = KP_MEMBER(spec, "ipFamilies");
	size_t n_ips, n_families;
	enum kp_family family;
	struct kp_addr addr;

	if (kp_field_list(ips, MAX_CLUSTER_IPS, &n_ips, d->err) < 0 ||
	    kp_field_list(families, KP_N_FAMILIES, &n_families, d->err) < 0 ||
	    parse_cluster_ip(d, first, &family, &addr) < 0)
		return -EINVAL;
	if (n_families == 0)
		service->cluster_ip[family] = addr;
	else if (n_ips == 0)
		return decode_paired_cluster_ip(d, first, KP_ITEM(families, 0), service);
	for (size_t i = 0; i < n_ips; i++) {
		const struct kp_field *ip = KP_ITEM(ips, i);
		int r = i < n_families
				? decode_paired_cluster_ip(d, ip, KP_ITEM(families, i), service)
				: parse_cluster_ip(d, ip, &family, &addr);

		if (r < 0)
			return -EINVAL;
	}
	return 0;
}

/* Sets ret->proto to 0 when the port is to be left out. */
static int decode_port(const struct kp_decoder *d, const struct kp_field *field,
		       struct kp_service_port *ret)
{
	const struct kp_field *name_field = KP_MEMBER(field, "name");
	const struct kp_field *port_field = KP_MEMBER(field, "port");
	const char *name = "", *proto = "TCP";
	long port = 0, node_port = 0;

	if (kp_field_object(field, d->err) < 0 || kp_field_string(name_field, &name, d->err) < 0 ||
	    kp_field_check_port_name(name_field, name, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(field, "protocol"), &proto, d->err) < 0 ||
	    kp_field_number(port_field, 1, UINT16_MAX, &port, d->err) < 0 ||
	    kp_field_number(KP_MEMBER(field, "nodePort"), 0, UINT16_MAX, &node_port, d->err) < 0)
		return -EINVAL;
	if (port == 0)
		return kp_field_fail(port_field, d->err, "missing");

	ret->proto = kp_proto_parse(proto);
	if (ret->proto == 0) {
		kp_decode_warn(d, KP_MEMBER(field, "protocol"),
			       "'%.64s' is not a protocol that we know, port ignored", proto);
		return 0;
	}
	ret->name = kp_name_get(name);
	ret->port = port;
	ret->node_port = node_port;
	return 0;
}

/* A port and its place in spec.ports, to be sorted. */
struct port_ref {
	const struct kp_service_port *port;
	size_t index;
};

static int compare_ref_numbers(const void *a, const void *b)
{
	const struct port_ref *x = a, *y = b;

	if (x->port->proto != y->port->proto)
		return x->port->proto - y->port->proto;
	return x->port->port - y->port->port;
}

static int compare_ref_names(const void *a, const void *b)
{
	const struct port_ref *x = a, *y = b;

	if (x->port->proto != y->port->proto)
		return x->port->proto - y->port->proto;
	return strcmp(x->port->name, y->port->name);
}

/* Ports without a node port are all different. */
static int compare_ref_node_ports(const void *a, const void *b)
{
	const struct port_ref *x = a, *y = b;

	if (x->port->proto != y->port->proto)
		return x->port->proto - y->port->proto;
	if (x->port->node_port != y->port->node_port)
		return x->port->node_port - y->port->node_port;
	return x->port->node_port ? 0 : x->index < y->index ? -1 : 1;
}

/* Sorts, because a Service may have tens of thousands of ports. */
static int refuse_duplicates(const struct kp_decoder *d, const struct kp_field *ports,
			     struct port_ref *refs, size_t n,
			     int (*compare)(const void *, const void *), const char *what)
{
	qsort(refs, n, sizeof(*refs), compare);
	for (size_t i = 1; i < n; i++) {
		size_t a = refs[i - 1].index, b = refs[i].index;

		if (compare(&refs[i - 1], &refs[i]) == 0)
			return kp_field_fail(KP_ITEM(ports, a > b ? a : b), d->err,
					     "same %s as ports[%zu]", what, a < b ? a : b);
	}
	return 0;
}

static int decode_ports(const struct kp_decoder *d, const struct kp_field *spec,
			struct kp_service *service)
{
	const struct kp_field *ports = KP_MEMBER(spec, "ports");
	kp_autofree struct port_ref *refs = NULL;
	size_t n;

	if (kp_field_list(ports, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	service->ports = kp_xcalloc(n, sizeof(*service->ports));
	refs = kp_xcalloc(n, sizeof(*refs));
	for (size_t i = 0; i < n; i++) {
		struct kp_service_port *port = &service->ports[service->n_ports];

		if (decode_port(d, KP_ITEM(ports, i), port) < 0)
			return -EINVAL;
		if (port->proto != 0)
			refs[service->n_ports++] = (struct port_ref){.port = port, .index = i};
	}
	if (refuse_duplicates(d, ports, refs, service->n_ports, compare_ref_names,
			      "name and protocol") < 0 ||
	    refuse_duplicates(d, ports, refs, service->n_ports, compare_ref_node_ports,
			      "nodePort and protocol") < 0)
		return -EINVAL;
	return refuse_duplicates(d, ports, refs, service->n_ports, compare_ref_numbers,
				 "port and protocol");
}

/* Appends an address to a list with room for it, or warns when it is none that can be used. */
static void add_addr(const struct kp_decoder *d, const struct kp_field *field, const char *text,
		     struct kp_addr_list *list)
{
	enum kp_family family;
	struct kp_addr addr;

	if (kp_field_parse_addr(text, &family, &addr) < 0)
		kp_decode_warn(d, field, "'%.64s' is not a plain IP address, ignored", text);
	else if (kp_field_addr_is_special(family, &addr))
		kp_decode_warn(d, field, "'%.64s' cannot belong to a Service, ignored", text);
	else
		list->items[list->n++] = (struct kp_family_addr){.addr = addr, .family = family};
}

static int decode_external_ips(const struct kp_decoder *d, const struct kp_field *spec,
			       struct kp_service *service)
{
	const struct kp_field *ips = KP_MEMBER(spec, "externalIPs");
	size_t n;

	if (kp_field_list(ips, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	if (n > 0)
		service->external_ips.items = kp_xcalloc(n, sizeof(struct kp_family_addr));
	for (size_t i = 0; i < n; i++) {
		const char *text = "";

		if (kp_field_string(KP_ITEM(ips, i), &text, d->err) < 0)
			return -EINVAL;
		add_addr(d, KP_ITEM(ips, i), text, &service->external_ips);
	}
	return 0;
}

/* One entry of status.loadBalancer.ingress (SV-5). */
static int decode_ingress(const struct kp_decoder *d, const struct kp_field *field,
			  struct kp_addr_list *vips)
{
	const char *ip = "", *mode = "VIP";

	if (kp_field_object(field, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(field, "ip"), &ip, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(field, "ipMode"), &mode, d->err) < 0)
		return -EINVAL;
	if (!*ip || strcmp(mode, "Proxy") == 0)
		return 0;
	if (strcmp(mode, "VIP") != 0)
		kp_decode_warn(d, KP_MEMBER(field, "ipMode"),
			       "'%.64s' is neither VIP nor Proxy, address ignored", mode);
	else
		add_addr(d, KP_MEMBER(field, "ip"), ip, vips);
	return 0;
}

static int decode_vips(const struct kp_decoder *d, const struct kp_field *root,
		       struct kp_service *service)
{
	const struct kp_field *status = KP_MEMBER(root, "status");
	const struct kp_field *load_balancer = KP_MEMBER(status, "loadBalancer");
	const struct kp_field *ingress = KP_MEMBER(load_balancer, "ingress");
	size_t n;

	if (kp_field_object(status, d->err) < 0 || kp_field_object(load_balancer, d->err) < 0 ||
	    kp_field_list(ingress, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	if (n > 0)
		service->vips.items = kp_xcalloc(n, sizeof(struct kp_family_addr));
	for (size_t i = 0; i < n; i++)
		if (decode_ingress(d, KP_ITEM(ingress, i), &service->vips) < 0)
			return -EINVAL;
	return 0;
}

/* Copies 'text' without white space around it; -EINVAL when it is longer than any prefix. */
static int trim(const char *text, char buf[KP_ADDR_TEXT_SIZE])
{
	size_t len;

	text += strspn(text, " \t\r\n");
	for (len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]); len--)
		;
	if (len >= KP_ADDR_TEXT_SIZE)
		return -EINVAL;
	memcpy(buf, text, len);
	buf[len] = 0;
	return 0;
}

static int decode_source_ranges(const struct kp_decoder *d, const struct kp_field *spec,
				struct kp_service *service)
{
	const struct kp_field *ranges = KP_MEMBER(spec, "loadBalancerSourceRanges");
	struct kp_prefix_list *list = &service->source_ranges;
	char trimmed[KP_ADDR_TEXT_SIZE];
	size_t n;

	if (kp_field_list(ranges, UNLIMITED, &n, d->err) < 0)
		return -EINVAL;
	if (n > 0)
		list->items = kp_xcalloc(n, sizeof(*list->items));
	for (size_t i = 0; i < n; i++) {
		const struct kp_field *range = KP_ITEM(ranges, i);
		const char *text = "";

		if (kp_field_string(range, &text, d->err) < 0)
			return -EINVAL;
		if (trim(text, trimmed) < 0 ||
		    kp_field_parse_prefix(trimmed, &list->items[list->n]) < 0)
			kp_decode_warn(d, range, "'%.64s' is not a CIDR, ignored", text);
		else
			list->n++;
	}
	return 0;
}

/* Reads a field that is either 'on' or 'off', where anything else means 'off'. */
static int decode_choice(const struct kp_decoder *d, const struct kp_field *field, const char *on,
			 const char *off, bool *ret)
{
	const char *text = off;

	if (kp_field_string(field, &text, d->err) < 0)
		return -EINVAL;
	*ret = strcmp(text, on) == 0;
	if (!*ret && *text && strcmp(text, off) != 0)
		kp_decode_warn(d, field, "'%.64s' is neither %s nor %s, taken as %s", text, on, off,
			       off);
	return 0;
}

/* The derived flags of SV-8.  The external IPs must be known by now. */
static int decode_policies(const struct kp_decoder *d, const struct kp_field *spec,
			   const char *type, struct kp_service *service)
{
	const struct kp_field *health = KP_MEMBER(spec, "healthCheckNodePort");
	bool is_load_balancer = strcmp(type, "LoadBalancer") == 0;
	bool is_node_port = strcmp(type, "NodePort") == 0;
	bool external_local;
	long health_port = 0;

	if (decode_choice(d, KP_MEMBER(spec, "externalTrafficPolicy"), "Local", "Cluster",
			  &external_local) < 0 ||
	    decode_choice(d, KP_MEMBER(spec, "internalTrafficPolicy"), "Local", "Cluster",
			  &service->internal_local) < 0 ||
	    kp_field_number(health, 0, UINT16_MAX, &health_port, d->err) < 0)
		return -EINVAL;
	service->external_local = external_local &&
				  (is_load_balancer || is_node_port || service->external_ips.n > 0);
	service->needs_health_port = is_load_balancer && service->external_local;
	service->health_check_node_port = health_port;
	if (service->needs_health_port && health_port == 0)
		kp_decode_warn(d, health, "0, so load balancers cannot check this node's health");
	return 0;
}

static int decode_affinity(const struct kp_decoder *d, const struct kp_field *spec,
			   struct kp_service *service)
{
	const struct kp_field *config = KP_MEMBER(spec, "sessionAffinityConfig");
	const struct kp_field *client_ip = KP_MEMBER(config, "clientIP");
	long timeout_s = 10800;
	bool is_client_ip;

	if (decode_choice(d, KP_MEMBER(spec, "sessionAffinity"), "ClientIP", "None",
			  &is_client_ip) < 0)
		return -EINVAL;
	if (!is_client_ip)
		return 0;
	if (kp_field_object(config, d->err) < 0 || kp_field_object(client_ip, d->err) < 0 ||
	    kp_field_number(KP_MEMBER(client_ip, "timeoutSeconds"), 1, 86400, &timeout_s, d->err) <
		    0)
		return -EINVAL;
	service->sticky_timeout_s = timeout_s;
	return 0;
}

static int decode_identity(const struct kp_decoder *d, const struct kp_field *root,
			   struct kp_service *service)
{
	const struct kp_field *metadata = KP_MEMBER(root, "metadata");
	const char *created = "", *uid = "";

	if (kp_field_string(KP_MEMBER(metadata, "creationTimestamp"), &created, d->err) < 0 ||
	    kp_field_string(KP_MEMBER(metadata, "uid"), &uid, d->err) < 0)
		return -EINVAL;
	service->created_s = kp_time_parse_us(created) / 1000000;
	if (strlen(uid) < sizeof(service->uid))
		strcpy(service->uid, uid);
	return 0;
}
