/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/structure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libnftnl/expr.h> /* needs stdio.h */

static bool rules_equal(const struct nftnl_rule *a, const struct nftnl_rule *b)
{
	struct nftnl_expr_iter *ia = nftnl_expr_iter_create(a), *ib = nftnl_expr_iter_create(b);
	char ta[256], tb[256];
	bool equal = true;

	while (equal) {
		struct nftnl_expr *ea = nftnl_expr_iter_next(ia), *eb = nftnl_expr_iter_next(ib);

		if (!ea || !eb) {
			equal = !ea && !eb;
			break;
		}
		equal = strcmp(nftnl_expr_get_str(ea, NFTNL_EXPR_NAME),
			       nftnl_expr_get_str(eb, NFTNL_EXPR_NAME)) == 0;
		if (!equal)
			break;
		ta[0] = tb[0] = 0;
		nftnl_expr_snprintf(ta, sizeof(ta), ea, NFTNL_OUTPUT_DEFAULT, 0);
		nftnl_expr_snprintf(tb, sizeof(tb), eb, NFTNL_OUTPUT_DEFAULT, 0);
		equal = strcmp(ta, tb) == 0;
	}
	nftnl_expr_iter_destroy(ia);
	nftnl_expr_iter_destroy(ib);
	return equal;
}

static bool chain_rules_equal(const struct kp_nft_chain *a, const struct kp_nft_chain *b)
{
	if (a->n_rules != b->n_rules)
		return false;
	for (size_t i = 0; i < a->n_rules; i++)
		if (!rules_equal(a->rules[i], b->rules[i]))
			return false;
	return true;
}

static bool same_hook(const struct kp_nft_chain *a, const struct kp_nft_chain *b)
{
	if (!a->type || !b->type)
		return a->type == b->type;
	return strcmp(a->type, b->type) == 0 && a->hook == b->hook && a->priority == b->priority &&
	       a->policy == b->policy;
}

static const struct kp_nft_chain *find_chain(const struct kp_nft_chains *chains, const char *name)
{
	for (size_t i = 0; i < chains->n; i++)
		if (strcmp(chains->items[i].name, name) == 0)
			return &chains->items[i];
	return NULL;
}

static void add_rules(struct kp_nft_transaction *t, const struct kp_nft_chain *chain)
{
	for (size_t i = 0; i < chain->n_rules; i++)
		kp_nft_add_rule(t, chain->rules[i]);
}

static uint32_t table_flags(const struct kp_settings *settings)
{
	return settings->own_table ? KP_NFT_TABLE_OWNER | KP_NFT_TABLE_PERSIST : 0;
}

/* Ours, or nobody's since its owner has gone. */
static bool can_have(const struct kp_nft_table *table, uint32_t flags)
{
	return table->flags == flags || (flags && (table->flags | KP_NFT_TABLE_OWNER) == flags);
}

static void create_table(struct kp_nft_transaction *t, enum kp_family family, uint32_t flags,
			 const struct kp_nft_chains *want)
{
	kp_nft_add_table(t, family, flags);
	for (int set = 0; set < KP_N_SETS; set++)
		kp_nft_add_set(t, family, set);
	for (size_t i = 0; i < want->n; i++)
		kp_nft_add_chain(t, family, &want->items[i]);
	for (size_t i = 0; i < want->n; i++)
		add_rules(t, &want->items[i]);
}

/* The table can be mended in place: the hooks of the base chains that are there are right. */
static bool can_mend(const struct kp_nft_found *found, uint32_t flags,
		     const struct kp_nft_chains *want)
{
	if (!can_have(&found->table, flags))
		return false;
	for (size_t i = 0; i < want->n; i++) {
		const struct kp_nft_chain *have = find_chain(&found->chains, want->items[i].name);

		if (have && !same_hook(have, &want->items[i]))
			return false;
	}
	return true;
}

static bool has_wrong_set(const struct kp_nft_found *found)
{
	for (int set = 0; set < KP_N_SETS; set++)
		if (found->sets[set].is_there && !found->sets[set].is_right)
			return true;
	return false;
}

/* Makes what is missing, and makes anew what has another type. */
static void mend_sets(struct kp_nft_transaction *t, enum kp_family family,
		      const struct kp_nft_found *found)
{
	for (int set = 0; set < KP_N_SETS; set++) {
		if (found->sets[set].is_right)
			continue;
		if (found->sets[set].is_there)
			kp_nft_delete_set(t, family, kp_nft_sets[set].name);
		kp_nft_add_set(t, family, set);
	}
}

/* Takes the rules out of chains that are not ours, and of those of ours that have to be made
 * anew: all of them, when they may use a set that goes. */
static void flush_chains(struct kp_nft_transaction *t, enum kp_family family,
			 const struct kp_nft_found *found, const struct kp_nft_chains *want,
			 bool all)
{
	for (size_t i = 0; i < found->chains.n; i++) {
		const struct kp_nft_chain *have = &found->chains.items[i];
		const struct kp_nft_chain *chain = find_chain(want, have->name);

		if (all || !chain || !chain_rules_equal(have, chain))
			kp_nft_flush_chain(t, family, have->name);
	}
}

static void fill_chains(struct kp_nft_transaction *t, enum kp_family family,
			const struct kp_nft_found *found, const struct kp_nft_chains *want,
			bool all)
{
	for (size_t i = 0; i < want->n; i++)
		if (!find_chain(&found->chains, want->items[i].name))
			kp_nft_add_chain(t, family, &want->items[i]);
	for (size_t i = 0; i < want->n; i++) {
		const struct kp_nft_chain *have = find_chain(&found->chains, want->items[i].name);

		if (all || !have || !chain_rules_equal(have, &want->items[i]))
			add_rules(t, &want->items[i]);
	}
}

/* What is right stays where it is: packets under way look up sets whose elements would only come
 * with the end of the transaction, if the sets were new. */
static void mend_table(struct kp_nft_transaction *t, enum kp_family family, uint32_t flags,
		       const struct kp_nft_found *found, const struct kp_nft_chains *want)
{
	bool all = has_wrong_set(found);

	if (found->table.flags != flags)
		kp_nft_add_table(t, family, flags);
	flush_chains(t, family, found, want, all);
	mend_sets(t, family, found);
	fill_chains(t, family, found, want, all);
	for (size_t i = 0; i < found->chains.n; i++)
		if (!find_chain(want, found->chains.items[i].name))
			kp_nft_delete_chain(t, family, found->chains.items[i].name);
	for (size_t i = 0; i < found->n_other_sets; i++)
		kp_nft_delete_set(t, family, found->other_sets[i]);
}

static void note_fresh(bool anew, const struct kp_nft_found *found, struct kp_nft_fresh *ret)
{
	ret->any = anew;
	for (int set = 0; set < KP_N_SETS; set++) {
		ret->sets[set] = anew || !found->sets[set].is_right;
		ret->any |= ret->sets[set];
	}
}

int kp_nft_check_owner(const struct mnl_socket *socket, enum kp_family family,
		       const struct kp_nft_table *table, struct kp_err *err)
{
	if (table->owner == 0 || table->owner == mnl_socket_get_portid(socket))
		return 0;
	/* Usually the number of the process, unless it has other netlink sockets. */
	return kp_err_set(err, EPERM,
			  "table %s " KP_NFT_TABLE " is owned by process %u (netlink port), "
			  "nobody else can change it; stop that process first",
			  family == KP_IPV4 ? "ip" : "ip6", table->owner);
}

int kp_nft_structure_apply(struct mnl_socket *socket, const struct kp_nft_structure *want,
			   enum kp_family family, bool rebuild, struct kp_nft_transaction *t,
			   struct kp_nft_fresh *ret_fresh, struct kp_err *err)
{
	struct kp_nft_chains chains = {0};
	struct kp_nft_found found = {0};
	uint32_t flags = table_flags(want->settings);
	int r = kp_nft_read_structure(socket, family, &found, err);
	bool anew;

	if (r == 0)
		r = kp_nft_check_owner(socket, family, &found.table, err);
	if (r < 0) {
		kp_nft_found_clear(&found);
		return r;
	}
	kp_nft_chains_build(family, want->settings, want->features, &chains);
	anew = rebuild || !found.table.exists || !can_mend(&found, flags, &chains);
	note_fresh(anew, &found, ret_fresh);
	if (anew) {
		if (found.table.exists)
			kp_nft_delete_table(t, family);
		create_table(t, family, flags, &chains);
	} else {
		mend_table(t, family, flags, &found, &chains);
	}
	kp_nft_found_clear(&found);
	kp_nft_chains_clear(&chains);
	return 0;
}
