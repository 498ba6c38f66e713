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

static uint16_t get_port(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

/* True when the frontend of 'e' is also in the set 'set' of its group. */
static bool also_in(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
		    enum kp_nft_set_id set)
{
	struct kp_nft_element key = *e;

	key.set = e->set >= KP_SET_NODEPORTS ? set + KP_NFT_NODEPORT_SETS : set;
	return kp_nft_elements_find(elements, &key);
}

static bool is_cluster_ip(const struct kp_nft_elements *elements, const struct kp_nft_element *e)
{
	struct kp_nft_element key = {.family = e->family, .set = KP_SET_CLUSTER_IPS};

	memcpy(key.key, e->key, kp_family_addr_size(e->family));
	return kp_nft_elements_find(elements, &key);
}

/* Splits "ns/name:port suffix". */
static bool split_comment(const char *comment, char *owner, char *port, const char **suffix)
{
	const char *colon = comment ? strchr(comment, ':') : NULL, *space;
	size_t len;

	if (!colon || (size_t)(colon - comment) >= 256 || !memchr(comment, '/', colon - comment))
		return false;
	memcpy(owner, comment, colon - comment);
	owner[colon - comment] = 0;
	space = strchr(colon, ' ');
	len = space ? (size_t)(space - colon - 1) : strlen(colon + 1);
	if (len >= 128)
		return false;
	memcpy(port, colon + 1, len);
	port[len] = 0;
	*suffix = space ? space + 1 : "";
	return true;
}

static struct kp_vservice *get_vservice(struct kp_vservices *vs, enum kp_family family,
					uint8_t proto, char *port)
{
	struct kp_vservice like = {.family = family, .proto = proto, .port_name = port};
	struct kp_vservice *v = (struct kp_vservice *)kp_vservices_find(vs, &like);

	if (!v) {
		v = kp_vservices_add(vs);
		v->family = family;
		v->proto = proto;
		v->port_name = kp_xstrdup(port);
	}
	return v;
}

static void get_target(const struct kp_nft_element *e, struct kp_endpoint_set *set)
{
	struct kp_addr addr;
	const uint8_t *at = get_addr(e->data, e->family, &addr);

	kp_endpoint_set_add(set, &addr, get_port(at));
}

/* All frontends of a virtual service have the same slots; the first one tells them. */
static void parse_slots(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
			struct kp_endpoint_set *ret)
{
	const struct kp_nft_set_desc *desc = &kp_nft_sets[e->set];
	struct kp_nft_element key = *e;
	unsigned int size = kp_nft_key_size(e->family, desc);
	const struct kp_nft_element *found;

	key.set = e->set + (KP_SET_ENDPOINTS - KP_SET_SERVICES);
	for (uint32_t slot = 0; slot < KP_MAX_SLOTS; slot++) {
		memcpy(key.key + size, &slot, sizeof(slot));
		found = kp_nft_elements_find(elements, &key);
		if (!found)
			break;
		get_target(found, ret);
	}
	if (ret->n == 0)
		get_target(e, ret);
}

static enum kp_frontend_type type_of(const struct kp_nft_elements *elements,
				     const struct kp_nft_element *e, const char *suffix)
{
	if (e->set >= KP_SET_NODEPORTS)
		return KP_NODE_PORT;
	if (strcmp(suffix, "load-balancer") == 0)
		return KP_LOAD_BALANCER_IP;
	if (strcmp(suffix, "external-ip") == 0 || !is_cluster_ip(elements, e))
		return KP_EXTERNAL_IP;
	return KP_CLUSTER_IP;
}

static void parse_frontend(const struct kp_nft_elements *elements, const struct kp_nft_element *e,
			   struct kp_state *ret)
{
	char owner[256], port[128];
	struct kp_vservice *v;
	struct kp_frontend *f;
	const uint8_t *at = e->key;
	const char *suffix;
	struct kp_addr addr = {0};
	bool empty = e->set == KP_SET_NO_ENDPOINTS || e->set == KP_SET_NODEPORT_NO_ENDPOINTS;

	if (!split_comment(e->comment, owner, port, &suffix))
		return;
	if (e->set < KP_SET_NODEPORTS)
		at = get_addr(at, e->family, &addr);
	v = get_vservice(&kp_state_entry(ret, owner)->vs, e->family, *at, port);
	f = kp_vservice_add_frontend(v);
	f->addr = addr;
	f->port = get_port(at + sizeof(uint32_t));
	f->type = type_of(elements, e, suffix);
	f->policy = f->type == KP_CLUSTER_IP ? KP_POLICY_INTERNAL : KP_POLICY_EXTERNAL;
	if (!empty && v->cluster.n == 0)
		parse_slots(elements, e, &v->cluster);
	v->has_any = v->cluster.n > 0;
	if (!empty && f->type != KP_CLUSTER_IP && !also_in(elements, e, KP_SET_EXTERNAL))
		f->policy = KP_POLICY_INTERNAL;
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

		if (!kp_nft_sets[e->set].is_interval || e->interval_end)
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

void kp_nft_parse_state(const struct kp_nft_elements *elements, struct kp_state *ret)
{
	for (size_t i = 0; i < elements->n; i++) {
		const struct kp_nft_element *e = &elements->items[i];

		switch (e->set) {
		case KP_SET_SERVICES:
		case KP_SET_NODEPORTS:
		case KP_SET_NO_ENDPOINTS:
		case KP_SET_NODEPORT_NO_ENDPOINTS:
			parse_frontend(elements, e, ret);
		}
	}
	for (struct kp_state_entry *entry = ret->entries; entry; entry = entry->hh.next)
		kp_vservices_sort(&entry->vs);
	parse_facts(elements, &ret->facts);
}
