/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nft backend: plans become transactions of set elements on a constant ruleset.
 *
 * An incremental plan is the difference of two renderings, of what an owner has and of what it
 * wants; a full plan is the difference between a rendering of everything and the kernel itself. */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>

#include "kproxy/backend.h"
#include "nft/difference.h"
#include "nft/list.h"
#include "nft/read.h"
#include "nft/restore.h"
#include "nft/shared.h"
#include "nft/watch.h"

/* How often something is read again that another one's commit made inconsistent. */
enum {
	MAX_TRIES = 8
};

struct kp_backend {
	struct kp_settings settings;
	struct mnl_socket *socket;
	struct kp_nft_watch *watch; /* NULL: nobody has asked for it */
	/* How many virtual services an element of a shared set stands for. */
	struct kp_nft_shared *shared;
	struct kp_nft_features features; /* those whose chains are there */
};

static void backend_close(struct kp_backend *be)
{
	if (!be)
		return;
	kp_nft_watch_close(be->watch);
	if (be->socket)
		mnl_socket_close(be->socket);
	kp_nft_shared_free(be->shared);
	kp_nft_features_clear(&be->features);
	free(be);
}

/* Asks for something small, so that a missing privilege or kernel feature shows at once.  'socket'
 * is NULL when there could be none: the kernel lacks netfilter's netlink as a whole. */
static int probe(struct mnl_socket *socket, struct kp_err *err)
{
	uint32_t generation;
	int r = socket ? kp_nft_read_generation(socket, &generation, err)
		       : kp_err_errno(err, errno, "open a netfilter netlink socket");

	if (r == -EPERM)
		return kp_err_set(err, EPERM,
				  "nftables: operation not permitted; run as root or give the "
				  "process CAP_NET_ADMIN");
	if (r == -EOPNOTSUPP || r == -EPROTONOSUPPORT || r == -EINVAL)
		return kp_err_set(err, EPROTONOSUPPORT,
				  "nftables: not supported by this kernel; load the module "
				  "nf_tables or use a kernel with CONFIG_NF_TABLES");
	return r;
}

static void set_socket_options(struct mnl_socket *socket)
{
	int one = 1, size = 16 * 1024 * 1024, fd = mnl_socket_get_fd(socket);

	/* Answers that name the bad element, without a copy of the request. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	/* Room for all answers of the first transaction. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

static int backend_open(const struct kp_settings *settings, struct kp_backend **ret,
			struct kp_err *err)
{
	struct kp_backend *be = kp_xcalloc(1, sizeof(*be));
	int r;

	be->settings = *settings;
	be->shared = kp_nft_shared_new();
	be->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (be->socket && mnl_socket_bind(be->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		r = kp_err_errno(err, errno, "bind a netfilter netlink socket");
		backend_close(be);
		return r;
	}
	if (be->socket)
		set_socket_options(be->socket);
	r = probe(be->socket, err);
	if (r < 0) {
		backend_close(be);
		return r;
	}
	*ret = be;
	return 0;
}

static int read_sets(struct kp_backend *be, int except, struct kp_nft_elements *ret,
		     struct kp_err *err)
{
	int r = 0;

	for (int family = 0; family < KP_N_FAMILIES && r == 0; family++)
		for (int set = 0; set < KP_N_SETS && r == 0; set++)
			if (set != except && !kp_nft_sets[set].is_dynamic)
				r = kp_nft_read_elements(be->socket, family, set, ret, err);
	return r;
}

/* Reads the elements of all sets that we fill but one (KP_N_SETS: of all), and sorts them.  When
 * someone commits meanwhile, they may not fit together, and are read again, a few times. */
static int read_elements(struct kp_backend *be, int except, struct kp_nft_elements *ret,
			 struct kp_err *err)
{
	uint32_t before = 0, after = 1;
	int r = 0;

	for (int i = 0; i < MAX_TRIES && r == 0 && before != after; i++) {
		kp_nft_elements_clear(ret);
		r = kp_nft_read_generation(be->socket, &before, err);
		if (r == 0)
			r = read_sets(be, except, ret, err);
		if (r == 0)
			r = kp_nft_read_generation(be->socket, &after, err);
	}
	kp_nft_elements_sort(ret);
	return r;
}

/* Records may name ids that were given before and are gone (SA-4). */
static int read_clients(struct kp_backend *be, struct kp_state *state, struct kp_err *err)
{
	struct kp_nft_clients *clients = kp_nft_clients_new(state);
	int r = 0;

	for (int family = 0; family < KP_N_FAMILIES && r == 0; family++)
		r = kp_nft_read_each(be->socket, family, KP_SET_AFFINITY_CLIENTS,
				     kp_nft_clients_note, clients, err);
	free(clients);
	return r;
}

static int backend_readback(struct kp_backend *be, struct kp_state *ret, struct kp_err *err)
{
	struct kp_nft_elements elements = {0};
	/* Hairpins tell nothing that the endpoints do not. */
	int r = read_elements(be, KP_SET_HAIRPINS, &elements, err);

	if (r == 0)
		kp_nft_parse_state(&elements, ret);
	kp_nft_elements_clear(&elements);
	return r < 0 ? r : read_clients(be, ret, err);
}

static int backend_list(struct kp_backend *be, const char *owner, FILE *out, struct kp_err *err)
{
	struct kp_nft_elements elements = {0};
	struct kp_state state = {0};
	int r;

	if (!owner)
		return kp_nft_list_tables(be->socket, out, err);
	r = read_elements(be, KP_N_SETS, &elements, err);
	if (r == 0) {
		kp_nft_parse_state(&elements, &state);
		kp_nft_list_vservices(owner, kp_state_get(&state, owner), &elements, out);
	}
	kp_state_clear(&state);
	kp_nft_elements_clear(&elements);
	return r;
}

/* Says whose element the kernel refused; a repair has no plan, the full one that follows says it.
 */
static void name_culprit(const struct kp_plan *plan, const struct kp_nft_element *culprit,
			 struct kp_err *err)
{
	for (size_t i = 0; plan && i < plan->n_changes; i++) {
		const struct kp_change *change = &plan->changes[i];
		struct kp_nft_elements elements = {0};
		bool found = false;

		kp_nft_render_vservices(change->owner, &change->want, &elements);
		kp_nft_render_vservices(change->owner, change->have, &elements);
		for (size_t j = 0; j < elements.n && !found; j++)
			found = kp_nft_element_compare_keys(&elements.items[j], culprit) == 0;
		kp_nft_elements_clear(&elements);
		if (found) {
			kp_err_wrap(err, "Service %s", change->owner);
			return;
		}
	}
}

static int commit(struct kp_backend *be, struct kp_nft_transaction *t, const struct kp_plan *plan,
		  struct kp_apply_stats *stats, struct kp_err *err)
{
	struct kp_nft_element culprit;
	bool has_culprit;
	int r;

	if (kp_nft_transaction_n_ops(t) == 0)
		return 0;
	r = kp_nft_transaction_commit(t, be->socket, stats, &culprit, &has_culprit, err);
	if (r == 0 && be->watch)
		kp_nft_watch_note_own(be->watch);
	if (r < 0 && has_culprit)
		name_culprit(plan, &culprit, err);
	return r;
}

static void render_changes(struct kp_backend *be, const struct kp_plan *plan,
			   struct kp_nft_transaction *t)
{
	struct kp_nft_elements have = {0}, want = {0};

	for (size_t i = 0; i < plan->n_changes; i++) {
		kp_nft_render_vservices(plan->changes[i].owner, plan->changes[i].have, &have);
		kp_nft_render_vservices(plan->changes[i].owner, &plan->changes[i].want, &want);
	}
	if (plan->facts_changed) {
		kp_nft_render_facts(plan->have_facts, &have);
		kp_nft_render_facts(&plan->facts, &want);
	}
	kp_nft_shared_settle(be->shared, &have, &want);
	kp_nft_elements_sort(&have);
	kp_nft_elements_sort(&want);
	kp_nft_add_difference(t, &have, &want);
	kp_nft_elements_clear(&have);
	kp_nft_elements_clear(&want);
}

/* Chains for what no Service needed until now; true when there are any. */
static bool add_features(struct kp_backend *be, const struct kp_plan *plan)
{
	bool is_new = false;

	for (size_t i = 0; i < plan->n_changes; i++)
		for (size_t j = 0; j < plan->changes[i].want.n; j++)
			is_new |= kp_nft_features_add(&be->features,
						      &plan->changes[i].want.items[j]);
	return is_new;
}

static struct kp_nft_structure structure_of(const struct kp_backend *be)
{
	return (struct kp_nft_structure){.settings = &be->settings, .features = &be->features};
}

/* Adds the chains of features that are new. */
static int add_chains(struct kp_backend *be, struct kp_nft_transaction *t, struct kp_err *err)
{
	const struct kp_nft_structure structure = structure_of(be);
	struct kp_nft_fresh fresh;
	int r = 0;

	for (int family = 0; family < KP_N_FAMILIES && r == 0; family++) {
		r = kp_nft_structure_apply(be->socket, &structure, family, false, t, &fresh, err);
		if (r == 0 && fresh.any)
			r = kp_err_set(err, ESTALE, "table " KP_NFT_TABLE " is not as it was left");
	}
	return r;
}

static int apply_incremental(struct kp_backend *be, const struct kp_plan *plan,
			     struct kp_apply_stats *stats, struct kp_err *err)
{
	struct kp_nft_transaction *t = kp_nft_transaction_new();
	int r = 0;

	if (add_features(be, plan)) {
		r = add_chains(be, t, err);
		stats->restructured = true;
	}
	if (r == 0) {
		render_changes(be, plan, t);
		r = commit(be, t, plan, stats, err);
	}
	kp_nft_transaction_free(t);
	return r;
}

/* What the tables should hold: what a plan leads to, or what a state says. */
struct wanted {
	const struct kp_plan *plan; /* or NULL */
	const struct kp_state *state;
};

/* Drops what was appended since 'n_before' and does not have to be looked at. */
static void keep_concerned(const struct kp_nft_damage *damage, size_t n_before,
			   struct kp_nft_elements *elements)
{
	size_t kept = n_before;

	for (size_t i = n_before; i < elements->n; i++) {
		if (kp_nft_damage_concerns(damage, &elements->items[i]))
			elements->items[kept++] = elements->items[i];
		else
			free(elements->items[i].comment);
	}
	elements->n = kept;
}

static void render_owner(const char *owner, const struct kp_vservices *vs,
			 const struct kp_nft_damage *damage, struct kp_nft_elements *ret)
{
	size_t n_before = ret->n;

	kp_nft_render_vservices(owner, vs, ret);
	keep_concerned(damage, n_before, ret);
}

/* Renders what the damage concerns. */
static void render_wanted(struct kp_backend *be, const struct wanted *wanted,
			  const struct kp_nft_damage *damage, struct kp_nft_elements *ret)
{
	const struct kp_plan *plan = wanted->plan;

	kp_nft_elements_clear(ret);
	kp_nft_render_facts(plan ? &plan->facts : &wanted->state->facts, ret);
	keep_concerned(damage, 0, ret);
	for (size_t i = 0; plan && i < plan->n_changes; i++)
		render_owner(plan->changes[i].owner, &plan->changes[i].want, damage, ret);
	for (const struct kp_state_entry *e = plan ? NULL : wanted->state->entries; e;
	     e = e->hh.next)
		render_owner(e->owner, &e->vs, damage, ret);
	/* A full plan concerns all, so that here are all that share an element. */
	if (plan)
		kp_nft_shared_reset(be->shared, ret);
	kp_nft_elements_sort_unique(ret);
}

/* 'want' was rendered for this damage. */
static int restore_once(struct kp_backend *be, const struct wanted *wanted, bool rebuild,
			struct kp_nft_damage *damage, struct kp_nft_elements *want,
			struct kp_apply_stats *stats, struct kp_err *err)
{
	const struct kp_nft_structure structure = structure_of(be);
	struct kp_nft_transaction *t = kp_nft_transaction_new();
	uint32_t generation;
	bool spread = false;
	int r = kp_nft_read_generation(be->socket, &generation, err);

	if (r == 0) {
		kp_nft_transaction_set_generation(t, generation);
		r = kp_nft_restore_structure(be->socket, &structure, rebuild, damage, t, &spread,
					     err);
		stats->restructured |= kp_nft_transaction_n_ops(t) > 0;
	}
	if (r == 0 && spread)
		render_wanted(be, wanted, damage, want);
	if (r == 0)
		r = kp_nft_restore_elements(be->socket, damage, want, t, err);
	if (r == 0)
		r = commit(be, t, wanted->plan, stats, err);
	kp_nft_transaction_free(t);
	return r;
}

/* Frees 'damage'. */
static int restore(struct kp_backend *be, const struct wanted *wanted, bool rebuild,
		   struct kp_nft_damage *damage, struct kp_apply_stats *stats, struct kp_err *err)
{
	struct kp_nft_elements want = {0};
	int r = -ERESTART;

	render_wanted(be, wanted, damage, &want);
	/* Someone else's transaction may come between reading and writing. */
	for (int i = 0; i < MAX_TRIES && r == -ERESTART; i++)
		r = restore_once(be, wanted, rebuild, damage, &want, stats, err);
	if (r == -EOPNOTSUPP && be->settings.own_table)
		kp_err_wrap(err, "--own-table needs Linux 6.9");
	kp_nft_elements_clear(&want);
	kp_nft_damage_clear(damage);
	return r;
}

static int apply_full(struct kp_backend *be, const struct kp_plan *plan, bool rebuild,
		      struct kp_apply_stats *stats, struct kp_err *err)
{
	struct kp_nft_damage damage = {0};

	/* What was told until now is looked at, too. */
	if (be->watch)
		kp_nft_watch_take_damage(be->watch, &damage);
	kp_nft_damage_all(&damage);
	kp_nft_features_clear(&be->features);
	add_features(be, plan);
	return restore(be, &(struct wanted){.plan = plan}, rebuild, &damage, stats, err);
}

static int backend_repair(struct kp_backend *be, const struct kp_state *state,
			  struct kp_apply_stats *stats, struct kp_err *err)
{
	struct kp_nft_damage damage;

	kp_nft_watch_take_damage(be->watch, &damage);
	return restore(be, &(struct wanted){.state = state}, false, &damage, stats, err);
}

static int backend_apply(struct kp_backend *be, const struct kp_plan *plan,
			 struct kp_apply_stats *stats, struct kp_err *err)
{
	return plan->full ? apply_full(be, plan, false, stats, err)
			  : apply_incremental(be, plan, stats, err);
}

static int backend_rebuild(struct kp_backend *be, const struct kp_plan *plan,
			   struct kp_apply_stats *stats, struct kp_err *err)
{
	return apply_full(be, plan, true, stats, err);
}

static int backend_cleanup(struct kp_backend *be, struct kp_err *err)
{
	struct kp_nft_transaction *t = kp_nft_transaction_new();
	const struct kp_plan nothing = {.full = true};
	struct kp_apply_stats stats = {0};
	int r = 0;

	for (int family = 0; family < KP_N_FAMILIES && r == 0; family++) {
		struct kp_nft_table table;

		r = kp_nft_read_table(be->socket, family, &table, err);
		if (r == 0)
			r = kp_nft_check_owner(be->socket, family, &table, err);
		if (r == 0 && table.exists)
			kp_nft_delete_table(t, family);
	}
	if (r == 0)
		r = commit(be, t, &nothing, &stats, err);
	kp_nft_transaction_free(t);
	return r;
}

static int backend_watch(struct kp_backend *be, int *ret_fd, struct kp_err *err)
{
	int r = kp_nft_watch_open(be->socket, &be->watch, err);

	if (r == 0)
		*ret_fd = kp_nft_watch_fd(be->watch);
	return r;
}

static enum kp_damage backend_was_changed(struct kp_backend *be)
{
	return kp_nft_watch_read(be->watch);
}

static enum kp_damage backend_missed_change(struct kp_backend *be)
{
	return kp_nft_watch_missed(be->watch);
}

static void backend_configure(struct kp_backend *be, const struct kp_settings *settings)
{
	be->settings = *settings;
}

const struct kp_backend_ops kp_nft_backend = {
	.name = "nft",
	.open = backend_open,
	.configure = backend_configure,
	.readback = backend_readback,
	.list = backend_list,
	.apply = backend_apply,
	.rebuild = backend_rebuild,
	.repair = backend_repair,
	.watch = backend_watch,
	.was_changed = backend_was_changed,
	.missed_change = backend_missed_change,
	.cleanup = backend_cleanup,
	.close = backend_close,
};
