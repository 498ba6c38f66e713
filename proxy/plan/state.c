/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory and order of the vocabulary in kproxy/plan.h. */
#include <stdlib.h>

#include "kproxy/plan.h"

static const struct kp_vservices no_vservices;

const char *kp_frontend_type_name(enum kp_frontend_type type)
{
	static const char *const names[] = {
		[KP_CLUSTER_IP] = "ClusterIP",
		[KP_NODE_PORT] = "NodePort",
		[KP_EXTERNAL_IP] = "ExternalIP",
		[KP_LOAD_BALANCER_IP] = "LoadBalancerIP",
	};

	return names[type];
}

int kp_target_compare(const void *va, const void *vb)
{
	const struct kp_target *a = va, *b = vb;
	int r = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return r ? r : (int)a->port - (int)b->port;
}

void kp_vservice_clear(struct kp_vservice *v)
{
	kp_name_put(v->port_name);
	free(v->frontends);
	free(v->cluster.slots);
	free(v->local.slots);
	free(v->sources);
	free(v->serving.slots);
	memset(v, 0, sizeof(*v));
}

void kp_vservices_clear(struct kp_vservices *vs)
{
	for (size_t i = 0; i < vs->n; i++)
		kp_vservice_clear(&vs->items[i]);
	free(vs->items);
	*vs = no_vservices;
}

struct kp_vservice *kp_vservices_add(struct kp_vservices *vs)
{
	vs->items = kp_xrealloc(vs->items, (vs->n + 1) * sizeof(*vs->items));
	memset(&vs->items[vs->n], 0, sizeof(*vs->items));
	return &vs->items[vs->n++];
}

struct kp_frontend *kp_vservice_add_frontend(struct kp_vservice *v)
{
	v->frontends = kp_xrealloc(v->frontends, (v->n_frontends + 1) * sizeof(*v->frontends));
	memset(&v->frontends[v->n_frontends], 0, sizeof(*v->frontends));
	return &v->frontends[v->n_frontends++];
}

void kp_endpoint_set_add(struct kp_endpoint_set *set, const struct kp_addr *addr, uint16_t port)
{
	/* Grows at powers of two; small sets, which nearly all are, take what they need. */
	if (set->n < 8)
		set->slots = kp_xrealloc(set->slots, (set->n + 1) * sizeof(*set->slots));
	else if ((set->n & (set->n - 1)) == 0)
		set->slots = kp_xrealloc(set->slots, 2 * set->n * sizeof(*set->slots));
	set->slots[set->n] = (struct kp_target){.addr = *addr, .port = port};
	set->n++;
}

static int compare_identity(const struct kp_vservice *a, const struct kp_vservice *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	return strcmp(a->port_name, b->port_name);
}

static int compare_vservices(const void *a, const void *b)
{
	return compare_identity(a, b);
}

static int compare_frontends(const void *va, const void *vb)
{
	const struct kp_frontend *a = va, *b = vb;
	int r;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	r = memcmp(&a->addr, &b->addr, sizeof(a->addr));
	return r ? r : (int)a->port - (int)b->port;
}

void kp_vservices_sort(struct kp_vservices *vs)
{
	if (vs->n > 1)
		qsort(vs->items, vs->n, sizeof(*vs->items), compare_vservices);
	for (size_t i = 0; i < vs->n; i++) {
		struct kp_vservice *v = &vs->items[i];

		if (v->n_frontends > 1)
			qsort(v->frontends, v->n_frontends, sizeof(*v->frontends),
			      compare_frontends);
	}
}

static bool sets_equal(const struct kp_endpoint_set *a, const struct kp_endpoint_set *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->slots[i].port != b->slots[i].port || a->slots[i].id != b->slots[i].id ||
		    !kp_addr_equal(&a->slots[i].addr, &b->slots[i].addr))
			return false;
	return true;
}

static int compare_prefixes(const void *va, const void *vb)
{
	const struct kp_prefix *a = va, *b = vb;
	int r;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	r = memcmp(&a->addr, &b->addr, sizeof(a->addr));
	return r ? r : (int)a->len - (int)b->len;
}

static bool prefixes_equal(const struct kp_prefix *a, size_t n_a, const struct kp_prefix *b,
			   size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (compare_prefixes(&a[i], &b[i]) != 0)
			return false;
	return true;
}

static bool vservice_equal(const struct kp_vservice *a, const struct kp_vservice *b)
{
	if (compare_identity(a, b) != 0 || a->has_any != b->has_any ||
	    a->n_frontends != b->n_frontends || !sets_equal(&a->cluster, &b->cluster) ||
	    !sets_equal(&a->local, &b->local) || a->affinity.timeout_s != b->affinity.timeout_s ||
	    a->affinity.id != b->affinity.id ||
	    !prefixes_equal(a->sources, a->n_sources, b->sources, b->n_sources))
		return false;
	for (size_t i = 0; i < a->n_frontends; i++)
		if (compare_frontends(&a->frontends[i], &b->frontends[i]) != 0 ||
		    a->frontends[i].policy != b->frontends[i].policy ||
		    a->frontends[i].guarded != b->frontends[i].guarded)
			return false;
	return true;
}

bool kp_vservices_equal(const struct kp_vservices *a, const struct kp_vservices *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!vservice_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

bool kp_vservices_serve_equal(const struct kp_vservices *a, const struct kp_vservices *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!sets_equal(&a->items[i].serving, &b->items[i].serving))
			return false;
	return true;
}

bool kp_vservice_is(const struct kp_vservice *v, const struct kp_vservice *like)
{
	return compare_identity(v, like) == 0;
}

const struct kp_vservice *kp_vservices_find(const struct kp_vservices *vs,
					    const struct kp_vservice *like)
{
	return vs->n ? bsearch(like, vs->items, vs->n, sizeof(*vs->items), compare_vservices)
		     : NULL;
}

void kp_facts_clear(struct kp_facts *facts)
{
	free(facts->node_port_ranges);
	free(facts->service_cidrs);
	memset(facts, 0, sizeof(*facts));
}

void kp_prefixes_add(struct kp_prefix **items, size_t *n, const struct kp_prefix *prefix)
{
	*items = kp_xrealloc(*items, (*n + 1) * sizeof(**items));
	(*items)[(*n)++] = *prefix;
}

void kp_prefixes_normalize(struct kp_prefix *items, size_t *n)
{
	size_t kept = 0;

	if (*n == 0)
		return;
	/* A covering prefix sorts before all that it covers. */
	qsort(items, *n, sizeof(*items), compare_prefixes);
	for (size_t i = 0; i < *n; i++)
		if (kept == 0 ||
		    !kp_prefix_contains(&items[kept - 1], items[i].family, &items[i].addr))
			items[kept++] = items[i];
	*n = kept;
}

bool kp_facts_equal(const struct kp_facts *a, const struct kp_facts *b)
{
	return prefixes_equal(a->node_port_ranges, a->n_node_port_ranges, b->node_port_ranges,
			      b->n_node_port_ranges) &&
	       prefixes_equal(a->service_cidrs, a->n_service_cidrs, b->service_cidrs,
			      b->n_service_cidrs);
}

static void entry_remove(struct kp_state *state, struct kp_state_entry *entry)
{
	HASH_DEL(state->entries, entry);
	kp_vservices_clear(&entry->vs);
	free(entry);
}

void kp_state_clear(struct kp_state *state)
{
	struct kp_state_entry *entry, *tmp;

	HASH_ITER (hh, state->entries, entry, tmp)
		entry_remove(state, entry);
	kp_facts_clear(&state->facts);
	memset(state->last_affinity_id, 0, sizeof(state->last_affinity_id));
}

static struct kp_state_entry *entry_find(const struct kp_state *state, const char *owner)
{
	struct kp_state_entry *entry;

	HASH_FIND_STR(state->entries, owner, entry);
	return entry;
}

const struct kp_vservices *kp_state_get(const struct kp_state *state, const char *owner)
{
	struct kp_state_entry *entry = entry_find(state, owner);

	return entry ? &entry->vs : &no_vservices;
}

struct kp_state_entry *kp_state_entry(struct kp_state *state, const char *owner)
{
	struct kp_state_entry *entry = entry_find(state, owner);

	if (!entry) {
		size_t len = strlen(owner);

		entry = kp_xcalloc(1, sizeof(*entry) + len + 1);
		memcpy(entry->owner, owner, len + 1);
		HASH_ADD_STR(state->entries, owner, entry);
	}
	return entry;
}

void kp_state_put(struct kp_state *state, const char *owner, struct kp_vservices *vs)
{
	struct kp_state_entry *entry;

	if (vs->n == 0) {
		entry = entry_find(state, owner);
		if (entry)
			entry_remove(state, entry);
		kp_vservices_clear(vs);
		return;
	}
	entry = kp_state_entry(state, owner);
	kp_vservices_clear(&entry->vs);
	entry->vs = *vs;
	*vs = no_vservices;
}

static int compare_entries(const struct kp_state_entry *a, const struct kp_state_entry *b)
{
	return strcmp(a->owner, b->owner);
}

void kp_state_sort(struct kp_state *state)
{
	HASH_SORT(state->entries, compare_entries);
}

void kp_plan_clear(struct kp_plan *plan)
{
	for (size_t i = 0; i < plan->n_changes; i++)
		kp_vservices_clear(&plan->changes[i].want);
	free(plan->changes);
	kp_facts_clear(&plan->facts);
	memset(plan, 0, sizeof(*plan));
}

void kp_plan_add(struct kp_plan *plan, const char *owner, const struct kp_vservices *have,
		 struct kp_vservices *want)
{
	/* Grows at powers of two. */
	if ((plan->n_changes & (plan->n_changes - 1)) == 0)
		plan->changes = kp_xrealloc(plan->changes,
					    (plan->n_changes ? 2 * plan->n_changes : 1) *
						    sizeof(*plan->changes));
	plan->changes[plan->n_changes++] =
		(struct kp_change){.owner = owner, .have = have, .want = *want};
	*want = no_vservices;
}

void kp_plan_commit(struct kp_plan *plan, struct kp_state *state)
{
	for (size_t i = 0; i < plan->n_changes; i++)
		kp_state_put(state, plan->changes[i].owner, &plan->changes[i].want);
	if (plan->facts_changed) {
		kp_facts_clear(&state->facts);
		state->facts = plan->facts;
		memset(&plan->facts, 0, sizeof(plan->facts));
	}
	kp_plan_clear(plan);
}
