/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random changes, synced as sync.c does it.  After each sync:
 *
 * - what is installed equals what is built from nothing out of the same objects, slots aside,
 * - endpoints that stayed kept their slots, and with affinity their ids, which no other one got,
 * - the printed plan, applied line by line to a printed state, leads to the printed new state,
 * - and, with the kernel: what is read back is what is installed, and a full comparison by somebody
 *   who knows nothing else finds nothing to do.
 *
 * KP_RANDOM_SEED repeats a run; KP_RANDOM_CHANGES and KP_RANDOM_KERNEL_CHANGES make longer ones. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kproxy/backend.h"
#include "plan/planner.h"
#include "random_world.h"

/* A source of objects and what has been made of them. */
struct side {
	struct kp_tracker *tracker;
	struct kp_store *store;
	struct kp_planner planner;
	struct kp_state installed;
};

struct fixture {
	uint64_t seed;
	struct world *world;
	struct side live;
	bool full;			    /* the next sync is a full one */
	char *printed;			    /* the installed state as the plan's text */
	struct kp_backend *backend, *other; /* NULL: in memory only */
};

static void side_open(struct side *s)
{
	memset(s, 0, sizeof(*s));
	s->tracker = kp_tracker_new(NULL, NULL);
	s->store = kp_store_new(s->tracker);
	s->planner = (struct kp_planner){
		.store = s->store, .tracker = s->tracker, .claims = kp_claims_new()};
}

static void side_close(struct side *s)
{
	kp_state_clear(&s->installed);
	kp_claims_free(s->planner.claims);
	kp_store_free(s->store);
	kp_tracker_free(s->tracker);
}

/* Node ports on the primary addresses, as far as they are known. */
static void build_plan(struct side *s, const struct kp_state *have, bool full, struct kp_plan *ret)
{
	const struct kp_node *node = kp_store_last_node(s->store);
	struct kp_prefix ranges[KP_N_FAMILIES];

	for (int f = 0; f < KP_N_FAMILIES; f++)
		ranges[f] = (struct kp_prefix){.family = f,
					       .addr = node ? node->ip[f] : (struct kp_addr){{0}},
					       .len = node && !kp_addr_is_zero(&node->ip[f])
							      ? kp_family_addr_size(f) * 8
							      : 0};
	kp_planner_build(&s->planner, have, full, ranges, KP_N_FAMILIES, ret);
}

static void install(struct side *s, struct kp_plan *plan)
{
	kp_plan_commit(plan, &s->installed);
	kp_tracker_clear(s->tracker);
}

/* --- states without slot numbers --- */

static int compare_targets(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct kp_target));
}

/* Targets without the padding, which memcmp() would see. */
static struct kp_endpoint_set copy_set(const struct kp_endpoint_set *set)
{
	struct kp_endpoint_set copy = {.n = set->n,
				       .slots = kp_xcalloc(set->n + 1, sizeof(*copy.slots))};

	for (uint32_t i = 0; i < set->n; i++) {
		copy.slots[i].addr = set->slots[i].addr;
		copy.slots[i].port = set->slots[i].port;
		copy.slots[i].id = set->slots[i].id;
	}
	return copy;
}

static struct kp_vservice *add_copy(struct kp_vservices *vs, const struct kp_vservice *v)
{
	struct kp_vservice *copy = kp_vservices_add(vs);

	*copy = *v;
	copy->port_name = kp_name_get(v->port_name);
	copy->frontends = kp_xcalloc(v->n_frontends + 1, sizeof(*v->frontends));
	memcpy(copy->frontends, v->frontends, v->n_frontends * sizeof(*v->frontends));
	copy->sources = kp_xcalloc(v->n_sources + 1, sizeof(*v->sources));
	for (size_t i = 0; i < v->n_sources; i++)
		copy->sources[i] = v->sources[i];
	copy->cluster = copy_set(&v->cluster);
	copy->local = copy_set(&v->local);
	copy->serving = copy_set(&v->serving);
	return copy;
}

static void sort_slots(struct kp_endpoint_set *set)
{
	qsort(set->slots, set->n, sizeof(*set->slots), compare_targets);
}

static void copy_sorted(const struct kp_vservices *vs, struct kp_vservices *ret)
{
	for (size_t i = 0; i < vs->n; i++) {
		struct kp_vservice *copy = add_copy(ret, &vs->items[i]);

		sort_slots(&copy->cluster);
		sort_slots(&copy->local);
	}
}

static void assert_same_but_slots(const char *owner, const struct kp_vservices *a,
				  const struct kp_vservices *b)
{
	struct kp_vservices sa = {0}, sb = {0};
	bool equal;

	copy_sorted(a, &sa);
	copy_sorted(b, &sb);
	equal = kp_vservices_equal(&sa, &sb);
	kp_vservices_clear(&sa);
	kp_vservices_clear(&sb);
	if (!equal)
		fail_msg("%s differs from what is built from nothing", owner);
}

/* Builds everything anew and compares; '*ret' is a full plan from what is installed, made by the
 * side that knows nothing of the past. */
static void check_rebuilt(const struct fixture *f, struct side *fresh, struct kp_plan *ret)
{
	const struct kp_state *installed = &f->live.installed;
	size_t n = 0;

	side_open(fresh);
	world_put_all(f->world, fresh->store);
	build_plan(fresh, installed, true, ret);
	for (size_t i = 0; i < ret->n_changes; i++) {
		const char *owner = ret->changes[i].owner;
		const struct kp_vservices *have = kp_state_get(installed, owner);

		n += have->n > 0;
		assert_same_but_slots(owner, have, &ret->changes[i].want);
		/* Slots have no reason to move. */
		assert_true(kp_vservices_equal(have, &ret->changes[i].want));
	}
	assert_int_equal(n, HASH_COUNT(installed->entries));
	assert_false(ret->facts_changed);
}

/* --- slots --- */

static const struct kp_target *find_slot(const struct kp_endpoint_set *set,
					 const struct kp_target *target)
{
	const struct kp_target *found = NULL;

	for (uint32_t i = 0; i < set->n; i++) {
		if (set->slots[i].port != target->port ||
		    !kp_addr_equal(&set->slots[i].addr, &target->addr))
			continue;
		assert_null(found);
		found = &set->slots[i];
	}
	return found;
}

static void check_set(const struct kp_endpoint_set *before, const struct kp_endpoint_set *after)
{
	for (uint32_t i = 0; i < after->n; i++)
		assert_ptr_equal(find_slot(after, &after->slots[i]), &after->slots[i]);
	for (uint32_t i = 0; i < before->n && i < after->n; i++) {
		const struct kp_target *found = find_slot(after, &before->slots[i]);

		if (found)
			assert_ptr_equal(found, &after->slots[i]);
	}
}

/* --- affinity --- */

static uint16_t id_of(const struct kp_vservice *v, const struct kp_target *target)
{
	const struct kp_target *found = find_slot(&v->cluster, target);

	found = found ? found : find_slot(&v->local, target);
	return found ? found->id : 0;
}

static void mark_ids(const struct kp_vservice *v, const struct kp_endpoint_set *set,
		     const struct kp_target *owners[KP_MAX_ENDPOINT_ID + 1])
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct kp_target *target = &set->slots[i], *other = owners[target->id];

		assert_int_equal(target->id != 0, v->affinity.id != 0);
		assert_true(target->id == 0 || !other ||
			    (other->port == target->port &&
			     kp_addr_equal(&other->addr, &target->addr)));
		owners[target->id] = target;
	}
}

/* An endpoint that stayed keeps its id, and a new one has an id that none had before. */
static void check_new_ids(const struct kp_vservice *before, const struct kp_vservice *after,
			  const struct kp_endpoint_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		uint16_t old = id_of(before, &set->slots[i]);

		if (old)
			assert_int_equal(set->slots[i].id, old);
		else
			assert_in_range(set->slots[i].id, before->affinity.last_endpoint_id + 1,
					after->affinity.last_endpoint_id);
	}
}

static void check_ids(const struct kp_vservice *before, const struct kp_vservice *after)
{
	const struct kp_target *owners[KP_MAX_ENDPOINT_ID + 1] = {NULL};

	assert_int_equal(after->affinity.id != 0, after->affinity.timeout_s != 0);
	mark_ids(after, &after->cluster, owners);
	mark_ids(after, &after->local, owners);
	if (!before->affinity.id || !after->affinity.id)
		return;
	assert_int_equal(before->affinity.id, after->affinity.id);
	check_new_ids(before, after, &after->cluster);
	check_new_ids(before, after, &after->local);
}

static void check_service_ids(const struct kp_state *state)
{
	bool used[KP_N_FAMILIES][KP_MAX_AFFINITY_ID + 1] = {{false}};

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next) {
		for (size_t i = 0; i < e->vs.n; i++) {
			const struct kp_vservice *v = &e->vs.items[i];

			assert_false(v->affinity.id && used[v->family][v->affinity.id]);
			used[v->family][v->affinity.id] = true;
		}
	}
}

static void check_changes(const struct kp_plan *plan)
{
	static const struct kp_vservice nothing;

	for (size_t i = 0; i < plan->n_changes; i++) {
		const struct kp_change *c = &plan->changes[i];

		for (size_t j = 0; j < c->want.n; j++) {
			const struct kp_vservice *after = &c->want.items[j];
			const struct kp_vservice *before = kp_vservices_find(c->have, after);

			before = before ? before : &nothing;
			check_set(&before->cluster, &after->cluster);
			check_set(&before->local, &after->local);
			check_ids(before, after);
		}
	}
}

/* --- the plan as text --- */

static char *print_plan(const struct kp_plan *plan)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	kp_plan_print(plan, out);
	fclose(out);
	return text;
}

/* All that is installed, as the plan that would make it. */
static char *print_state(const struct kp_state *state)
{
	struct kp_plan plan = {.facts = state->facts, .facts_changed = true};
	static const struct kp_vservices nothing;
	char *text;

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next) {
		struct kp_vservices borrowed = e->vs;

		kp_plan_add(&plan, e->owner, &nothing, &borrowed);
	}
	text = print_plan(&plan);
	free(plan.changes);
	return text;
}

struct lines {
	size_t n, cap;
	char **items;
};

static void add_line(struct lines *lines, char *line)
{
	if (lines->n == lines->cap) {
		lines->cap = lines->cap ? 2 * lines->cap : 64;
		lines->items = kp_xrealloc(lines->items, lines->cap * sizeof(*lines->items));
	}
	lines->items[lines->n++] = line;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Cuts 'text' into lines, in place. */
static void split(char *text, struct lines *ret)
{
	char *save, *line = strtok_r(text, "\n", &save);

	for (; line; line = strtok_r(NULL, "\n", &save))
		add_line(ret, line);
}

static void remove_line(struct lines *lines, const char *what)
{
	for (size_t i = 0; i < lines->n; i++) {
		if (strcmp(lines->items[i] + 1, what) != 0)
			continue;
		lines->items[i] = lines->items[--lines->n];
		return;
	}
	fail_msg("the plan removes what is not there:%s", what);
}

/* Lines with '=' tell facts; the first one replaces all. */
static void apply_lines(struct lines *state, const struct lines *plan)
{
	if (plan->n > 0 && plan->items[0][0] == '=') {
		size_t kept = 0;

		for (size_t i = 0; i < state->n; i++)
			if (state->items[i][0] != '=')
				state->items[kept++] = state->items[i];
		state->n = kept;
	}
	for (size_t i = 0; i < plan->n; i++)
		if (plan->items[i][0] == '-')
			remove_line(state, plan->items[i] + 1);
	for (size_t i = 0; i < plan->n; i++)
		if (plan->items[i][0] != '-')
			add_line(state, plan->items[i]);
}

static void assert_same_lines(struct lines *a, struct lines *b)
{
	qsort(a->items, a->n, sizeof(*a->items), compare_lines);
	qsort(b->items, b->n, sizeof(*b->items), compare_lines);
	for (size_t i = 0; i < a->n && i < b->n; i++)
		assert_string_equal(a->items[i], b->items[i]);
	assert_int_equal(a->n, b->n);
}

/* 'text' is the printed plan that led to what is installed now. */
static void check_text(struct fixture *f, char *text)
{
	char *after = print_state(&f->live.installed), *kept = kp_xstrdup(after);
	struct lines state = {0}, plan = {0}, expected = {0};

	split(f->printed, &state);
	split(text, &plan);
	split(after, &expected);
	apply_lines(&state, &plan);
	assert_same_lines(&state, &expected);
	free(state.items);
	free(plan.items);
	free(expected.items);
	free(after);
	free(f->printed);
	f->printed = kept;
}

/* --- the kernel --- */

static void assert_ok(int r, const struct kp_err *err)
{
	if (r < 0)
		fail_msg("%s", err->text);
}

static void check_readback(const struct fixture *f, struct kp_state *found)
{
	const struct kp_state *installed = &f->live.installed;

	assert_int_equal(HASH_COUNT(found->entries), HASH_COUNT(installed->entries));
	for (const struct kp_state_entry *e = found->entries; e; e = e->hh.next)
		if (!kp_vservices_equal(&e->vs, kp_state_get(installed, e->owner)))
			fail_msg("the kernel differs in %s", e->owner);
	kp_prefixes_normalize(found->facts.node_port_ranges, &found->facts.n_node_port_ranges);
	kp_prefixes_normalize(found->facts.service_cidrs, &found->facts.n_service_cidrs);
	assert_true(kp_facts_equal(&found->facts, &installed->facts));
}

/* As after a restart: 'fresh' knows the objects, and the rest out of the kernel. */
static void check_kernel(struct fixture *f, struct side *fresh)
{
	struct kp_apply_stats stats = {0};
	struct kp_state found = {0};
	struct kp_plan plan = {0};
	struct kp_err err;

	assert_ok(kp_nft_backend.readback(f->other, &found, &err), &err);
	check_readback(f, &found);
	build_plan(fresh, &found, true, &plan);
	assert_ok(kp_nft_backend.apply(f->other, &plan, &stats, &err), &err);
	/* Chains that nothing needs any more go in a full comparison only. */
	if (stats.restructured)
		f->full = true;
	else
		assert_int_equal(stats.n_ops, 0);
	kp_plan_clear(&plan);
	kp_state_clear(&found);
}

static void apply_to_kernel(struct fixture *f, const struct kp_plan *plan)
{
	struct kp_apply_stats stats = {0};
	struct kp_err err;

	assert_ok(kp_nft_backend.apply(f->backend, plan, &stats, &err), &err);
}

/* --- the run --- */

static void sync_once(struct fixture *f)
{
	struct kp_plan plan = {0};
	char *text;

	build_plan(&f->live, &f->live.installed, f->full, &plan);
	/* A sync that fails changes nothing, and the next one is full. */
	if (world_below(f->world, 50) == 0) {
		kp_plan_clear(&plan);
		f->full = true;
		return;
	}
	check_changes(&plan);
	text = print_plan(&plan);
	if (f->backend && !kp_plan_is_empty(&plan))
		apply_to_kernel(f, &plan);
	install(&f->live, &plan);
	check_service_ids(&f->live.installed);
	f->full = false;
	check_text(f, text);
	free(text);
}

static void check(struct fixture *f)
{
	struct kp_plan plan = {0};
	struct side fresh;

	check_rebuilt(f, &fresh, &plan);
	if (f->backend)
		check_kernel(f, &fresh);
	kp_plan_clear(&plan);
	side_close(&fresh);
}

static void run(struct fixture *f, unsigned long n_changes)
{
	f->world = world_new(f->seed);
	f->printed = kp_xstrdup("");
	f->full = true;
	side_open(&f->live);
	for (unsigned long i = 0; i < n_changes;) {
		/* Mostly one change a sync, sometimes several that are merged. */
		unsigned int n = world_below(f->world, 4) ? 1 : 1 + world_below(f->world, 5);

		for (; n > 0; n--, i++)
			world_change(f->world, f->live.store);
		sync_once(f);
		if (!f->full)
			check(f);
	}
	side_close(&f->live);
	free(f->printed);
	world_free(f->world);
}

static unsigned long number_from(const char *variable, unsigned long otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static uint64_t pick_seed(void)
{
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = number_from("KP_RANDOM_SEED", now.tv_sec * 1000000007UL + now.tv_nsec);
	print_message("# KP_RANDOM_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static void test_random_changes_equal_a_rebuild(void **state)
{
	struct fixture f = {.seed = pick_seed()};

	(void)state;
	run(&f, number_from("KP_RANDOM_CHANGES", 10000));
}

static void test_random_changes_leave_the_kernel_in_step(void **state)
{
	const struct kp_settings settings = {.masquerade_mark = 1 << 14};
	struct fixture f = {.seed = pick_seed()};
	struct kp_err err;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_ok(kp_nft_backend.open(&settings, &f.backend, &err), &err);
	assert_ok(kp_nft_backend.open(&settings, &f.other, &err), &err);
	run(&f, number_from("KP_RANDOM_KERNEL_CHANGES", 300));
	kp_nft_backend.close(f.other);
	kp_nft_backend.close(f.backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes_equal_a_rebuild),
		cmocka_unit_test(test_random_changes_leave_the_kernel_in_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
