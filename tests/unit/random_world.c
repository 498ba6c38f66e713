/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "random_world.h"

#include <stdlib.h>

#include "kproxy/plan.h"

enum {
	N_SERVICES = 12,
	N_SLICES = 16,
	N_CIDRS = 3,
	MAX_PORTS = 3,
	MAX_ADDRS = 3,
	MAX_ENDPOINTS = 20,
};

/* What an object looks like now; the store's own copies are made from it. */

struct port {
	unsigned int name, proto, number, node_port;
};

struct service {
	bool exists, has[KP_N_FAMILIES], external_local, internal_local;
	unsigned int ip[KP_N_FAMILIES], created_s, n_ports, n_external, n_vips;
	unsigned int timeout; /* of affinity, an index */
	unsigned int sources; /* a bit per range */
	struct port ports[MAX_PORTS];
	unsigned int external[MAX_ADDRS], vips[MAX_ADDRS];
};

struct endpoint {
	unsigned int addr, conditions, hints;
};

struct slice {
	bool exists;
	unsigned int service, family, n_ports, n_endpoints;
	struct port ports[MAX_PORTS];
	struct endpoint endpoints[MAX_ENDPOINTS];
};

struct world {
	uint64_t random;
	struct service services[N_SERVICES];
	struct slice slices[N_SLICES];
	unsigned int cidrs[N_CIDRS]; /* a bit per prefix, 0: not there */
	bool has_node, had_node;
	unsigned int node_ip, node_zone;
};

static const char *const port_names[] = {"", "http", "dns"};
static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};

/* Ranges that overlap, touch and contain each other. */
static const char *const cidrs[] = {
	"10.96.0.0/16", "10.97.0.0/16", "10.96.8.0/24",	    "10.0.0.0/8",
	"255.0.0.0/8",	"fd00::/16",	"fd00:10:96::/112", "fd00:10:97::/112",
};

/* Sources that load balancers admit; some hold the node's address. */
static const char *const sources[] = {
	"10.0.0.0/8", "10.180.0.0/16", "192.0.2.2/32", "192.0.2.0/29",
	"0.0.0.0/0",  "2001:db8::/64", "fd00::/16",    "2001:db8::2/128",
};

static const uint32_t timeouts_s[] = {0, 0, 1, 600, 10800};

enum {
	N_SOURCES = sizeof(sources) / sizeof(sources[0]),
	N_TIMEOUTS = sizeof(timeouts_s) / sizeof(timeouts_s[0]),
};

struct world *world_new(uint64_t seed)
{
	struct world *w = kp_xcalloc(1, sizeof(*w));

	w->random = seed;
	return w;
}

void world_free(struct world *world)
{
	free(world);
}

/* splitmix64 */
unsigned int world_below(struct world *w, unsigned int n)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (z ^ z >> 31) % n;
}

static bool one_in(struct world *w, unsigned int n)
{
	return world_below(w, n) == 0;
}

static struct kp_addr addr_of(const char *format4, const char *format6, enum kp_family family,
			      unsigned int last)
{
	kp_autofree char *text = family == KP_IPV4 ? kp_xasprintf("%s%u", format4, last)
						   : kp_xasprintf("%s%x", format6, last);
	enum kp_family parsed;
	struct kp_addr addr;

	if (kp_addr_parse(text, &parsed, &addr) < 0)
		abort();
	return addr;
}

/* Frontend addresses are one space for all types, so that types collide, too. */
static struct kp_addr frontend_addr(enum kp_family family, unsigned int number)
{
	return addr_of("10.96.0.", "fd00:10:96::", family, number + 1);
}

static struct kp_addr endpoint_addr(enum kp_family family, unsigned int number)
{
	return addr_of("10.180.0.", "fd00:10:180::", family, number + 1);
}

/* --- drawing --- */

static struct port draw_port(struct world *w)
{
	return (struct port){
		.name = world_below(w, 3),
		.proto = world_below(w, 3),
		.number = world_below(w, 4),
		.node_port = one_in(w, 2) ? 1 + world_below(w, 4) : 0,
	};
}

/* What the decoder refuses within one Service. */
static bool collides(const struct port *a, const struct port *b)
{
	return a->proto == b->proto && (a->name == b->name || a->number == b->number ||
					(a->node_port && a->node_port == b->node_port));
}

static void draw_service_ports(struct world *w, struct service *s)
{
	unsigned int n = 1 + world_below(w, MAX_PORTS);

	s->n_ports = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct port port = draw_port(w);
		bool fits = true;

		for (unsigned int j = 0; j < s->n_ports; j++)
			fits = fits && !collides(&port, &s->ports[j]);
		if (fits)
			s->ports[s->n_ports++] = port;
	}
}

static unsigned int draw_addrs(struct world *w, unsigned int ret[MAX_ADDRS])
{
	unsigned int n = one_in(w, 2) ? world_below(w, MAX_ADDRS + 1) : 0;

	for (unsigned int i = 0; i < n; i++)
		ret[i] = world_below(w, 10);
	return n;
}

static void draw_service(struct world *w, struct service *s)
{
	unsigned int families = 1 + world_below(w, 3);

	for (int f = 0; f < KP_N_FAMILIES; f++) {
		s->has[f] = families & 1U << f;
		s->ip[f] = world_below(w, 10);
	}
	s->created_s = world_below(w, 4);
	draw_service_ports(w, s);
	s->n_external = draw_addrs(w, s->external);
	s->n_vips = draw_addrs(w, s->vips);
	s->external_local = one_in(w, 3);
	s->internal_local = one_in(w, 3);
	s->timeout = world_below(w, N_TIMEOUTS);
	s->sources = one_in(w, 2) ? world_below(w, 1 << N_SOURCES) : 0;
}

/* What does not concern addresses and ports. */
static void alter_service(struct world *w, struct service *s)
{
	switch (world_below(w, 4)) {
	case 0:
		s->external_local = !s->external_local;
		break;
	case 1:
		s->internal_local = !s->internal_local;
		break;
	case 2:
		s->timeout = world_below(w, N_TIMEOUTS);
		break;
	default:
		s->sources ^= 1U << world_below(w, N_SOURCES);
	}
}

static struct endpoint draw_endpoint(struct world *w)
{
	return (struct endpoint){
		.addr = world_below(w, 24),
		/* Most are ready. */
		.conditions = one_in(w, 3) ? world_below(w, 16) : 1,
		.hints = one_in(w, 2) ? world_below(w, 16) : 0,
	};
}

static void draw_slice(struct world *w, struct slice *s)
{
	s->service = world_below(w, N_SERVICES);
	s->family = world_below(w, KP_N_FAMILIES);
	s->n_ports = world_below(w, MAX_PORTS + 1);
	for (unsigned int i = 0; i < s->n_ports; i++)
		s->ports[i] = draw_port(w);
	s->n_endpoints = world_below(w, one_in(w, 4) ? MAX_ENDPOINTS + 1 : 5);
	for (unsigned int i = 0; i < s->n_endpoints; i++)
		s->endpoints[i] = draw_endpoint(w);
}

/* The usual life of a slice: an endpoint comes, goes or changes. */
static void alter_slice(struct world *w, struct slice *s)
{
	struct endpoint fresh = draw_endpoint(w);
	unsigned int n = s->n_endpoints, which = n ? world_below(w, n) : 0;

	switch (world_below(w, 3)) {
	case 0:
		if (n < MAX_ENDPOINTS)
			s->endpoints[s->n_endpoints++] = fresh;
		break;
	case 1:
		if (n > 0)
			s->endpoints[which] = s->endpoints[--s->n_endpoints];
		break;
	default:
		if (n > 0)
			s->endpoints[which] = fresh;
	}
}

/* --- making objects --- */

static const char *namespace_of(unsigned int service)
{
	return kp_name_get(service % 2 ? "b" : "a");
}

static void build_addrs(const unsigned int *numbers, unsigned int n, struct kp_addr_list *ret)
{
	ret->items = kp_xcalloc(KP_N_FAMILIES * (size_t)n + 1, sizeof(*ret->items));
	for (unsigned int i = 0; i < n; i++)
		for (int f = 0; f < KP_N_FAMILIES; f++)
			ret->items[ret->n++] = (struct kp_family_addr){
				.addr = frontend_addr(f, numbers[i]), .family = f};
}

static void build_sources(unsigned int bits, struct kp_prefix_list *ret)
{
	for (unsigned int i = 0; i < N_SOURCES; i++) {
		struct kp_prefix prefix;

		if (kp_prefix_parse(sources[i], &prefix) < 0)
			abort();
		if (bits & 1U << i)
			kp_prefixes_add(&ret->items, &ret->n, &prefix);
	}
}

static struct kp_object build_service(const struct service *s, unsigned int number)
{
	struct kp_service *service = kp_xcalloc(1, sizeof(*service));

	service->ns = namespace_of(number);
	service->name = kp_xasprintf("s%u", number);
	service->created_s = s->created_s;
	service->external_local = s->external_local;
	service->internal_local = s->internal_local;
	for (int f = 0; f < KP_N_FAMILIES; f++)
		if (s->has[f])
			service->cluster_ip[f] = frontend_addr(f, s->ip[f]);
	build_addrs(s->external, s->n_external, &service->external_ips);
	build_addrs(s->vips, s->n_vips, &service->vips);
	build_sources(s->sources, &service->source_ranges);
	service->sticky_timeout_s = timeouts_s[s->timeout];
	service->ports = kp_xcalloc(MAX_PORTS, sizeof(*service->ports));
	for (unsigned int i = 0; i < s->n_ports; i++)
		service->ports[service->n_ports++] = (struct kp_service_port){
			.name = kp_name_get(port_names[s->ports[i].name]),
			.proto = protos[s->ports[i].proto],
			.port = 80 + s->ports[i].number,
			.node_port = s->ports[i].node_port ? 30000 + s->ports[i].node_port : 0};
	return (struct kp_object){.kind = KP_KIND_SERVICE, .service = service};
}

static void build_endpoint(const struct endpoint *e, enum kp_family family, struct kp_endpoint *ret)
{
	ret->addr = endpoint_addr(family, e->addr);
	ret->ready = e->conditions & 1;
	ret->serving = e->conditions & 2;
	ret->terminating = e->conditions & 4;
	ret->local = e->conditions & 8;
	ret->has_node_hints = e->hints & 1;
	ret->hinted_here = (e->hints & 3) == 3;
	if (e->hints & 4)
		ret->zone_hints = kp_name_get(e->hints >> 3 ? "south" : "north");
}

static struct kp_object build_slice(const struct slice *s, unsigned int number)
{
	struct kp_endpointslice *slice = kp_xcalloc(1, sizeof(*slice));

	slice->ns = namespace_of(number);
	slice->name = kp_xasprintf("e%u", number);
	slice->service = kp_xasprintf("s%u", s->service);
	slice->family = s->family;
	slice->ports = kp_xcalloc(MAX_PORTS, sizeof(*slice->ports));
	for (unsigned int i = 0; i < s->n_ports; i++)
		slice->ports[slice->n_ports++] =
			(struct kp_slice_port){.name = kp_name_get(port_names[s->ports[i].name]),
					       .proto = protos[s->ports[i].proto],
					       .port = 8080 + s->ports[i].number};
	slice->endpoints = kp_xcalloc(MAX_ENDPOINTS, sizeof(*slice->endpoints));
	for (unsigned int i = 0; i < s->n_endpoints; i++)
		build_endpoint(&s->endpoints[i], s->family,
			       &slice->endpoints[slice->n_endpoints++]);
	return (struct kp_object){.kind = KP_KIND_ENDPOINTSLICE, .slice = slice};
}

static struct kp_object build_cidr(unsigned int bits, unsigned int number)
{
	struct kp_servicecidr *cidr = kp_xcalloc(1, sizeof(*cidr));

	cidr->name = kp_xasprintf("c%u", number);
	for (unsigned int i = 0; i < sizeof(cidrs) / sizeof(cidrs[0]); i++) {
		struct kp_prefix prefix;

		if (kp_prefix_parse(cidrs[i], &prefix) < 0)
			abort();
		if (bits & 1U << i)
			kp_prefixes_add(&cidr->cidrs.items, &cidr->cidrs.n, &prefix);
	}
	return (struct kp_object){.kind = KP_KIND_SERVICECIDR, .cidr = cidr};
}

static struct kp_object build_node(const struct world *w)
{
	struct kp_node *node = kp_xcalloc(1, sizeof(*node));

	node->name = kp_xstrdup("node1");
	node->zone = kp_xstrdup(w->node_zone ? "north" : "");
	node->ip[KP_IPV4] = addr_of("192.0.2.", "", KP_IPV4, 1 + w->node_ip);
	if (w->node_ip != 1)
		node->ip[KP_IPV6] = addr_of("", "2001:db8::", KP_IPV6, 1 + w->node_ip);
	return (struct kp_object){.kind = KP_KIND_NODE, .node = node};
}

static void tell(struct kp_store *store, bool exists, struct kp_object object)
{
	const char *ns = "", *name;

	if (exists) {
		kp_store_put(store, &object);
		return;
	}
	switch (object.kind) {
	case KP_KIND_SERVICE:
		ns = object.service->ns, name = object.service->name;
		break;
	case KP_KIND_ENDPOINTSLICE:
		ns = object.slice->ns, name = object.slice->name;
		break;
	case KP_KIND_NODE:
		name = object.node->name;
		break;
	default:
		name = object.cidr->name;
	}
	kp_store_remove(store, object.kind, ns, name);
	kp_object_clear(&object);
}

/* --- changing --- */

static void change_service(struct world *w, struct kp_store *store)
{
	unsigned int number = world_below(w, N_SERVICES);
	struct service *s = &w->services[number];

	s->exists = !one_in(w, 4);
	switch (world_below(w, 3)) {
	case 0:
		draw_service_ports(w, s);
		break;
	case 1:
		alter_service(w, s);
		break;
	default:
		draw_service(w, s);
	}
	/* It was never drawn. */
	if (!s->has[KP_IPV4] && !s->has[KP_IPV6])
		draw_service(w, s);
	tell(store, s->exists, build_service(s, number));
}

static void change_slice(struct world *w, struct kp_store *store)
{
	unsigned int number = world_below(w, N_SLICES);
	struct slice *s = &w->slices[number];

	if (s->exists && !one_in(w, 4)) {
		alter_slice(w, s);
	} else {
		s->exists = !one_in(w, 4);
		draw_slice(w, s);
	}
	tell(store, s->exists, build_slice(s, number));
}

static void change_node(struct world *w, struct kp_store *store)
{
	w->has_node = !one_in(w, 4);
	/* What is known of a Node outlives it. */
	if (w->has_node) {
		w->had_node = true;
		w->node_ip = world_below(w, 3);
		w->node_zone = world_below(w, 2);
	}
	tell(store, w->has_node, build_node(w));
}

static void change_cidr(struct world *w, struct kp_store *store)
{
	unsigned int number = world_below(w, N_CIDRS);

	w->cidrs[number] = one_in(w, 3) ? 0 : 1 + world_below(w, 255);
	tell(store, w->cidrs[number], build_cidr(w->cidrs[number], number));
}

void world_change(struct world *w, struct kp_store *store)
{
	unsigned int what = world_below(w, 20);

	if (what == 0)
		change_node(w, store);
	else if (what == 1)
		change_cidr(w, store);
	else if (what < 7)
		change_service(w, store);
	else
		change_slice(w, store);
}

void world_put_all(const struct world *w, struct kp_store *store)
{
	for (unsigned int i = N_CIDRS; i-- > 0;)
		if (w->cidrs[i])
			tell(store, true, build_cidr(w->cidrs[i], i));
	for (unsigned int i = N_SLICES; i-- > 0;)
		if (w->slices[i].exists)
			tell(store, true, build_slice(&w->slices[i], i));
	for (unsigned int i = N_SERVICES; i-- > 0;)
		if (w->services[i].exists)
			tell(store, true, build_service(&w->services[i], i));
	if (w->had_node)
		tell(store, true, build_node(w));
	if (!w->has_node)
		tell(store, false, build_node(w));
}
