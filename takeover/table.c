/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "takeover/table.h"

#include "takeover/names.h"

void kp_kube_table_clear(struct kp_kube_table *table)
{
	struct kp_kube_chain *chain, *next;

	HASH_ITER (hh, table->chains, chain, next) {
		HASH_DEL(table->chains, chain);
		free(chain->name);
		free(chain);
	}
	for (size_t i = 0; i < table->n_rules; i++)
		free(table->rules[i].text);
	free(table->rules);
	free(table->name);
	memset(table, 0, sizeof(*table));
}

static struct kp_kube_chain *find(const struct kp_kube_table *table, const char *name)
{
	struct kp_kube_chain *chain;

	HASH_FIND_STR(table->chains, name, chain);
	return chain;
}

void kp_kube_table_add_chain(struct kp_kube_table *table, const char *name, bool is_builtin)
{
	struct kp_kube_chain *chain = kp_xcalloc(1, sizeof(*chain));

	chain->name = kp_xstrdup(name);
	chain->is_builtin = is_builtin;
	chain->is_kube_proxys = !is_builtin && kp_is_kube_proxy_chain(name);
	HASH_ADD_KEYPTR(hh, table->chains, chain->name, strlen(chain->name), chain);
}

bool kp_kube_table_is_concerned(const struct kp_kube_table *table)
{
	for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next)
		if (c->is_kube_proxys)
			return true;
	return false;
}

void kp_kube_table_add_rule(struct kp_kube_table *table, const char *chain, const char *target,
			    uint64_t handle, char *text)
{
	struct kp_kube_chain *from = find(table, chain), *to = find(table, target);

	if (!from || !to || !to->is_kube_proxys) {
		free(text);
		return;
	}
	if (table->n_rules == table->cap_rules) {
		table->cap_rules = table->cap_rules ? 2 * table->cap_rules : 64;
		table->rules = kp_xrealloc(table->rules, table->cap_rules * sizeof(*table->rules));
	}
	table->rules[table->n_rules++] =
		(struct kp_kube_rule){.chain = from, .target = to, .handle = handle, .text = text};
}

void kp_kube_table_settle(struct kp_kube_table *table)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = 0; i < table->n_rules; i++) {
			const struct kp_kube_rule *rule = &table->rules[i];

			if (rule->target->used_by || rule->chain->is_builtin ||
			    kp_kube_chain_goes(rule->chain))
				continue;
			rule->target->used_by = rule->chain->name;
			changed = true;
		}
	}
}

bool kp_kube_chain_goes(const struct kp_kube_chain *chain)
{
	return chain->is_kube_proxys && !chain->used_by;
}

bool kp_kube_rule_goes(const struct kp_kube_rule *rule)
{
	return rule->chain->is_builtin;
}
