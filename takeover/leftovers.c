/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "takeover/leftovers.h"

#include <net/if.h>

#include "takeover/names.h"
#include "takeover/sources.h"

struct kp_kube_table *kp_leftovers_add_table(struct kp_leftovers *l, enum kp_family family,
					     bool is_legacy, const char *name)
{
	struct kp_kube_table *table;

	l->tables = kp_xrealloc(l->tables, (l->n_tables + 1) * sizeof(*l->tables));
	table = &l->tables[l->n_tables++];
	*table = (struct kp_kube_table){
		.family = family, .is_legacy = is_legacy, .name = kp_xstrdup(name)};
	return table;
}

void kp_leftovers_drop_unconcerned(struct kp_leftovers *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_tables; i++) {
		if (kp_kube_table_is_concerned(&l->tables[i]))
			l->tables[n++] = l->tables[i];
		else
			kp_kube_table_clear(&l->tables[i]);
	}
	l->n_tables = n;
}

int kp_leftovers_find(enum kp_leftover_scope scope, struct kp_leftovers *ret, struct kp_err *err)
{
	/* The first one begins with nothing each time that a change interrupts it. */
	int r = kp_kube_nft_find(ret, err);

	if (r == 0)
		kp_kube_legacy_find(ret);
	if (r == 0 && scope == KP_LEFT_ALL)
		r = kp_kube_ipvs_find(ret, err);
	ret->ipvs_stays = scope == KP_LEFT_RULES && if_nametoindex(KP_KUBE_PROXY_DEVICE);
	return r;
}

int kp_leftovers_remove(const struct kp_leftovers *l, struct kp_err *err)
{
	static int (*const remove_from[])(const struct kp_leftovers *l, struct kp_err *err) = {
		kp_kube_nft_remove, kp_kube_legacy_remove, kp_kube_ipvs_remove};
	struct kp_err last = KP_ERR_INIT;
	int first = 0;

	for (size_t i = 0; i < sizeof(remove_from) / sizeof(remove_from[0]); i++) {
		int r = remove_from[i](l, &last);

		if (r < 0 && first == 0) {
			first = r;
			*err = last;
		}
	}
	return first;
}

void kp_leftovers_clear(struct kp_leftovers *l)
{
	for (size_t i = 0; i < l->n_tables; i++)
		kp_kube_table_clear(&l->tables[i]);
	free(l->tables);
	for (size_t i = 0; i < l->n_ipsets; i++)
		free(l->ipsets[i]);
	free(l->ipsets);
	memset(l, 0, sizeof(*l));
}

static const char *family_name(enum kp_family family)
{
	return family == KP_IPV4 ? "ip" : "ip6";
}

static void each_of_table(const struct kp_kube_table *table, kp_leftover_fn fn, void *arg)
{
	struct kp_leftover item = {.is_legacy = table->is_legacy,
				   .family = family_name(table->family),
				   .table = table->name};

	item.kind = "rule";
	for (size_t i = 0; i < table->n_rules; i++) {
		item.chain = table->rules[i].chain->name;
		item.target = table->rules[i].target->name;
		if (kp_kube_rule_goes(&table->rules[i]))
			fn(arg, &item);
	}
	item.kind = "chain";
	item.target = NULL;
	for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next) {
		item.chain = c->name;
		item.used_by = c->used_by;
		if (c->is_kube_proxys)
			fn(arg, &item);
	}
}

void kp_leftovers_each(const struct kp_leftovers *l, kp_leftover_fn fn, void *arg)
{
	for (int family = 0; family < KP_N_FAMILIES; family++)
		if (l->nft_table[family])
			fn(arg, &(struct kp_leftover){.kind = "table",
						      .family = family_name(family),
						      .table = KP_KUBE_PROXY_TABLE});
	for (size_t i = 0; i < l->n_tables; i++)
		each_of_table(&l->tables[i], fn, arg);
	for (size_t i = 0; i < l->n_ipsets; i++)
		fn(arg, &(struct kp_leftover){.kind = "ipset", .name = l->ipsets[i]});
	if (l->device)
		fn(arg, &(struct kp_leftover){.kind = "device", .name = KP_KUBE_PROXY_DEVICE});
}

struct kp_leftover_counts kp_leftovers_count(const struct kp_leftovers *l)
{
	struct kp_leftover_counts n = {.tables = l->nft_table[KP_IPV4] + l->nft_table[KP_IPV6],
				       .ipsets = l->n_ipsets,
				       .devices = l->device,
				       .legacy_unread = l->legacy_unread,
				       .ipvs_stays = l->ipvs_stays,
				       .virtual_servers = l->n_virtual_servers};

	for (size_t i = 0; i < l->n_tables; i++) {
		const struct kp_kube_table *table = &l->tables[i];

		for (size_t j = 0; j < table->n_rules; j++)
			n.rules += kp_kube_rule_goes(&table->rules[j]);
		for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next)
			n.chains += kp_kube_chain_goes(c);
	}
	return n;
}

bool kp_leftover_counts_are_zero(const struct kp_leftover_counts *n)
{
	return n->tables + n->chains + n->rules + n->ipsets + n->devices == 0;
}
