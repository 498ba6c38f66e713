/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/desired.h"

#include <stdlib.h>

#include "plan/endpoints.h"

static void add_frontend(struct kp_vservice *v, enum kp_frontend_type type, enum kp_policy policy,
			 const struct kp_addr *addr, uint16_t port)
{
	struct kp_frontend *f = kp_vservice_add_frontend(v);

	f->type = type;
	f->policy = policy;
	f->addr = *addr;
	f->port = port;
}

static void add_frontends_of(struct kp_vservice *v, enum kp_frontend_type type,
			     enum kp_policy policy, const struct kp_addr_list *addrs, uint16_t port)
{
	for (size_t i = 0; i < addrs->n; i++)
		if (addrs->items[i].family == v->family)
			add_frontend(v, type, policy, &addrs->items[i].addr, port);
}

/* By destination; among equal ones, the one that counts comes first.  An address that is both a
 * load balancer's and an external one is a load balancer's: those have a guard (FW-1). */
static int compare_destinations(const void *va, const void *vb)
{
	static const uint8_t rank[] = {
		[KP_CLUSTER_IP] = 0,
		[KP_LOAD_BALANCER_IP] = 1,
		[KP_EXTERNAL_IP] = 2,
		[KP_NODE_PORT] = 3,
	};
	const struct kp_frontend *a = va, *b = vb;
	int r = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	if (r == 0)
		r = (int)a->port - (int)b->port;
	return r ? r : (int)rank[a->type] - (int)rank[b->type];
}

/* An address that a Service lists twice is one frontend. */
static void drop_duplicates(struct kp_vservice *v)
{
	uint16_t kept = 1;

	qsort(v->frontends, v->n_frontends, sizeof(*v->frontends), compare_destinations);
	for (uint16_t i = 1; i < v->n_frontends; i++) {
		const struct kp_frontend *last = &v->frontends[kept - 1];

		if (last->port != v->frontends[i].port ||
		    !kp_addr_equal(&last->addr, &v->frontends[i].addr))
			v->frontends[kept++] = v->frontends[i];
	}
	v->n_frontends = kept;
}

/* Node ports and load balancer addresses count by being there, whatever spec.type says (SV-4). */
static void add_frontends(struct kp_vservice *v, const struct kp_service *service,
			  const struct kp_service_port *port)
{
	static const struct kp_addr any;
	enum kp_policy internal = service->internal_local ? KP_POLICY_INTERNAL_LOCAL
							  : KP_POLICY_INTERNAL;
	enum kp_policy external = service->external_local ? KP_POLICY_EXTERNAL_LOCAL
							  : KP_POLICY_EXTERNAL;

	add_frontend(v, KP_CLUSTER_IP, internal, &service->cluster_ip[v->family], port->port);
	add_frontends_of(v, KP_LOAD_BALANCER_IP, external, &service->vips, port->port);
	add_frontends_of(v, KP_EXTERNAL_IP, external, &service->external_ips, port->port);
	if (port->node_port)
		add_frontend(v, KP_NODE_PORT, external, &any, port->node_port);
	drop_duplicates(v);
}

static bool uses_cluster_set(const struct kp_vservice *v)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (v->frontends[i].policy != KP_POLICY_INTERNAL_LOCAL)
			return true;
	return false;
}

static bool uses_local_set(const struct kp_vservice *v)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (kp_policy_is_local(v->frontends[i].policy))
			return true;
	return false;
}

static void drop_set(struct kp_endpoint_set *set)
{
	free(set->slots);
	memset(set, 0, sizeof(*set));
}

static bool contains(const struct kp_prefix *items, size_t n, enum kp_family family,
		     const struct kp_addr *addr)
{
	for (size_t i = 0; i < n; i++)
		if (kp_prefix_contains(&items[i], family, addr))
			return true;
	return false;
}

static bool has_frontend_type(const struct kp_vservice *v, enum kp_frontend_type type)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (v->frontends[i].type == type)
			return true;
	return false;
}

/* The sources that load balancer addresses admit; none of this family means no guard (SV-6, FW-5).
 * Where the node itself is admitted, its packets may carry the load balancer's address (FW-4). */
static void set_sources(struct kp_vservice *v, const struct kp_service *service,
			const struct kp_node *node)
{
	const struct kp_prefix_list *ranges = &service->source_ranges;
	uint8_t bits = kp_family_addr_size(v->family) * 8;

	if (!has_frontend_type(v, KP_LOAD_BALANCER_IP))
		return;
	for (size_t i = 0; i < ranges->n; i++)
		if (ranges->items[i].family == v->family)
			kp_prefixes_add(&v->sources, &v->n_sources, &ranges->items[i]);
	if (v->n_sources == 0)
		return;
	if (node && contains(v->sources, v->n_sources, v->family, &node->ip[v->family])) {
		for (size_t i = 0; i < service->vips.n; i++) {
			struct kp_prefix vip = {.addr = service->vips.items[i].addr,
						.family = v->family,
						.len = bits};

			if (service->vips.items[i].family == v->family)
				kp_prefixes_add(&v->sources, &v->n_sources, &vip);
		}
	}
	kp_prefixes_normalize(v->sources, &v->n_sources);
	for (size_t i = 0; i < v->n_frontends; i++)
		v->frontends[i].guarded = v->frontends[i].type == KP_LOAD_BALANCER_IP;
}

static void build_family(const struct kp_store_service *ss, enum kp_family family,
			 const struct kp_node *node, struct kp_vservices *ret)
{
	const struct kp_service *service = ss->service;

	for (size_t i = 0; i < service->n_ports; i++) {
		const struct kp_service_port *port = &service->ports[i];
		struct kp_vservice *v = kp_vservices_add(ret);
		struct kp_endpoint_choice choice;

		v->family = family;
		v->proto = port->proto;
		v->port_name = kp_name_get(port->name);
		add_frontends(v, service, port);
		set_sources(v, service, node);
		kp_endpoints_choose(ss, port, family, node ? node->zone : "", &choice);
		v->cluster = choice.cluster;
		v->local = choice.local;
		v->has_any = choice.any;
		if (v->proto != IPPROTO_UDP)
			drop_set(&choice.serving);
		v->serving = choice.serving;
		v->affinity.timeout_s = service->sticky_timeout_s;
	}
}

void kp_desired_build(const struct kp_store_service *service, const struct kp_node *node,
		      struct kp_vservices *ret)
{
	if (!service->service)
		return;
	for (int family = 0; family < KP_N_FAMILIES; family++)
		if (!kp_addr_is_zero(&service->service->cluster_ip[family]))
			build_family(service, family, node, ret);
	kp_vservices_sort(ret);
}

static bool has_guard(const struct kp_vservice *v)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (v->frontends[i].guarded)
			return true;
	return false;
}

/* Without endpoints all clients are rejected, whatever the policy and affinity. */
static void forget_balancing(struct kp_vservice *v)
{
	v->affinity.timeout_s = 0;
	for (size_t i = 0; i < v->n_frontends; i++)
		v->frontends[i].policy = v->frontends[i].type == KP_CLUSTER_IP ? KP_POLICY_INTERNAL
									       : KP_POLICY_EXTERNAL;
}

void kp_desired_prune(struct kp_vservices *vs)
{
	for (size_t i = 0; i < vs->n; i++) {
		struct kp_vservice *v = &vs->items[i];

		if (!uses_cluster_set(v))
			drop_set(&v->cluster);
		if (!uses_local_set(v))
			drop_set(&v->local);
		if (!has_guard(v))
			v->n_sources = 0;
		if (!v->has_any)
			forget_balancing(v);
	}
}
