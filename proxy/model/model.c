/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Freeing and comparing the objects of model.h.
 *
 * The comparison looks at every field that is kept, so that "equal" means "nothing that anybody
 * downstream could see has changed" (ES-12, SY-6). */
#include "kproxy/model.h"

#include <string.h>

const char *kp_kind_name(enum kp_kind kind)
{
	static const char *const names[KP_N_KINDS] = {
		[KP_KIND_SERVICE] = "Service",
		[KP_KIND_ENDPOINTSLICE] = "EndpointSlice",
		[KP_KIND_NODE] = "Node",
		[KP_KIND_SERVICECIDR] = "ServiceCIDR",
	};

	return names[kind];
}

void kp_service_free(struct kp_service *service)
{
	if (!service)
		return;
	for (size_t i = 0; i < service->n_ports; i++)
		kp_name_put(service->ports[i].name);
	free(service->ports);
	free(service->source_ranges.items);
	free(service->vips.items);
	free(service->external_ips.items);
	free(service->name);
	kp_name_put(service->ns);
	free(service);
}

void kp_endpointslice_free(struct kp_endpointslice *slice)
{
	if (!slice)
		return;
	for (size_t i = 0; i < slice->n_endpoints; i++)
		kp_name_put(slice->endpoints[i].zone_hints);
	free(slice->endpoints);
	for (size_t i = 0; i < slice->n_ports; i++)
		kp_name_put(slice->ports[i].name);
	free(slice->ports);
	free(slice->service);
	free(slice->name);
	kp_name_put(slice->ns);
	free(slice);
}

void kp_node_free(struct kp_node *node)
{
	if (!node)
		return;
	free(node->zone);
	free(node->name);
	free(node);
}

void kp_servicecidr_free(struct kp_servicecidr *cidr)
{
	if (!cidr)
		return;
	free(cidr->cidrs.items);
	free(cidr->name);
	free(cidr);
}

void kp_object_clear(struct kp_object *object)
{
	if (!object)
		return;
	switch (object->kind) {
	case KP_KIND_SERVICE:
		kp_service_free(object->service);
		break;
	case KP_KIND_ENDPOINTSLICE:
		kp_endpointslice_free(object->slice);
		break;
	case KP_KIND_NODE:
		kp_node_free(object->node);
		break;
	case KP_KIND_SERVICECIDR:
		kp_servicecidr_free(object->cidr);
		break;
	case KP_N_KINDS:
		break;
	}
	object->any = NULL;
}

static bool addr_lists_equal(const struct kp_addr_list *a, const struct kp_addr_list *b)
{
	_Static_assert(sizeof(*a->items) == 17, "padding must not be compared");

	return a->n == b->n && (a->n == 0 || !memcmp(a->items, b->items, a->n * sizeof(*a->items)));
}

static bool prefix_lists_equal(const struct kp_prefix_list *a, const struct kp_prefix_list *b)
{
	_Static_assert(sizeof(*a->items) == 18, "padding must not be compared");

	return a->n == b->n && (a->n == 0 || !memcmp(a->items, b->items, a->n * sizeof(*a->items)));
}

static bool service_ports_equal(const struct kp_service *a, const struct kp_service *b)
{
	if (a->n_ports != b->n_ports)
		return false;
	for (size_t i = 0; i < a->n_ports; i++) {
		const struct kp_service_port *p = &a->ports[i], *q = &b->ports[i];

		if (p->proto != q->proto || p->port != q->port || p->node_port != q->node_port ||
		    strcmp(p->name, q->name) != 0)
			return false;
	}
	return true;
}

static bool services_equal(const struct kp_service *a, const struct kp_service *b)
{
	return strcmp(a->ns, b->ns) == 0 && strcmp(a->name, b->name) == 0 &&
	       a->created_s == b->created_s &&
	       memcmp(a->cluster_ip, b->cluster_ip, sizeof(a->cluster_ip)) == 0 &&
	       addr_lists_equal(&a->external_ips, &b->external_ips) &&
	       addr_lists_equal(&a->vips, &b->vips) &&
	       prefix_lists_equal(&a->source_ranges, &b->source_ranges) &&
	       a->external_local == b->external_local && a->internal_local == b->internal_local &&
	       a->needs_health_port == b->needs_health_port &&
	       a->health_check_node_port == b->health_check_node_port &&
	       a->sticky_timeout_s == b->sticky_timeout_s && service_ports_equal(a, b);
}

static bool endpoints_equal(const struct kp_endpoint *a, const struct kp_endpoint *b)
{
	return kp_addr_equal(&a->addr, &b->addr) && a->ready == b->ready &&
	       a->serving == b->serving && a->terminating == b->terminating &&
	       a->local == b->local && a->has_node_hints == b->has_node_hints &&
	       a->hinted_here == b->hinted_here && a->zone_hints == b->zone_hints;
}

static bool slice_ports_equal(const struct kp_slice_port *a, const struct kp_slice_port *b)
{
	return a->proto == b->proto && a->port == b->port && strcmp(a->name, b->name) == 0;
}

static bool slices_equal(const struct kp_endpointslice *a, const struct kp_endpointslice *b)
{
	if (strcmp(a->ns, b->ns) != 0 || strcmp(a->name, b->name) != 0 ||
	    strcmp(a->service, b->service) != 0 || a->family != b->family ||
	    a->n_ports != b->n_ports || a->n_endpoints != b->n_endpoints)
		return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (!slice_ports_equal(&a->ports[i], &b->ports[i]))
			return false;
	for (size_t i = 0; i < a->n_endpoints; i++)
		if (!endpoints_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	return true;
}

static bool pod_cidrs_equal(const struct kp_node *a, const struct kp_node *b, enum kp_family family)
{
	return a->has_pod_cidr[family] == b->has_pod_cidr[family] &&
	       (!a->has_pod_cidr[family] ||
		memcmp(&a->pod_cidr[family], &b->pod_cidr[family], sizeof(*a->pod_cidr)) == 0);
}

static bool nodes_equal(const struct kp_node *a, const struct kp_node *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->zone, b->zone) == 0 &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 && pod_cidrs_equal(a, b, KP_IPV4) &&
	       pod_cidrs_equal(a, b, KP_IPV6) && a->eligible == b->eligible;
}

static bool servicecidrs_equal(const struct kp_servicecidr *a, const struct kp_servicecidr *b)
{
	return strcmp(a->name, b->name) == 0 && prefix_lists_equal(&a->cidrs, &b->cidrs);
}

bool kp_object_equal(const struct kp_object *a, const struct kp_object *b)
{
	if (a->kind != b->kind)
		return false;
	if (!a->any || !b->any)
		return a->any == b->any;
	switch (a->kind) {
	case KP_KIND_SERVICE:
		return services_equal(a->service, b->service);
	case KP_KIND_ENDPOINTSLICE:
		return slices_equal(a->slice, b->slice);
	case KP_KIND_NODE:
		return nodes_equal(a->node, b->node);
	case KP_KIND_SERVICECIDR:
		return servicecidrs_equal(a->cidr, b->cidr);
	case KP_N_KINDS:
		break;
	}
	return false;
}
