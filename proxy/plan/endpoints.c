/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/endpoints.h"

#include <stdlib.h>

struct candidate {
	const struct kp_endpoint *endpoint;
	uint16_t port;
	uint32_t order; /* of being read: slices by name, then position */
};

struct candidates {
	size_t n, cap;
	struct candidate *items;
};

static void candidates_add(struct candidates *c, const struct kp_endpoint *endpoint, uint16_t port)
{
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 16;
		c->items = kp_xrealloc(c->items, c->cap * sizeof(*c->items));
	}
	c->items[c->n] = (struct candidate){.endpoint = endpoint, .port = port, .order = c->n};
	c->n++;
}

/* Slice ports match by name and protocol, never by number (ES-4). */
static void collect(const struct kp_store_service *service, const struct kp_service_port *port,
		    enum kp_family family, struct candidates *ret)
{
	for (size_t s = 0; s < service->n_slices; s++) {
		const struct kp_endpointslice *slice = service->slices[s];

		if (slice->family != family)
			continue;
		for (size_t p = 0; p < slice->n_ports; p++) {
			const struct kp_slice_port *sp = &slice->ports[p];

			/* Names are shared: equal ones are one. */
			if (sp->proto != port->proto || sp->name != port->name)
				continue;
			for (size_t e = 0; e < slice->n_endpoints; e++)
				candidates_add(ret, &slice->endpoints[e], sp->port);
		}
	}
}

/* By destination; among equal ones, the one that counts comes first: what is not terminating,
 * then what was read last (ES-7). */
static int compare_candidates(const void *va, const void *vb)
{
	const struct candidate *a = va, *b = vb;
	int r = memcmp(&a->endpoint->addr, &b->endpoint->addr, sizeof(a->endpoint->addr));

	if (r)
		return r;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->endpoint->terminating != b->endpoint->terminating)
		return a->endpoint->terminating ? 1 : -1;
	return a->order > b->order ? -1 : 1;
}

static bool same_destination(const struct candidate *a, const struct candidate *b)
{
	return a->port == b->port && kp_addr_equal(&a->endpoint->addr, &b->endpoint->addr);
}

static void sort_and_dedupe(struct candidates *c)
{
	size_t kept = 0;

	if (c->n == 0)
		return;
	qsort(c->items, c->n, sizeof(*c->items), compare_candidates);
	for (size_t i = 0; i < c->n; i++)
		if (kept == 0 || !same_destination(&c->items[kept - 1], &c->items[i]))
			c->items[kept++] = c->items[i];
	c->n = kept;
}

static bool zone_hinted(const struct kp_endpoint *endpoint, const char *zone)
{
	size_t len = strlen(zone);
	const char *next;

	for (const char *z = endpoint->zone_hints; z; z = next ? next + 1 : NULL) {
		next = strchr(z, ',');
		if ((next ? (size_t)(next - z) : strlen(z)) == len && memcmp(z, zone, len) == 0)
			return true;
	}
	return false;
}

/* The topology filter of a service port, decided over its ready endpoints (EP-6 ... EP-9). */
enum filter {
	FILTER_NONE,
	FILTER_NODE,
	FILTER_ZONE
};

static enum filter choose_filter(const struct candidates *c, const char *zone)
{
	bool all_node = true, any_node = false, all_zone = true, any_zone = false;

	for (size_t i = 0; i < c->n; i++) {
		const struct kp_endpoint *e = c->items[i].endpoint;

		if (!e->ready)
			continue;
		all_node = all_node && e->has_node_hints;
		any_node = any_node || e->hinted_here;
		all_zone = all_zone && e->zone_hints;
		any_zone = any_zone || (*zone && zone_hinted(e, zone));
	}
	if (all_node && any_node)
		return FILTER_NODE;
	return all_zone && any_zone ? FILTER_ZONE : FILTER_NONE;
}

static bool passes(enum filter filter, const struct kp_endpoint *endpoint, const char *zone)
{
	switch (filter) {
	case FILTER_NODE:
		return endpoint->hinted_here;
	case FILTER_ZONE:
		return zone_hinted(endpoint, zone);
	default:
		return true;
	}
}

static bool is_fallback(const struct kp_endpoint *e)
{
	return e->serving && e->terminating && !e->ready;
}

static void add(struct kp_endpoint_set *set, const struct candidate *c)
{
	if (set->n < KP_MAX_SLOTS)
		kp_endpoint_set_add(set, &c->endpoint->addr, c->port);
}

static void choose_cluster(const struct candidates *c, const char *zone,
			   struct kp_endpoint_set *ret)
{
	enum filter filter = choose_filter(c, zone);

	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].endpoint->ready && passes(filter, c->items[i].endpoint, zone))
			add(ret, &c->items[i]);
	if (ret->n > 0)
		return;
	for (size_t i = 0; i < c->n; i++)
		if (is_fallback(c->items[i].endpoint))
			add(ret, &c->items[i]);
}

/* True when they are ready. */
static bool choose_local(const struct candidates *c, struct kp_endpoint_set *ret)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].endpoint->ready && c->items[i].endpoint->local)
			add(ret, &c->items[i]);
	if (ret->n > 0)
		return true;
	for (size_t i = 0; i < c->n; i++)
		if (is_fallback(c->items[i].endpoint) && c->items[i].endpoint->local)
			add(ret, &c->items[i]);
	return false;
}

static void choose_serving(const struct candidates *c, struct kp_endpoint_set *ret)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].endpoint->ready || c->items[i].endpoint->serving)
			add(ret, &c->items[i]);
}

static bool any_usable(const struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].endpoint->ready || is_fallback(c->items[i].endpoint))
			return true;
	return false;
}

void kp_endpoints_choose(const struct kp_store_service *service, const struct kp_service_port *port,
			 enum kp_family family, const char *zone, struct kp_endpoint_choice *ret)
{
	struct candidates c = {0};

	memset(ret, 0, sizeof(*ret));
	collect(service, port, family, &c);
	sort_and_dedupe(&c);
	choose_cluster(&c, zone, &ret->cluster);
	ret->local_ready = choose_local(&c, &ret->local);
	choose_serving(&c, &ret->serving);
	ret->any = any_usable(&c);
	free(c.items);
}

static bool has_addr(const struct kp_endpoint_set *set, const struct kp_addr *addr)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (kp_addr_equal(&set->slots[i].addr, addr))
			return true;
	return false;
}

size_t kp_endpoints_count_local(const struct kp_store_service *service, enum kp_family family)
{
	struct kp_endpoint_set addrs = {0};
	size_t n;

	for (size_t p = 0; p < service->service->n_ports; p++) {
		struct kp_endpoint_choice choice;

		/* Topology does not matter to the local set, so any zone will do. */
		kp_endpoints_choose(service, &service->service->ports[p], family, "", &choice);
		for (uint32_t i = 0; choice.local_ready && i < choice.local.n; i++)
			if (!has_addr(&addrs, &choice.local.slots[i].addr))
				kp_endpoint_set_add(&addrs, &choice.local.slots[i].addr, 0);
		free(choice.cluster.slots);
		free(choice.local.slots);
		free(choice.serving.slots);
	}
	n = addrs.n;
	free(addrs.slots);
	return n;
}
