/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual services and facts as set elements. */
#include <stdio.h>
#include <stdlib.h>

#include "nft/element.h"

struct renderer {
	struct kp_nft_elements *out;
	const char *owner;
	const struct kp_vservice *v;
};

static uint8_t *put_addr(uint8_t *at, enum kp_family family, const struct kp_addr *addr)
{
	memcpy(at, addr->bytes, kp_family_addr_size(family));
	return at + kp_family_addr_size(family);
}

static uint8_t *put_port(uint8_t *at, uint16_t port)
{
	at[0] = port >> 8;
	at[1] = port & 255;
	return at + sizeof(uint32_t);
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

/* Makes the element of a frontend in a set of the services group, or in its twin for node ports.
 * '*ret_end' is where the frontend's part of the key ends. */
static struct kp_nft_element *add_frontend(const struct renderer *r, enum kp_nft_set_id set,
					   const struct kp_frontend *f, uint8_t **ret_end)
{
	bool node_port = f->type == KP_NODE_PORT;
	struct kp_nft_element *e = kp_nft_elements_add(
		r->out, r->v->family, node_port ? set + KP_NFT_NODEPORT_SETS : set);
	uint8_t *at = e->key;

	if (!node_port)
		at = put_addr(at, r->v->family, &f->addr);
	*at = r->v->proto;
	at = put_port(at + sizeof(uint32_t), f->port);
	if (ret_end)
		*ret_end = at;
	return e;
}

static void put_target(struct kp_nft_element *e, const struct kp_target *target)
{
	put_port(put_addr(e->data, e->family, &target->addr), target->port);
}

/* "default/web:http"; for addresses that are not cluster IPs their type follows. */
static char *comment(const struct renderer *r, const struct kp_frontend *f)
{
	static const char *const suffix[] = {
		[KP_CLUSTER_IP] = "",
		[KP_NODE_PORT] = "",
		[KP_EXTERNAL_IP] = " external-ip",
		[KP_LOAD_BALANCER_IP] = " load-balancer",
	};

	return kp_xasprintf("%s:%s%s", r->owner, r->v->port_name, suffix[f->type]);
}

/* The slot table of one of a frontend's sets; 'local' is KP_NFT_LOCAL_SETS or 0. */
static void render_slots(const struct renderer *r, const struct kp_frontend *f,
			 const struct kp_endpoint_set *set, int local)
{
	struct kp_nft_element *e;
	unsigned int code;
	uint8_t *end;

	if (set->n == 0)
		return;
	code = kp_nft_slots_code(kp_nft_size_of(set->n));
	e = add_frontend(r, KP_SET_SERVICES + local, f, NULL);
	put_target(e, &set->slots[0]);
	e->comment = comment(r, f);
	/* With affinity the rest is in the affinity slots, once for all frontends. */
	if (set->n == 1 || r->v->affinity.timeout_s)
		return;
	for (uint32_t slot = 0; slot < set->n; slot++) {
		e = add_frontend(r, KP_SET_ENDPOINTS + local, f, &end);
		put_u32(end, slot);
		put_target(e, &set->slots[slot]);
	}
	for (int bit = 0; bit < KP_NFT_SLOTS_BITS; bit++)
		if (code & 1U << bit)
			add_frontend(r, KP_SET_SLOTS_2 + local + bit, f, NULL);
}

static uint32_t affinity_service(const struct kp_vservice *v)
{
	return KP_NFT_AFFINITY_MARK | (uint32_t)v->affinity.id << 16;
}

static void render_cluster_ip(const struct renderer *r, const struct kp_frontend *f)
{
	struct kp_nft_element *e = kp_nft_elements_add(r->out, r->v->family, KP_SET_CLUSTER_IPS);

	put_addr(e->key, r->v->family, &f->addr);
}

/* Who else may send to a guarded frontend is dropped, whether it has endpoints or not (FW-3). */
static void render_guard(const struct renderer *r, const struct kp_frontend *f)
{
	add_frontend(r, KP_SET_GUARDED, f, NULL);
	for (size_t i = 0; i < r->v->n_sources; i++) {
		uint8_t *end;
		struct kp_nft_element *e = add_frontend(r, KP_SET_ALLOWED, f, &end);

		put_addr(end, r->v->family, &r->v->sources[i].addr);
		e->prefix_len = r->v->sources[i].len;
	}
}

/* What becomes of packets that find no endpoint in the set 'marker' names. */
static void render_empty(const struct renderer *r, const struct kp_frontend *f,
			 enum kp_nft_set_id marker)
{
	add_frontend(r, marker, f, NULL)->comment = comment(r, f);
}

static void render_frontend(const struct renderer *r, const struct kp_frontend *f)
{
	const struct kp_vservice *v = r->v;

	if (f->type == KP_CLUSTER_IP)
		render_cluster_ip(r, f);
	if (f->guarded)
		render_guard(r, f);
	if (!v->has_any) {
		render_empty(r, f, KP_SET_NO_ENDPOINTS);
		return;
	}
	if (f->policy == KP_POLICY_INTERNAL_LOCAL)
		add_frontend(r, KP_SET_INTERNAL_LOCAL, f, NULL);
	else
		render_slots(r, f, &v->cluster, 0);
	if (f->policy == KP_POLICY_EXTERNAL || f->policy == KP_POLICY_EXTERNAL_LOCAL)
		add_frontend(r, KP_SET_EXTERNAL, f, NULL);
	if (f->policy == KP_POLICY_EXTERNAL_LOCAL)
		add_frontend(r, KP_SET_EXTERNAL_LOCAL, f, NULL);
	if (kp_policy_is_local(f->policy)) {
		if (v->local.n > 0)
			render_slots(r, f, &v->local, KP_NFT_LOCAL_SETS);
		else
			render_empty(r, f, KP_SET_NO_LOCAL_ENDPOINTS);
	}
	if (v->affinity.timeout_s)
		put_u32(add_frontend(r, KP_SET_STICKY, f, NULL)->data, affinity_service(v));
}

/* Makes an affinity element whose key starts with an id. */
static struct kp_nft_element *add_affinity(const struct renderer *r, enum kp_nft_set_id set,
					   uint32_t id, uint8_t **ret_end)
{
	struct kp_nft_element *e = kp_nft_elements_add(r->out, r->v->family, set);
	uint8_t *end = put_u32(e->key, id);

	if (ret_end)
		*ret_end = end;
	return e;
}

static void render_affinity_endpoint(const struct renderer *r, enum kp_nft_set_id set, uint32_t id,
				     const struct kp_target *target)
{
	uint8_t *end;
	struct kp_nft_element *e = add_affinity(r, set, id, &end);

	*end = r->v->proto;
	put_target(e, target);
}

/* The slot table of endpoint ids; 'local' is KP_NFT_AFFINITY_LOCAL or 0. */
static void render_affinity_slots(const struct renderer *r, const struct kp_endpoint_set *set,
				  uint32_t local)
{
	uint32_t service = affinity_service(r->v) | local;
	unsigned int code;
	uint8_t *end;

	if (set->n == 0)
		return;
	code = kp_nft_slots_code(kp_nft_size_of(set->n));
	for (uint32_t slot = 0; slot < set->n; slot++) {
		struct kp_nft_element *e = add_affinity(r, KP_SET_AFFINITY_SLOTS, service, &end);

		put_u32(end, slot);
		put_u32(e->data, service | set->slots[slot].id);
	}
	for (int bit = 0; bit < KP_NFT_SLOTS_BITS; bit++)
		if (code & 1U << bit)
			add_affinity(r, KP_SET_AFFINITY_SLOTS_2 + bit, service, NULL);
}

/* A record of either kind, of the cluster or of the local set, will do when its endpoint is in
 * 'set'. */
static void render_affinity_endpoints(const struct renderer *r, const struct kp_endpoint_set *set,
				      enum kp_nft_set_id map, bool both)
{
	uint32_t service = affinity_service(r->v);

	for (uint32_t i = 0; i < set->n; i++) {
		const struct kp_target *target = &set->slots[i];

		render_affinity_endpoint(r, map, service | target->id, target);
		if (both)
			render_affinity_endpoint(
				r, map, service | KP_NFT_AFFINITY_LOCAL | target->id, target);
	}
}

static void render_affinity(const struct renderer *r)
{
	const struct kp_vservice *v = r->v;
	bool both = v->local.n > 0;
	uint8_t *end;

	add_affinity(r, KP_SET_AFFINITY_TIMEOUTS, affinity_service(v), &end);
	put_u32(end, v->affinity.timeout_s);
	render_affinity_slots(r, &v->cluster, 0);
	render_affinity_slots(r, &v->local, KP_NFT_AFFINITY_LOCAL);
	render_affinity_endpoints(r, &v->cluster, KP_SET_AFFINITY_ENDPOINTS, both);
	render_affinity_endpoints(r, &v->local, KP_SET_AFFINITY_LOCAL_ENDPOINTS, both);
}

static void render_hairpins(const struct renderer *r, const struct kp_endpoint_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		struct kp_nft_element *e = kp_nft_elements_add(r->out, r->v->family,
							       KP_SET_HAIRPINS);

		put_addr(put_addr(e->key, r->v->family, &set->slots[i].addr), r->v->family,
			 &set->slots[i].addr);
	}
}

void kp_nft_render_vservices(const char *owner, const struct kp_vservices *vs,
			     struct kp_nft_elements *ret)
{
	for (size_t i = 0; i < vs->n; i++) {
		struct renderer r = {.out = ret, .owner = owner, .v = &vs->items[i]};

		for (size_t j = 0; j < r.v->n_frontends; j++)
			render_frontend(&r, &r.v->frontends[j]);
		render_hairpins(&r, &r.v->cluster);
		render_hairpins(&r, &r.v->local);
		if (r.v->affinity.timeout_s)
			render_affinity(&r);
	}
}

/* The first address after a prefix; false when the prefix reaches to the end. */
static bool prefix_end(const struct kp_prefix *prefix, struct kp_addr *ret)
{
	int last = ((int)prefix->len + 7) / 8 - 1;
	unsigned int carry;

	*ret = prefix->addr;
	if (prefix->len == 0)
		return false;
	carry = 1U << ((8 - prefix->len % 8) % 8);
	for (int i = last; i >= 0 && carry; i--) {
		carry += ret->bytes[i];
		ret->bytes[i] = carry & 255;
		carry >>= 8;
	}
	return carry == 0;
}

static void render_prefix(enum kp_nft_set_id set, const struct kp_prefix *prefix,
			  struct kp_nft_elements *ret)
{
	struct kp_nft_element *e = kp_nft_elements_add(ret, prefix->family, set);
	struct kp_addr end;

	put_addr(e->key, prefix->family, &prefix->addr);
	if (!prefix_end(prefix, &end))
		return;
	e = kp_nft_elements_add(ret, prefix->family, set);
	put_addr(e->key, prefix->family, &end);
	e->interval_end = true;
}

void kp_nft_render_facts(const struct kp_facts *facts, struct kp_nft_elements *ret)
{
	for (size_t i = 0; i < facts->n_node_port_ranges; i++)
		render_prefix(KP_SET_NODEPORT_IPS, &facts->node_port_ranges[i], ret);
	for (size_t i = 0; i < facts->n_service_cidrs; i++)
		render_prefix(KP_SET_SERVICE_CIDRS, &facts->service_cidrs[i], ret);
}
