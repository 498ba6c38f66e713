/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chains of kube-proxy in iptables-legacy.  Its tables can be changed only as a whole, by programs
 * that share a lock; so its own programs do it, where they are installed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "takeover/names.h"
#include "takeover/sources.h"

static const struct {
	const char *names; /* of the tables that exist; no such file when there can be none */
	const char *save, *restore;
} programs[KP_N_FAMILIES] = {
	{"/proc/net/ip_tables_names", "iptables-legacy-save", "iptables-legacy-restore"},
	{"/proc/net/ip6_tables_names", "ip6tables-legacy-save", "ip6tables-legacy-restore"},
};

/* Where a rule leads to, as iptables-save prints it: -A CHAIN ... -j TARGET.  Comments, which are
 * quoted, may hold anything. */
static bool find_target(const char *rule, char *ret, size_t size)
{
	bool quoted = false;

	for (const char *at = rule; *at; at++) {
		if (*at == '\\' && at[1]) {
			at++;
		} else if (*at == '"') {
			quoted = !quoted;
		} else if (!quoted &&
			   (strncmp(at, " -j ", 4) == 0 || strncmp(at, " -g ", 4) == 0)) {
			snprintf(ret, size, "%.*s", (int)strcspn(at + 4, " \n"), at + 4);
			return true;
		}
	}
	return false;
}

static void add_line(struct kp_kube_table *table, char *line)
{
	char name[64], policy[16], target[64];

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, ":%63s %15s", name, policy) == 2)
		kp_kube_table_add_chain(table, name, strcmp(policy, "-") != 0);
	else if (sscanf(line, "-A %63s", name) == 1 && find_target(line, target, sizeof(target)))
		kp_kube_table_add_rule(table, name, target, 0, kp_xstrdup(line));
}

/* False when the program is missing or fails. */
static bool read_table(const char *program, struct kp_kube_table *table)
{
	char command[128], *line = NULL;
	size_t size = 0;
	FILE *in;

	snprintf(command, sizeof(command), "exec %s -t %s 2>/dev/null", program, table->name);
	in = popen(command, "re");
	if (!in)
		return false;
	while (getline(&line, &size, in) >= 0)
		add_line(table, line);
	free(line);
	return pclose(in) == 0;
}

static void find_family(struct kp_leftovers *l, enum kp_family family)
{
	FILE *names = fopen(programs[family].names, "re");
	char name[64];

	if (!names)
		return;
	while (fscanf(names, "%63s", name) == 1) {
		struct kp_kube_table *table;

		if (!kp_has_kube_proxy_chains(name))
			continue;
		table = kp_leftovers_add_table(l, family, true, name);
		if (read_table(programs[family].save, table)) {
			kp_kube_table_settle(table);
		} else {
			kp_kube_table_clear(table);
			l->legacy_unread = true;
		}
	}
	fclose(names);
}

void kp_kube_legacy_find(struct kp_leftovers *l)
{
	for (int family = 0; family < KP_N_FAMILIES; family++)
		find_family(l, family);
	kp_leftovers_drop_unconcerned(l);
}

/* Other chains are not mentioned, thus stay.  A line with the name of a chain empties it. */
static void print_removal(const struct kp_kube_table *table, FILE *out)
{
	fprintf(out, "*%s\n", table->name);
	for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next)
		if (kp_kube_chain_goes(c))
			fprintf(out, ":%s - [0:0]\n", c->name);
	for (size_t i = 0; i < table->n_rules; i++)
		if (kp_kube_rule_goes(&table->rules[i]))
			fprintf(out, "-D%s\n", table->rules[i].text + strlen("-A"));
	for (const struct kp_kube_chain *c = table->chains; c; c = c->hh.next)
		if (kp_kube_chain_goes(c))
			fprintf(out, "-X %s\n", c->name);
	fputs("COMMIT\n", out);
}

static int remove_table(const struct kp_kube_table *table, struct kp_err *err)
{
	const char *program = programs[table->family].restore;
	char command[128];
	FILE *out;
	int status;

	snprintf(command, sizeof(command), "exec %s --noflush --wait=5", program);
	out = popen(command, "we");
	if (!out)
		return kp_err_errno(err, errno, "run %s", program);
	print_removal(table, out);
	status = pclose(out);
	if (status != 0)
		return kp_err_set(err, EIO, "kube-proxy's rules in table %s: %s: exit status %d",
				  table->name, program, WEXITSTATUS(status));
	return 0;
}

int kp_kube_legacy_remove(const struct kp_leftovers *l, struct kp_err *err)
{
	struct kp_err last = KP_ERR_INIT;
	int first = 0;

	for (size_t i = 0; i < l->n_tables; i++) {
		int r = l->tables[i].is_legacy ? remove_table(&l->tables[i], &last) : 0;

		if (r < 0 && first == 0) {
			first = r;
			*err = last;
		}
	}
	return first;
}
