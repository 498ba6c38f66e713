/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conntrack/stale.h"

#include <stdlib.h>

/* With more flows than this, the kernel is asked for all entries of a family, and not for those of
 * each endpoint or frontend (docs/conntrack.md). */
enum {
	MAX_SCANS = 8
};

static struct kp_stale_flow *find(const struct kp_stale *stale, const struct kp_flow *flow)
{
	struct kp_stale_flow *found;

	HASH_FIND(hh, stale->flows, flow, sizeof(*flow), found);
	return found;
}

static void add(struct kp_stale *stale, const struct kp_flow *flow)
{
	struct kp_stale_flow *item = find(stale, flow);

	if (item) {
		/* The pass that is running may be beyond entries that are new. */
		item->selected = false;
		return;
	}
	item = kp_xcalloc(1, sizeof(*item));
	item->flow = *flow;
	HASH_ADD(hh, stale->flows, flow, sizeof(item->flow), item);
}

static void drop(struct kp_stale *stale, struct kp_stale_flow *item)
{
	HASH_DEL(stale->flows, item);
	free(item);
}

void kp_stale_clear(struct kp_stale *stale)
{
	struct kp_stale_flow *item, *tmp;

	HASH_ITER (hh, stale->flows, item, tmp)
		drop(stale, item);
}

/* Which flows are looked for together. */
enum likeness {
	SAME_ENDPOINT,
	SAME_FRONTEND,
	ANY
};

static bool same_endpoint(const struct kp_flow *a, const struct kp_flow *b)
{
	return a->endpoint_port == b->endpoint_port && kp_addr_equal(&a->endpoint, &b->endpoint);
}

static bool same_frontend(const struct kp_flow *a, const struct kp_flow *b)
{
	return a->frontend_port == b->frontend_port && kp_addr_equal(&a->frontend, &b->frontend);
}

static bool is_like(const struct kp_flow *a, const struct kp_flow *b, enum likeness likeness)
{
	return a->family == b->family && a->proto == b->proto &&
	       kp_flow_is_translated(a) == kp_flow_is_translated(b) &&
	       (likeness != SAME_ENDPOINT || same_endpoint(a, b)) &&
	       (likeness != SAME_FRONTEND || same_frontend(a, b));
}

/* Selects what is like the first one, and returns how many that are. */
static size_t select_like(struct kp_stale *stale, enum likeness likeness)
{
	size_t n = 0;

	for (struct kp_stale_flow *item = stale->flows; item; item = item->hh.next) {
		item->selected = is_like(&item->flow, &stale->flows->flow, likeness);
		n += item->selected;
	}
	return n;
}

static void select_some(struct kp_stale *stale)
{
	if (HASH_COUNT(stale->flows) > MAX_SCANS)
		select_like(stale, ANY);
	else if (select_like(stale, SAME_ENDPOINT) <= 1)
		select_like(stale, SAME_FRONTEND);
}

static void keep_common(struct kp_flow *like, const struct kp_flow *flow)
{
	static const struct kp_addr any;

	if (!kp_addr_equal(&like->frontend, &flow->frontend))
		like->frontend = any;
	if (!kp_addr_equal(&like->endpoint, &flow->endpoint))
		like->endpoint = any;
	if (like->frontend_port != flow->frontend_port)
		like->frontend_port = 0;
	if (like->endpoint_port != flow->endpoint_port)
		like->endpoint_port = 0;
}

void kp_stale_select(struct kp_stale *stale, struct kp_flow_filter *ret)
{
	ret->like = stale->flows->flow;
	ret->translated_only = kp_flow_is_translated(&ret->like);
	select_some(stale);
	for (struct kp_stale_flow *item = stale->flows; item; item = item->hh.next)
		if (item->selected)
			keep_common(&ret->like, &item->flow);
}

void kp_stale_remove_selected(struct kp_stale *stale)
{
	struct kp_stale_flow *item, *tmp;

	HASH_ITER (hh, stale->flows, item, tmp)
		if (item->selected)
			drop(stale, item);
}

bool kp_stale_matches(const struct kp_stale *stale, const struct kp_flow *flow)
{
	struct kp_flow node_port = *flow;

	memset(&node_port.frontend, 0, sizeof(node_port.frontend));
	return find(stale, flow) || (kp_flow_is_translated(flow) && find(stale, &node_port));
}

static struct kp_flow flow_to(const struct kp_vservice *v, const struct kp_frontend *f,
			      const struct kp_target *endpoint)
{
	return (struct kp_flow){.frontend = f->addr,
				.endpoint = endpoint->addr,
				.frontend_port = f->port,
				.endpoint_port = endpoint->port,
				.family = v->family,
				.proto = v->proto};
}

static bool has_frontend(const struct kp_vservice *v, const struct kp_frontend *like)
{
	for (size_t i = 0; v && i < v->n_frontends; i++)
		if (v->frontends[i].port == like->port &&
		    kp_addr_equal(&v->frontends[i].addr, &like->addr))
			return true;
	return false;
}

static bool has_in_slot(const struct kp_endpoint_set *set, uint32_t i, const struct kp_target *t)
{
	return i < set->n && kp_target_compare(&set->slots[i], t) == 0;
}

/* Adds what may have become stale.  Endpoints that stay mostly keep their place, so that comparing
 * one by one leaves little more than what left; what has only moved is removed at the end. */
static void add_left(struct kp_stale *stale, const struct kp_vservice *v,
		     const struct kp_frontend *f, const struct kp_endpoint_set *have,
		     const struct kp_endpoint_set *want)
{
	for (uint32_t i = 0; i < have->n; i++) {
		struct kp_flow flow = flow_to(v, f, &have->slots[i]);

		if (!want || !has_in_slot(want, i, &have->slots[i]))
			add(stale, &flow);
	}
}

static void add_all_left(struct kp_stale *stale, const struct kp_change *change)
{
	for (size_t i = 0; i < change->have->n; i++) {
		const struct kp_vservice *have = &change->have->items[i];
		const struct kp_vservice *want = kp_vservices_find(&change->want, have);

		if (have->proto != IPPROTO_UDP)
			continue;
		for (size_t j = 0; j < have->n_frontends; j++) {
			const struct kp_frontend *f = &have->frontends[j];
			bool stays = has_frontend(want, f);

			add_left(stale, have, f, &have->cluster, stays ? &want->cluster : NULL);
			add_left(stale, have, f, &have->local, stays ? &want->local : NULL);
			add_left(stale, have, f, &have->serving, stays ? &want->serving : NULL);
		}
	}
}

static bool has_endpoints(const struct kp_vservice *v)
{
	return v && v->cluster.n + v->local.n > 0;
}

struct node_addrs {
	const struct kp_prefix *items;
	size_t n;
};

static void add_untranslated(struct kp_stale *stale, const struct kp_vservice *v,
			     const struct kp_frontend *f, const struct node_addrs *node)
{
	struct kp_target target = {.addr = f->addr, .port = f->port};
	struct kp_flow flow = flow_to(v, f, &target);

	if (f->type != KP_NODE_PORT) {
		add(stale, &flow);
		return;
	}
	for (size_t i = 0; i < node->n; i++) {
		if (node->items[i].family != v->family)
			continue;
		flow.frontend = flow.endpoint = node->items[i].addr;
		add(stale, &flow);
	}
}

/* This frontend of 'want' led nowhere before the change. */
static bool is_newly_served(const struct kp_change *change, const struct kp_vservice *want,
			    const struct kp_frontend *f)
{
	const struct kp_vservice *have = kp_vservices_find(change->have, want);

	return want->proto == IPPROTO_UDP && has_endpoints(want) &&
	       (!has_endpoints(have) || !has_frontend(have, f));
}

static void add_newly_served(struct kp_stale *stale, const struct kp_change *change,
			     const struct node_addrs *node)
{
	for (size_t i = 0; i < change->want.n; i++) {
		const struct kp_vservice *want = &change->want.items[i];

		for (size_t j = 0; j < want->n_frontends; j++)
			if (is_newly_served(change, want, &want->frontends[j]))
				add_untranslated(stale, want, &want->frontends[j], node);
	}
}

static bool serves_new_node_port(const struct kp_change *change)
{
	for (size_t i = 0; i < change->want.n; i++) {
		const struct kp_vservice *want = &change->want.items[i];

		for (size_t j = 0; j < want->n_frontends; j++)
			if (want->frontends[j].type == KP_NODE_PORT &&
			    is_newly_served(change, want, &want->frontends[j]))
				return true;
	}
	return false;
}

bool kp_stale_needs_node_addrs(const struct kp_plan *plan)
{
	for (size_t i = 0; i < plan->n_changes; i++)
		if (serves_new_node_port(&plan->changes[i]))
			return true;
	return false;
}

static void remove_set(struct kp_stale *stale, const struct kp_vservice *v,
		       const struct kp_frontend *f, const struct kp_endpoint_set *set)
{
	for (uint32_t i = 0; i < set->n && stale->flows; i++) {
		struct kp_flow flow = flow_to(v, f, &set->slots[i]);
		struct kp_stale_flow *item = find(stale, &flow);

		if (item)
			drop(stale, item);
	}
}

/* Whatever serves is right for every frontend: flows outlive a change of the traffic policy, and an
 * endpoint that terminates ends them itself (CT-3). */
static void remove_live(struct kp_stale *stale, const struct kp_vservices *want)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct kp_vservice *v = &want->items[i];

		if (v->proto != IPPROTO_UDP)
			continue;
		for (size_t j = 0; j < v->n_frontends; j++) {
			remove_set(stale, v, &v->frontends[j], &v->cluster);
			remove_set(stale, v, &v->frontends[j], &v->local);
			remove_set(stale, v, &v->frontends[j], &v->serving);
		}
	}
}

void kp_stale_update(struct kp_stale *stale, const struct kp_plan *plan,
		     const struct kp_prefix *node_addrs, size_t n_node_addrs)
{
	const struct node_addrs node = {.items = node_addrs, .n = n_node_addrs};

	for (size_t i = 0; i < plan->n_changes; i++) {
		add_all_left(stale, &plan->changes[i]);
		add_newly_served(stale, &plan->changes[i], &node);
	}
	for (size_t i = 0; i < plan->n_changes; i++)
		remove_live(stale, &plan->changes[i].want);
}

static bool has_target(const struct kp_endpoint_set *set, const struct kp_target *like)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (has_in_slot(set, i, like))
			return true;
	return false;
}

/* What is translated to where it was sent looks untranslated, and is right. */
static bool serves_itself(const struct kp_vservice *v, const struct kp_frontend *f)
{
	const struct kp_target self = {.addr = f->addr, .port = f->port};

	return has_target(&v->cluster, &self) || has_target(&v->local, &self) ||
	       has_target(&v->serving, &self);
}

void kp_stale_add_unserved(struct kp_stale *stale, const struct kp_state *state,
			   const struct kp_prefix *node_addrs, size_t n_node_addrs)
{
	const struct node_addrs node = {.items = node_addrs, .n = n_node_addrs};

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next) {
		for (size_t i = 0; i < e->vs.n; i++) {
			const struct kp_vservice *v = &e->vs.items[i];

			for (size_t j = 0; has_endpoints(v) && j < v->n_frontends; j++)
				if (!serves_itself(v, &v->frontends[j]))
					add_untranslated(stale, v, &v->frontends[j], &node);
		}
	}
}
