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

static void render_slots(const struct renderer *r, const struct kp_frontend *f,
			 const struct kp_endpoint_set *set)
{
	unsigned int code = kp_nft_slots_code(kp_nft_size_of(set->n));
	struct kp_nft_element *e;
	uint8_t *end;

	e = add_frontend(r, KP_SET_SERVICES, f, NULL);
	put_target(e, &set->slots[0]);
	e->comment = comment(r, f);
	if (set->n == 1)
		return;
	for (uint32_t slot = 0; slot < set->n; slot++) {
		e = add_frontend(r, KP_SET_ENDPOINTS, f, &end);
		memcpy(end, &slot, sizeof(slot));
		put_target(e, &set->slots[slot]);
	}
	for (int bit = 0; bit < KP_NFT_SLOTS_BITS; bit++)
		if (code & 1U << bit)
			add_frontend(r, KP_SET_SLOTS_2 + bit, f, NULL);
}

static void render_frontend(const struct renderer *r, const struct kp_frontend *f)
{
	struct kp_nft_element *e;

	if (f->type == KP_CLUSTER_IP) {
		e = kp_nft_elements_add(r->out, r->v->family, KP_SET_CLUSTER_IPS);
		put_addr(e->key, r->v->family, &f->addr);
	}
	if (r->v->cluster.n == 0) {
		e = add_frontend(r, KP_SET_NO_ENDPOINTS, f, NULL);
		e->comment = comment(r, f);
		return;
	}
	render_slots(r, f, &r->v->cluster);
	if (f->policy == KP_POLICY_EXTERNAL)
		add_frontend(r, KP_SET_EXTERNAL, f, NULL);
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
