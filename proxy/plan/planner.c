/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two passes: the first builds what the marked owners want and settles who owns which frontend,
 * which may concern further owners; the second compares with what is installed. */
#include "plan/planner.h"

#include <stdlib.h>

#include "plan/desired.h"
#include "plan/slots.h"

struct names {
	size_t n, cap;
	const char **items;
};

struct pass {
	struct kp_planner *planner;
	const struct kp_state *have;
	struct kp_plan *plan;
	const struct kp_node *node;
	struct names names;
};

static void collect_name(void *arg, const char *key)
{
	struct names *names = arg;

	if (names->n == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 16;
		names->items = kp_xrealloc(names->items, names->cap * sizeof(*names->items));
	}
	names->items[names->n++] = key;
}

static void mark_affected(void *arg, const char *owner)
{
	struct pass *pass = arg;

	kp_tracker_mark_service(pass->planner->tracker, owner);
}

static void report_conflict(void *arg, const char *loser, const char *winner,
			    const struct kp_vservice *v, const struct kp_frontend *f)
{
	struct pass *pass = arg;

	if (pass->planner->conflict)
		pass->planner->conflict(loser, winner, v, f);
}

static int64_t build_wanted(const struct pass *pass, const char *owner, struct kp_vservices *ret)
{
	struct kp_store_service service;

	if (!kp_store_get(pass->planner->store, owner, &service))
		return 0;
	kp_desired_build(&service, pass->node, ret);
	return service.service ? service.service->created_s : 0;
}

static struct kp_claims_events claims_events(struct pass *pass)
{
	return (struct kp_claims_events){
		.affected = mark_affected, .conflict = report_conflict, .arg = pass};
}

static void add_wanted(struct pass *pass, const char *owner, bool claim)
{
	const struct kp_claims_events events = claims_events(pass);
	struct kp_vservices want = {0};
	int64_t created_s = build_wanted(pass, owner, &want);

	if (claim)
		kp_claims_update(pass->planner->claims, owner, created_s, &want, &events);
	kp_plan_add(pass->plan, owner, kp_state_get(pass->have, owner), &want);
}

/* Owners that lost or won a frontend only through others have their claims already. */
static void add_affected(struct pass *pass)
{
	struct names all = {0};
	size_t next = 0;

	kp_tracker_each(pass->planner->tracker, collect_name, &all);
	/* Both lists are sorted, and the first is part of the second. */
	for (size_t i = 0; i < all.n; i++) {
		if (next < pass->names.n && strcmp(pass->names.items[next], all.items[i]) == 0)
			next++;
		else
			add_wanted(pass, all.items[i], false);
	}
	free(all.items);
}

static void assign_affinity(struct kp_planner *planner, struct kp_change *change)
{
	if (kp_affinity_assign(&planner->affinity_ids, &change->want, change->have) < 0 &&
	    planner->no_affinity)
		planner->no_affinity(change->owner);
}

/* Keeps the changes that change something; a full plan keeps all, because the backend compares
 * it with the kernel. */
static void settle(struct pass *pass)
{
	const struct kp_claims_events events = claims_events(pass);
	struct kp_plan *plan = pass->plan;
	size_t kept = 0;

	for (size_t i = 0; i < plan->n_changes; i++) {
		struct kp_change *change = &plan->changes[i];

		kp_claims_filter(pass->planner->claims, change->owner, &change->want, &events);
		kp_desired_prune(&change->want);
		kp_slots_keep(&change->want, change->have);
		assign_affinity(pass->planner, change);
		if (!plan->full && kp_vservices_equal(&change->want, change->have) &&
		    kp_vservices_serve_equal(&change->want, change->have))
			kp_vservices_clear(&change->want);
		else
			plan->changes[kept++] = *change;
	}
	plan->n_changes = kept;
}

static void add_service_cidr(void *arg, const struct kp_prefix *cidr)
{
	struct kp_facts *facts = arg;

	kp_prefixes_add(&facts->service_cidrs, &facts->n_service_cidrs, cidr);
}

static void build_facts(struct pass *pass, const struct kp_prefix *node_ports, size_t n)
{
	struct kp_facts *facts = &pass->plan->facts;

	for (size_t i = 0; i < n; i++)
		kp_prefixes_add(&facts->node_port_ranges, &facts->n_node_port_ranges,
				&node_ports[i]);
	kp_store_each_service_cidr(pass->planner->store, add_service_cidr, facts);
	kp_prefixes_normalize(facts->node_port_ranges, &facts->n_node_port_ranges);
	kp_prefixes_normalize(facts->service_cidrs, &facts->n_service_cidrs);
	pass->plan->facts_changed = !kp_facts_equal(facts, &pass->have->facts);
}

/* A full plan concerns all that the store knows and all that is installed. */
static void mark_all(struct kp_planner *planner, const struct kp_state *have)
{
	kp_store_mark_all(planner->store);
	for (const struct kp_state_entry *e = have->entries; e; e = e->hh.next)
		kp_tracker_mark_service(planner->tracker, e->owner);
}

void kp_planner_build(struct kp_planner *planner, const struct kp_state *have, bool full,
		      const struct kp_prefix *node_ports, size_t n_node_ports, struct kp_plan *ret)
{
	struct pass pass = {.planner = planner,
			    .have = have,
			    .plan = ret,
			    .node = kp_store_last_node(planner->store)};

	ret->full = full;
	ret->have_facts = &have->facts;
	if (full) {
		kp_affinity_ids_reset(&planner->affinity_ids, have);
		mark_all(planner, have);
	}
	kp_tracker_each(planner->tracker, collect_name, &pass.names);
	for (size_t i = 0; i < pass.names.n; i++)
		add_wanted(&pass, pass.names.items[i], true);
	add_affected(&pass);
	free(pass.names.items);
	settle(&pass);
	build_facts(&pass, node_ports, n_node_ports);
}

bool kp_plan_is_empty(const struct kp_plan *plan)
{
	return !plan->full && plan->n_changes == 0 && !plan->facts_changed;
}
