/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Set elements back to virtual services: the inverse of render.c.  The comments tell the names. */
#include <stdlib.h>

#include "nft/element.h"

static const uint8_t *get_addr(const uint8_t *at, enum kp_family family, struct kp_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->bytes, at, kp_family_addr_size(family));
	return at + kp_family_addr_size(family);
}

static bool is_node_port(const struct kp_nft_element *e)
{
	return e->set >= KP_SET_NODEPORTS && e->set < KP_SET_NODEPORTS + KP_NFT_NODEPORT_SETS;
}

static uint16_t get_port(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

/* The element of the same frontend in another set of its group; NULL when there is none. */
static const struct kp_nft_element *twin(const struct kp_nft_elements *elements,
					 const struct kp_nft_element *e, enum kp_nft_set_id set)
{
	struct kp_nft_element key = {.family = e->family, .set = set};

	if (is_node_port(e))
		key.set += KP_NFT_NODEPORT_SETS;
	memcpy(key.key, e->key, sizeof(key.key));
	return kp_nft_elements_find(elements, &key);
}

static bool is_cluster_ip(const struct kp_nft_elements *elements, const struct kp_nft_element *e)
{
	struct kp_nft_element key = {.family = e->family, .set = KP_SET_CLUSTER_IPS};

	memcpy(key.key, e->key, kp_family_addr_size(e->family));
	return kp_nft_elements_find(elements, &key);
}

/* Splits "ns/name:port suffix". */
static bool split_comment(const char *comment, char *owner, size_t owner_size, char *port,
			  size_t port_size, const char **suffix)
{
	const char *colon = comment ? strchr(comment, ':') : NULL, *space;
	size_t len;

	if (!colon || (size_t)(colon - comment) >= owner_size ||
	    !memchr(comment, '/', colon - comment))
		return false;
	memcpy(owner, comment, colon - comment);
	owner[colon - comment] = 0;
	space = strchr(colon, ' ');
	len = space ? (size_t)(space - colon - 1) : strlen(colon + 1);
	if (len >= port_size)
		return false;
	memcpy(port, colon + 1, len);
	port[len] = 0;
	*suffix = space ? space + 1 : "";
	return true;
}

static struct kp_vservice *get_vservice(struct kp_vservices *vs, enum kp_family family,
					uint8_t proto, const char *port)
{
	struct kp_vservice like = {.family = family, .proto = proto, .port_name = port}, *v;

	/* They are not sorted yet. */
	for (size_t i = 0; i < vs->n; i++)
		if (kp_vservice_is(&vs->items[i], &like))
			return &vs->items[i];
	v = kp_vservices_add(vs);
	v->family = family;
	v->proto = proto;
	v->port_name = kp_name_get(port);
	return v;
}

static void get_target(const struct kp_nft_element *e, struct kp_endpoint_set *set)
{
	struct kp_addr addr;
	const uint8_t *at = get_addr(e->data, e->family, &addr);

	kp_endpoint_set_add(set, &addr, get_port(at));
}

/* Reads a slot table whose keys start as 'first' does; 'map' holds the slots. */
static void parse_slots(const struct kp_nft_elements *elements, const struct kp_nft_element *first,
			enum kp_nft_set_id map, struct kp_endpoint_set *ret)
{
	struct kp_nft_element key = {.family = first->family, .set = map};
	unsigned int offset = kp_nft_last_field_offset(first->family, kp_nft_sets[map].key);
	const struct kp_nft_element *found;

	memcpy(key.key, first->key, offset);
	for (uint32_t slot = 0; slot < KP_MAX_SLOTS; slot++) {
		memcpy(key.key + offset, &slot, sizeof(slot));
		found = kp_nft_elements_find(elements, &key);
		if (!found)
			break;
		get_target(found, ret);
	}
	if (ret->n == 0)
		get_target(first, ret);
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The same with affinity: 'service' has slots of endpoint ids, and 'map' their endpoints. */
static void parse_sticky_slots(const struct kp_nft_elements *elements, struct kp_vservice *v,
			       uint32_t service, enum kp_nft_set_id map,
			       struct kp_endpoint_set *ret)
{
	struct kp_nft_element key = {.family = v->family};
	const struct kp_nft_element *found;

	for (uint32_t slot = 0; slot < KP_MAX_SLOTS; slot++) {
		key.set = KP_SET_AFFINITY_SLOTS;
		memcpy(key.key, &service, sizeof(service));
		memcpy(key.key + sizeof(service), &slot, sizeof(slot));
		found = kp_nft_elements_find(elements, &key);
		if (!found)
			return;
		key.set = map;
		memcpy(key.key, found->data, sizeof(uint32_t));
		memset(key.key + sizeof(uint32_t), 0, sizeof(uint32_t));
		key.key[sizeof(uint32_t)] = v->proto;
		found = kp_nft_elements_find(elements, &key);
		if (!found)
			return;
		get_target(found, ret);
		ret->slots[slot].id = get_u32(found->key) & KP_NFT_AFFINITY_ENDPOINT;
		if (ret->slots[slot].id > v->affinity.last_endpoint_id)
			v->affinity.last_endpoint_id = ret->slots[slot].id;
	}
}

/* All frontends of a virtual service have the same sets; the first that has one tells it. */
static void parse_sets(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
		       struct kp_vservice *v)
{
	const struct kp_nft_element *cluster = twin(elements, e, KP_SET_SERVICES);
	const struct kp_nft_element *local = twin(elements, e, KP_SET_LOCAL_SERVICES);
	const struct kp_nft_element *sticky = twin(elements, e, KP_SET_STICKY);
	int group = is_node_port(e) ? KP_NFT_NODEPORT_SETS : 0;

	if (cluster && v->cluster.n == 0) {
		if (sticky)
			parse_sticky_slots(elements, v, get_u32(sticky->data),
					   KP_SET_AFFINITY_ENDPOINTS, &v->cluster);
		else
			parse_slots(elements, cluster, KP_SET_ENDPOINTS + group, &v->cluster);
	}
	if (local && v->local.n == 0) {
		if (sticky)
			parse_sticky_slots(elements, v,
					   get_u32(sticky->data) | KP_NFT_AFFINITY_LOCAL,
					   KP_SET_AFFINITY_LOCAL_ENDPOINTS, &v->local);
		else
			parse_slots(elements, local, KP_SET_LOCAL_ENDPOINTS + group, &v->local);
	}
}

/* The first element whose key is not less. */
static size_t lower_bound(const struct kp_nft_elements *elements, const struct kp_nft_element *key)
{
	size_t lo = 0, hi = elements->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (kp_nft_element_compare_keys(&elements->items[mid], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t find_timeout(const struct kp_nft_elements *elements, enum kp_family family,
			     uint32_t service)
{
	struct kp_nft_element key = {.family = family, .set = KP_SET_AFFINITY_TIMEOUTS};
	const struct kp_nft_element *e;
	size_t at;

	memcpy(key.key, &service, sizeof(service));
	at = lower_bound(elements, &key);
	e = &elements->items[at];
	if (at == elements->n || e->set != key.set || e->family != key.family ||
	    get_u32(e->key) != service)
		return 0;
	return get_u32(e->key + sizeof(service));
}

static void parse_affinity(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
			   struct kp_vservice *v)
{
	const struct kp_nft_element *sticky = twin(elements, e, KP_SET_STICKY);
	uint32_t service;

	if (!sticky)
		return;
	service = get_u32(sticky->data) & KP_NFT_AFFINITY_SERVICE;
	if ((service & ~KP_NFT_AFFINITY_MARK) >> 16 > KP_MAX_AFFINITY_ID)
		return;
	v->affinity.id = (service & ~KP_NFT_AFFINITY_MARK) >> 16;
	v->affinity.timeout_s = find_timeout(elements, e->family, service);
}

static void parse_guard(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
			struct kp_vservice *v, struct kp_frontend *f)
{
	struct kp_nft_element key = {.family = e->family, .set = KP_SET_ALLOWED};
	unsigned int offset = kp_nft_last_field_offset(e->family, kp_nft_sets[KP_SET_ALLOWED].key);

	f->guarded = !is_node_port(e) && twin(elements, e, KP_SET_GUARDED);
	if (!f->guarded || v->n_sources > 0)
		return;
	memcpy(key.key, e->key, offset);
	for (size_t i = lower_bound(elements, &key); i < elements->n; i++) {
		const struct kp_nft_element *a = &elements->items[i];
		struct kp_prefix source = {.family = e->family, .len = a->prefix_len};

		if (a->set != key.set || a->family != key.family ||
		    memcmp(a->key, key.key, offset) != 0)
			break;
		get_addr(a->key + offset, e->family, &source.addr);
		kp_prefixes_add(&v->sources, &v->n_sources, &source);
	}
}

static enum kp_frontend_type type_of(const struct kp_nft_elements *elements,
				     const struct kp_nft_element *e, const char *suffix)
{
	if (is_node_port(e))
		return KP_NODE_PORT;
	if (strcmp(suffix, "load-balancer") == 0)
		return KP_LOAD_BALANCER_IP;
	if (strcmp(suffix, "external-ip") == 0 || !is_cluster_ip(elements, e))
		return KP_EXTERNAL_IP;
	return KP_CLUSTER_IP;
}

/* A frontend that rejects does not tell its policy, and none is needed. */
static enum kp_policy policy_of(const struct kp_nft_elements *elements,
				const struct kp_nft_element *e, enum kp_frontend_type type)
{
	if (type == KP_CLUSTER_IP)
		return twin(elements, e, KP_SET_INTERNAL_LOCAL) ? KP_POLICY_INTERNAL_LOCAL
								: KP_POLICY_INTERNAL;
	return twin(elements, e, KP_SET_EXTERNAL_LOCAL) ? KP_POLICY_EXTERNAL_LOCAL
							: KP_POLICY_EXTERNAL;
}

static void parse_frontend(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
			   struct kp_state *ret)
{
	char owner[320], port[128];
	struct kp_vservice *v;
	struct kp_frontend *f;
	const uint8_t *at = e->key;
	const char *suffix;
	struct kp_addr addr = {0};

	if (!split_comment(e->comment, owner, sizeof(owner), port, sizeof(port), &suffix))
		return;
	if (!is_node_port(e))
		at = get_addr(at, e->family, &addr);
	v = get_vservice(&kp_state_entry(ret, owner)->vs, e->family, *at, port);
	f = kp_vservice_add_frontend(v);
	f->addr = addr;
	f->port = get_port(at + sizeof(uint32_t));
	f->type = type_of(elements, e, suffix);
	f->policy = policy_of(elements, e, f->type);
	parse_sets(elements, e, v);
	parse_guard(elements, e, v, f);
	parse_affinity(elements, e, v);
	v->has_any |= v->cluster.n > 0 || v->local.n > 0 || e->set == KP_SET_NO_LOCAL_ENDPOINTS ||
		      e->set == KP_SET_NODEPORT_NO_LOCAL_ENDPOINTS;
}

/* Each frontend has an element with its name in one or two of these sets; the first tells it. */
static bool names_frontend(const struct kp_nft_elements *elements, const struct kp_nft_element *e)
{
	switch (e->set) {
	case KP_SET_SERVICES:
	case KP_SET_NODEPORTS:
	case KP_SET_NO_ENDPOINTS:
	case KP_SET_NODEPORT_NO_ENDPOINTS:
		return true;
	case KP_SET_LOCAL_SERVICES:
	case KP_SET_LOCAL_NODEPORTS:
	case KP_SET_NO_LOCAL_ENDPOINTS:
	case KP_SET_NODEPORT_NO_LOCAL_ENDPOINTS:
		return !twin(elements, e, KP_SET_SERVICES);
	default:
		return false;
	}
}

/* Interval elements come in pairs of start and end, the first address outside; a start without an
 * end reaches to the last address. */
static void parse_prefix(const struct kp_nft_element *start, const struct kp_nft_element *end,
			 struct kp_prefix **items, size_t *n)
{
	int n_bytes = kp_family_addr_size(start->family);
	struct kp_prefix prefix = {.family = start->family, .len = n_bytes * 8};
	struct kp_addr last = {0};

	memcpy(prefix.addr.bytes, start->key, n_bytes);
	if (end)
		memcpy(last.bytes, end->key, n_bytes);
	for (int i = n_bytes - 1; i >= 0 && last.bytes[i]-- == 0; i--)
		;
	while (prefix.len > 0 && !kp_prefix_contains(&prefix, start->family, &last))
		prefix.len--;
	kp_prefixes_add(items, n, &prefix);
}

static void parse_facts(const struct kp_nft_elements *elements, struct kp_facts *ret)
{
	for (size_t i = 0; i < elements->n; i++) {
		const struct kp_nft_element *e = &elements->items[i], *end = NULL;

		if ((e->set != KP_SET_NODEPORT_IPS && e->set != KP_SET_SERVICE_CIDRS) ||
		    e->interval_end)
			continue;
		if (i + 1 < elements->n && e[1].set == e->set && e[1].family == e->family &&
		    e[1].interval_end)
			end = &e[1];
		if (e->set == KP_SET_NODEPORT_IPS)
			parse_prefix(e, end, &ret->node_port_ranges, &ret->n_node_port_ranges);
		else
			parse_prefix(e, end, &ret->service_cidrs, &ret->n_service_cidrs);
	}
}

struct kp_nft_clients {
	struct kp_state *state;
	struct kp_vservice *by_id[KP_N_FAMILIES][KP_MAX_AFFINITY_ID + 1];
};

struct kp_nft_clients *kp_nft_clients_new(struct kp_state *state)
{
	struct kp_nft_clients *clients = kp_xcalloc(1, sizeof(*clients));

	clients->state = state;
	for (struct kp_state_entry *entry = state->entries; entry; entry = entry->hh.next) {
		for (size_t i = 0; i < entry->vs.n; i++) {
			struct kp_vservice *v = &entry->vs.items[i];

			clients->by_id[v->family][v->affinity.id] = v;
			if (v->affinity.id > state->last_affinity_id[v->family])
				state->last_affinity_id[v->family] = v->affinity.id;
		}
	}
	return clients;
}

void kp_nft_clients_note(void *arg, const struct kp_nft_element *e)
{
	struct kp_nft_clients *clients = arg;
	uint16_t service, endpoint;
	struct kp_vservice *v;

	if (!e)
		return;
	free(e->comment);
	service = (get_u32(e->data) & ~KP_NFT_AFFINITY_MARK) >> 16;
	endpoint = get_u32(e->data) & KP_NFT_AFFINITY_ENDPOINT;
	if (service > KP_MAX_AFFINITY_ID)
		return;
	if (service > clients->state->last_affinity_id[e->family])
		clients->state->last_affinity_id[e->family] = service;
	v = clients->by_id[e->family][service];
	if (v && v->affinity.id && endpoint > v->affinity.last_endpoint_id)
		v->affinity.last_endpoint_id = endpoint;
}

void kp_nft_parse_state(const struct kp_nft_elements *elements, struct kp_state *ret)
{
	for (size_t i = 0; i < elements->n; i++) {
		const struct kp_nft_element *e = &elements->items[i];

		if (names_frontend(elements, e))
			parse_frontend(elements, e, ret);
	}
	for (struct kp_state_entry *entry = ret->entries; entry; entry = entry->hh.next)
		kp_vservices_sort(&entry->vs);
	parse_facts(elements, &ret->facts);
}
