/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/backend.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "bpf/addrs.h"
#include "bpf/decide.h"
#include "bpf/programs.h"
#include "bpf/ranges.h"
#include "bpf/sockets.h"
#include "bpf/stale.h"
#include "kproxy/clock.h"
#include "kproxy/log.h"

enum {
	MIN_FRONTENDS = 1024,
	MIN_ENDPOINTS = 4096
};

struct kp_bpf {
	struct kp_hook_settings settings;
	struct kp_bpf_cgroup cgroup;
	/* The generation that is attached; NULL before the first full plan. */
	struct kp_bpf_programs *programs;
	struct kp_bpf_table *tables[KP_N_FAMILIES];
	struct kp_bpf_sockets *sockets; /* opened when needed */
	bool overfull;
	struct kp_facts facts; /* the node port ranges of the last plan */
};

/* A generation that is being made. */
struct generation {
	struct kp_bpf_sizes sizes[KP_N_FAMILIES];
	struct kp_bpf_programs *programs;
	struct kp_bpf_table *tables[KP_N_FAMILIES];
};

int kp_bpf_open(const struct kp_hook_settings *settings, struct kp_bpf **ret, struct kp_err *err)
{
	struct kp_bpf_cgroup cgroup;
	struct kp_bpf *bpf;
	int r = kp_bpf_open_cgroup(settings->cgroup_root, &cgroup, err);

	if (r < 0)
		return r;
	bpf = kp_xcalloc(1, sizeof(*bpf));
	bpf->settings = *settings;
	bpf->cgroup = cgroup;
	*ret = bpf;
	return 0;
}

static void generation_clear(struct generation *g)
{
	for (int f = 0; f < KP_N_FAMILIES; f++)
		kp_bpf_table_free(g->tables[f]);
	kp_bpf_programs_free(g->programs);
}

/* Frees the attached generation's part in this process. */
static void let_go(struct kp_bpf *bpf)
{
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		kp_bpf_table_free(bpf->tables[f]);
		bpf->tables[f] = NULL;
	}
	kp_bpf_sockets_close(bpf->sockets);
	bpf->sockets = NULL;
	kp_bpf_programs_free(bpf->programs);
	bpf->programs = NULL;
}

void kp_bpf_close(struct kp_bpf *bpf)
{
	if (!bpf)
		return;
	let_go(bpf);
	kp_facts_clear(&bpf->facts);
	close(bpf->cgroup.fd);
	free(bpf);
}

static int load(const struct kp_bpf *bpf, struct generation *g, struct kp_err *err)
{
	int r = kp_bpf_programs_load(&bpf->settings, g->sizes, bpf->programs, &g->programs, err);

	for (int f = 0; f < KP_N_FAMILIES && r == 0; f++)
		g->tables[f] = kp_bpf_table_new(f, kp_bpf_programs_memory(g->programs, f));
	return r;
}

/* Every socket from now on meets this generation, complete as it is. */
static int swap(struct kp_bpf *bpf, struct generation *g, const struct kp_facts *facts,
		struct kp_apply_stats *stats, struct kp_err *err)
{
	int r = kp_bpf_addrs_sync(kp_bpf_programs_node_addrs(g->programs), facts, err);

	if (r == 0)
		r = kp_bpf_programs_attach(g->programs, bpf->programs, &bpf->cgroup, &stats->n_ops,
					   err);
	if (r < 0)
		return r;
	let_go(bpf);
	bpf->programs = KP_TAKE(g->programs);
	for (int f = 0; f < KP_N_FAMILIES; f++)
		bpf->tables[f] = KP_TAKE(g->tables[f]);
	return 0;
}

static int put_error(const char *owner, int r, struct kp_err *err)
{
	return kp_err_errno(err, -r, "BPF maps, Service %s", owner);
}

/* Puts all frontends that the hooks serve.  -ENOSPC without a kp_err: bigger maps are needed. */
static int put_vservices(const struct kp_bpf *bpf, struct kp_bpf_table *const tables[KP_N_FAMILIES],
			 const char *owner, const struct kp_vservices *vs, struct kp_err *err)
{
	for (size_t i = 0; i < vs->n; i++) {
		const struct kp_vservice *v = &vs->items[i];

		for (size_t j = 0; j < v->n_frontends; j++) {
			struct kp_bpf_dial dial = kp_bpf_dial_of(v, &v->frontends[j]);
			int r;

			if (kp_bpf_decide(v, &v->frontends[j], bpf->settings.udp) != KP_BPF_HOOKED)
				continue;
			r = kp_bpf_table_put(tables[v->family], &dial,
					     kp_bpf_endpoints(v, &v->frontends[j]), &v->serving,
					     kp_clock_us());
			if (r < 0)
				return r == -ENOSPC ? r : put_error(owner, r, err);
		}
	}
	return 0;
}

/* Room for twice of what is wanted. */
static void measure(const struct kp_bpf *bpf, const struct kp_plan *plan,
		    struct kp_bpf_sizes sizes[KP_N_FAMILIES])
{
	for (int f = 0; f < KP_N_FAMILIES; f++)
		sizes[f] = (struct kp_bpf_sizes){MIN_FRONTENDS / 2, MIN_ENDPOINTS / 2};
	for (size_t i = 0; i < plan->n_changes; i++) {
		const struct kp_vservices *vs = &plan->changes[i].want;

		for (size_t j = 0; j < vs->n; j++) {
			const struct kp_vservice *v = &vs->items[j];

			for (size_t k = 0; k < v->n_frontends; k++) {
				const struct kp_frontend *f = &v->frontends[k];

				if (kp_bpf_decide(v, f, bpf->settings.udp) != KP_BPF_HOOKED)
					continue;
				sizes[v->family].n_frontends++;
				sizes[v->family].n_endpoints +=
					kp_bpf_ranges_round(kp_bpf_endpoints(v, f)->n);
			}
		}
	}
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		sizes[f].n_frontends = kp_bpf_ranges_round(2 * sizes[f].n_frontends);
		sizes[f].n_endpoints = kp_bpf_ranges_round(2 * sizes[f].n_endpoints);
	}
}

static bool is_stale(void *arg, const struct kp_bpf_record *record)
{
	const struct kp_bpf *bpf = arg;

	return kp_bpf_is_stale(bpf->tables, record);
}

/* Sockets that stay behind are no reason to give the hooks up. */
static void repoint_sockets(struct kp_bpf *bpf)
{
	struct kp_bpf_repointed n;
	struct kp_err err = KP_ERR_INIT;
	int r = 0;

	if (!bpf->sockets)
		r = kp_bpf_sockets_open(kp_bpf_programs_records(bpf->programs), &bpf->sockets,
					&err);
	if (r == 0)
		r = kp_bpf_sockets_repoint(bpf->sockets, is_stale, bpf, &n, &err);
	if (r < 0)
		kp_log_warn("bpf", "connected UDP sockets stay with endpoints that are gone",
			    "error=%s", kp_log_quote(err.text));
	else if (n.n_moved < n.n_stale)
		kp_log_warn("bpf", "connected UDP sockets stay with endpoints that are gone",
			    "sockets=%zu", n.n_stale - n.n_moved);
	if (r == 0 && n.n_moved > 0)
		kp_log_info("bpf", "connected UDP sockets moved to other endpoints", "sockets=%zu",
			    n.n_moved);
}

static int apply_full(struct kp_bpf *bpf, const struct kp_plan *plan, struct kp_apply_stats *stats,
		      struct kp_err *err)
{
	struct generation g = {0};
	int r;

	measure(bpf, plan, g.sizes);
	r = load(bpf, &g, err);
	for (size_t i = 0; i < plan->n_changes && r == 0; i++)
		r = put_vservices(bpf, g.tables, plan->changes[i].owner, &plan->changes[i].want,
				  err);
	if (r == 0)
		r = swap(bpf, &g, &plan->facts, stats, err);
	if (r == 0)
		bpf->overfull = false;
	generation_clear(&g);
	return r;
}

/* Maps of twice the size. */
static int load_larger(const struct kp_bpf *bpf, struct generation *g, struct kp_err *err)
{
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		const struct kp_bpf_memory *m = kp_bpf_programs_memory(bpf->programs, f);

		g->sizes[f] = (struct kp_bpf_sizes){2 * m->n_frontends, 2 * m->n_endpoints};
	}
	return load(bpf, g, err);
}

/* There are no larger maps to be had: what does not fit is left to nft, and all else goes on. */
static void give_up_growing(struct kp_bpf *bpf, const char *owner, const struct kp_err *why)
{
	bpf->overfull = true;
	kp_log_error("bpf",
		     "the BPF maps are full and cannot grow; what does not fit goes through nft",
		     "service=%s error=%s", owner, kp_log_quote(why->text));
}

/* Moves everything into larger maps, or gives that up. */
static int grow(struct kp_bpf *bpf, const char *owner, const struct kp_facts *facts,
		struct kp_apply_stats *stats, struct kp_err *err)
{
	struct generation g = {0};
	struct kp_err why = KP_ERR_INIT;
	int r = load_larger(bpf, &g, &why);

	for (int f = 0; f < KP_N_FAMILIES && r == 0; f++) {
		r = kp_bpf_table_copy(bpf->tables[f], g.tables[f], kp_clock_us());
		if (r < 0)
			r = kp_err_errno(&why, -r, "copy BPF maps");
	}
	if (r == 0)
		r = swap(bpf, &g, facts, stats, err);
	else {
		give_up_growing(bpf, owner, &why);
		r = 0;
	}
	generation_clear(&g);
	return r;
}

bool kp_bpf_can_grow(const struct kp_bpf *bpf)
{
	struct generation g = {0};
	struct kp_err ignored = KP_ERR_INIT;
	int r = load_larger(bpf, &g, &ignored);

	generation_clear(&g);
	return r == 0;
}

bool kp_bpf_is_overfull(const struct kp_bpf *bpf)
{
	return bpf->overfull;
}

struct dials {
	size_t n, cap;
	struct keyed_dial {
		uint8_t family;
		struct kp_bpf_dial dial;
	} * items;
};

static int compare_dials(const void *va, const void *vb)
{
	const struct keyed_dial *a = va, *b = vb;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(&a->dial, &b->dial, sizeof(a->dial));
}

static void collect(const struct kp_bpf *bpf, const struct kp_vservices *vs, struct dials *ret)
{
	for (size_t i = 0; i < vs->n; i++) {
		const struct kp_vservice *v = &vs->items[i];

		for (size_t j = 0; j < v->n_frontends; j++) {
			if (kp_bpf_decide(v, &v->frontends[j], bpf->settings.udp) != KP_BPF_HOOKED)
				continue;
			if (ret->n == ret->cap) {
				ret->cap = ret->cap ? 2 * ret->cap : 16;
				ret->items = kp_xrealloc(ret->items,
							 ret->cap * sizeof(*ret->items));
			}
			ret->items[ret->n++] = (struct keyed_dial){
				.family = v->family, .dial = kp_bpf_dial_of(v, &v->frontends[j])};
		}
	}
}

/* Removes the frontends that were served, and that nobody wants to be now. */
static int remove_stale(struct kp_bpf *bpf, const struct kp_plan *plan, struct kp_err *err)
{
	struct dials have = {0}, want = {0};
	int r = 0;

	for (size_t i = 0; i < plan->n_changes; i++) {
		collect(bpf, plan->changes[i].have, &have);
		collect(bpf, &plan->changes[i].want, &want);
	}
	if (want.n > 1)
		qsort(want.items, want.n, sizeof(*want.items), compare_dials);
	for (size_t i = 0; i < have.n && r == 0; i++) {
		if (want.n > 0 &&
		    bsearch(&have.items[i], want.items, want.n, sizeof(*want.items), compare_dials))
			continue;
		r = kp_bpf_table_remove(bpf->tables[have.items[i].family], &have.items[i].dial,
					kp_clock_us());
		if (r < 0)
			r = kp_err_errno(err, -r, "remove a service from the BPF maps");
	}
	free(have.items);
	free(want.items);
	return r;
}

/* A hook that does not know a frontend leaves it to nft. */
static int remove_vservices(struct kp_bpf *bpf, const struct kp_vservices *vs, struct kp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < vs->n; i++) {
		const struct kp_vservice *v = &vs->items[i];

		for (size_t j = 0; j < v->n_frontends && r == 0; j++) {
			struct kp_bpf_dial dial = kp_bpf_dial_of(v, &v->frontends[j]);

			r = kp_bpf_table_remove(bpf->tables[v->family], &dial, kp_clock_us());
		}
	}
	return r < 0 ? kp_err_errno(err, -r, "remove a service from the BPF maps") : 0;
}

static int put_change(struct kp_bpf *bpf, const struct kp_plan *plan,
		      const struct kp_change *change, struct kp_apply_stats *stats,
		      struct kp_err *err)
{
	for (;;) {
		int r = put_vservices(bpf, bpf->tables, change->owner, &change->want, err);

		if (r != -ENOSPC)
			return r;
		if (bpf->overfull)
			return remove_vservices(bpf, &change->want, err);
		r = grow(bpf, change->owner, &plan->facts, stats, err);
		if (r < 0)
			return r;
	}
}

static int apply_incremental(struct kp_bpf *bpf, const struct kp_plan *plan,
			     struct kp_apply_stats *stats, struct kp_err *err)
{
	int r = 0;

	for (size_t i = 0; i < plan->n_changes && r == 0; i++)
		r = put_change(bpf, plan, &plan->changes[i], stats, err);
	if (r == 0)
		r = remove_stale(bpf, plan, err);
	if (r == 0 && plan->facts_changed)
		r = kp_bpf_addrs_sync(kp_bpf_programs_node_addrs(bpf->programs), &plan->facts, err);
	return r;
}

static void remember_ranges(struct kp_bpf *bpf, const struct kp_facts *facts)
{
	kp_facts_clear(&bpf->facts);
	for (size_t i = 0; i < facts->n_node_port_ranges; i++)
		kp_prefixes_add(&bpf->facts.node_port_ranges, &bpf->facts.n_node_port_ranges,
				&facts->node_port_ranges[i]);
}

void kp_bpf_follow_addrs(struct kp_bpf *bpf)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_bpf_addrs_sync(kp_bpf_programs_node_addrs(bpf->programs), &bpf->facts, &err) < 0)
		kp_log_warn("bpf", "socket hooks do not follow the node's addresses", "error=%s",
			    kp_log_quote(err.text));
}

bool kp_bpf_is_in_place(const struct kp_bpf *bpf)
{
	return kp_bpf_programs_are_in_place(bpf->programs, &bpf->cgroup);
}

int kp_bpf_apply(struct kp_bpf *bpf, const struct kp_plan *plan, struct kp_apply_stats *stats,
		 struct kp_err *err)
{
	int r = plan->full ? apply_full(bpf, plan, stats, err)
			   : apply_incremental(bpf, plan, stats, err);

	if (r == 0)
		remember_ranges(bpf, &plan->facts);
	/* After a full plan, endpoints may have gone while nobody looked. */
	if (r == 0 && bpf->settings.udp && (plan->full || kp_bpf_may_strand_sockets(plan)))
		repoint_sockets(bpf);
	return r;
}
