/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/desired.h"

#include <stdlib.h>

#include "plan/endpoints.h"

/* An address that a Service lists twice is one frontend. */
static void add_frontend(struct kp_vservice *v, enum kp_frontend_type type,
			 enum kp_policy policy, const struct kp_addr *addr, uint16_t port)
{
	struct kp_frontend *f;

	for (size_t i = 0; i < v->n_frontends; i++)
		if (v->frontends[i].port == port && kp_addr_equal(&v->frontends[i].addr, addr))
			return;
	f = kp_vservice_add_frontend(v);
	f->type = type;
	f->policy = policy;
	f->addr = *addr;
	f->port = port;
}

static void add_frontends_of(struct kp_vservice *v, enum kp_frontend_type type,
			     enum kp_policy policy, const struct kp_addr_list *addrs,
			     uint16_t port)
{
	for (size_t i = 0; i < addrs->n; i++)
		if (addrs->items[i].family == v->family)
			add_frontend(v, type, policy, &addrs->items[i].addr, port);
}

/* Node ports and load balancer addresses count by being there, whatever spec.type says (SV-4). */
static void add_frontends(struct kp_vservice *v, const struct kp_service *service,
			  const struct kp_service_port *port)
{
	static const struct kp_addr any;
	enum kp_policy internal =
		service->internal_local ? KP_POLICY_INTERNAL_LOCAL : KP_POLICY_INTERNAL;
	enum kp_policy external =
		service->external_local ? KP_POLICY_EXTERNAL_LOCAL : KP_POLICY_EXTERNAL;

	add_frontend(v, KP_CLUSTER_IP, internal, &service->cluster_ip[v->family], port->port);
	add_frontends_of(v, KP_EXTERNAL_IP, external, &service->external_ips, port->port);
	add_frontends_of(v, KP_LOAD_BALANCER_IP, external, &service->vips, port->port);
	if (port->node_port)
		add_frontend(v, KP_NODE_PORT, external, &any, port->node_port);
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
		if (v->frontends[i].policy == KP_POLICY_INTERNAL_LOCAL ||
		    v->frontends[i].policy == KP_POLICY_EXTERNAL_LOCAL)
			return true;
	return false;
}

static void drop_set(struct kp_endpoint_set *set)
{
	free(set->slots);
	memset(set, 0, sizeof(*set));
}

/* Keeps only the sets that a frontend uses, so that nothing else is programmed or compared. */
static void set_endpoints(struct kp_vservice *v, struct kp_endpoint_choice *choice)
{
	if (!uses_cluster_set(v))
		drop_set(&choice->cluster);
	if (!uses_local_set(v))
		drop_set(&choice->local);
	if (v->proto != IPPROTO_UDP)
		drop_set(&choice->serving);
	v->cluster = choice->cluster;
	v->local = choice->local;
	v->serving = choice->serving;
	v->has_any = choice->any;
}

static void build_family(const struct kp_store_service *ss, enum kp_family family,
			 const char *zone, struct kp_vservices *ret)
{
	const struct kp_service *service = ss->service;

	for (size_t i = 0; i < service->n_ports; i++) {
		const struct kp_service_port *port = &service->ports[i];
		struct kp_vservice *v = kp_vservices_add(ret);
		struct kp_endpoint_choice choice;

		v->family = family;
		v->proto = port->proto;
		v->port_name = kp_xstrdup(port->name);
		add_frontends(v, service, port);
		kp_endpoints_choose(ss, port, family, zone, &choice);
		set_endpoints(v, &choice);
	}
}

void kp_desired_build(const struct kp_store_service *service, const char *zone,
		      struct kp_vservices *ret)
{
	if (!service->service)
		return;
	for (int family = 0; family < KP_N_FAMILIES; family++)
		if (!kp_addr_is_zero(&service->service->cluster_ip[family]))
			build_family(service, family, zone, ret);
	kp_vservices_sort(ret);
}
