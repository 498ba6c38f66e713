/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/takeover.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "nft/read.h"
#include "takeover/takeover.h"

#define SCHEMA_VERSION 1

/* --- text --- */

static void print_item(void *arg, const struct kp_leftover *item)
{
	const char *const words[] = {item->family, item->table,
				     item->chain,  item->target ? "jump" : NULL,
				     item->target, item->name};
	FILE *out = arg;

	fprintf(out, "%-6s", item->kind);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i])
			fprintf(out, " %s", words[i]);
	if (item->is_legacy)
		fputs(" (iptables-legacy)", out);
	if (item->used_by)
		fprintf(out, " stays, used by chain %s", item->used_by);
	putc('\n', out);
}

static void print_count(size_t n, const char *what, const char **comma, FILE *out)
{
	if (n == 0)
		return;
	fprintf(out, "%s%zu %s%s", *comma, n, what, n == 1 ? "" : "s");
	*comma = ", ";
}

static void print_text(const struct kp_leftovers *l, bool dry_run, FILE *out)
{
	struct kp_leftover_counts n = kp_leftovers_count(l);
	const char *comma = dry_run ? "would remove " : "removed ";

	kp_leftovers_each(l, print_item, out);
	if (kp_leftover_counts_are_zero(&n)) {
		fputs("nothing to remove\n", out);
		return;
	}
	print_count(n.tables, "table", &comma, out);
	print_count(n.chains, "chain", &comma, out);
	print_count(n.rules, "rule", &comma, out);
	print_count(n.ipsets, "ipset", &comma, out);
	print_count(n.devices, "device", &comma, out);
	putc('\n', out);
}

/* --- JSON --- */

static void set_text(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_string(value));
}

static void append_item(void *arg, const struct kp_leftover *item)
{
	json_t *object = json_pack("{s:s, s:b}", "kind", item->kind, "stays",
				   item->used_by != NULL);

	set_text(object, "family", item->family);
	set_text(object, "table", item->table);
	set_text(object, "chain", item->chain);
	set_text(object, "target", item->target);
	set_text(object, "name", item->name);
	set_text(object, "usedBy", item->used_by);
	if (item->table)
		set_text(object, "of", item->is_legacy ? "iptables-legacy" : "nf_tables");
	json_array_append_new(arg, object);
}

static void print_json(const struct kp_leftovers *l, bool dry_run, FILE *out)
{
	json_t *items = json_array(), *root;

	kp_leftovers_each(l, append_item, items);
	root = json_pack("{s:i, s:b, s:b, s:i, s:o}", "version", SCHEMA_VERSION, "removed",
			 !dry_run, "legacyUnread", l->legacy_unread, "virtualServers",
			 (int)l->n_virtual_servers, "items", items);
	json_dumpf(root, out, JSON_INDENT(2));
	putc('\n', out);
	json_decref(root);
}

/* --- the command --- */

static int check_own_rules(struct kp_err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct kp_nft_table table = {0};
	int r;

	if (!socket)
		return kp_err_errno(err, errno, "open a netfilter netlink socket");
	r = kp_nft_read_table(socket, KP_IPV4, &table, err);
	mnl_socket_close(socket);
	if (r == 0 && !table.exists)
		r = kp_err_set(err, ENOENT,
			       "kproxy's own rules are not in place, nobody would serve; start "
			       "kproxy first, or remove all with kproxy --cleanup");
	return r;
}

static void tell_what_stays(const struct kp_leftovers *l)
{
	if (l->legacy_unread)
		fputs("kproxy takeover: iptables-legacy has tables, but its programs do not run "
		      "here; if kube-proxy used them, run this command where they do\n",
		      stderr);
	if (l->n_virtual_servers > 0)
		fprintf(stderr,
			"kproxy takeover: IPVS has %zu virtual servers; if all are kube-proxy's, "
			"run ipvsadm --clear\n",
			l->n_virtual_servers);
}

static int take_over(bool dry_run, bool json, struct kp_err *err)
{
	struct kp_leftover_counts counts;
	struct kp_leftovers found = {0};
	int r = kp_leftovers_find(KP_LEFT_ALL, &found, err);

	if (r == 0 && !dry_run)
		r = check_own_rules(err);
	if (r == 0 && !dry_run)
		r = kp_takeover(KP_LEFT_ALL, &counts, err);
	if (r == 0) {
		(json ? print_json : print_text)(&found, dry_run, stdout);
		tell_what_stays(&found);
	}
	kp_leftovers_clear(&found);
	return r;
}

static int usage(void)
{
	fputs("Usage: kproxy takeover [--dry-run] [-o text|json]\n", stderr);
	return 2;
}

int kp_cmd_takeover(int argc, char **argv)
{
	static const struct option long_options[] = {{"dry-run", no_argument, NULL, 'n'}, {0}};
	struct kp_err err = KP_ERR_INIT;
	bool dry_run = false, json = false;
	int c;

	while ((c = getopt_long(argc, argv, "o:", long_options, NULL)) >= 0) {
		if (c == 'n')
			dry_run = true;
		else if (c == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0))
			json = strcmp(optarg, "json") == 0;
		else
			return usage();
	}
	if (optind < argc)
		return usage();
	if (take_over(dry_run, json, &err) == 0)
		return 0;
	fprintf(stderr, "kproxy takeover: %s\n", err.text);
	return 1;
}
