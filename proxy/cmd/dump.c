/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/dump.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "kproxy/backend.h"

/* The version of the JSON schema, see docs/dump.md. */
enum { SCHEMA_VERSION = 1 };

static const char *const type_names[] = {
	[KP_CLUSTER_IP] = "ClusterIP",
	[KP_NODE_PORT] = "NodePort",
	[KP_EXTERNAL_IP] = "ExternalIP",
	[KP_LOAD_BALANCER_IP] = "LoadBalancerIP",
};

typedef void print_fn(const struct kp_state *state, const char *only);

static bool wanted(const struct kp_state_entry *entry, const char *only)
{
	return !only || strcmp(only, entry->owner) == 0;
}

static json_t *json_frontend(const struct kp_vservice *v, const struct kp_frontend *f)
{
	char addr[KP_ADDR_TEXT_SIZE] = "";

	/* A node port has no address of its own. */
	if (f->type != KP_NODE_PORT)
		kp_addr_text(v->family, &f->addr, addr);
	return json_pack("{s:s, s:s, s:i}", "type", type_names[f->type], "address", addr, "port",
			 f->port);
}

static json_t *json_vservice(const char *owner, const struct kp_vservice *v)
{
	json_t *frontends = json_array(), *endpoints = json_array();
	const char *slash = strchr(owner, '/');
	char addr[KP_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < v->n_frontends; i++)
		json_array_append_new(frontends, json_frontend(v, &v->frontends[i]));
	for (uint32_t i = 0; i < v->cluster.n; i++)
		json_array_append_new(
			endpoints,
			json_pack("{s:s, s:i}", "address",
				  kp_addr_text(v->family, &v->cluster.slots[i].addr, addr), "port",
				  v->cluster.slots[i].port));
	return json_pack("{s:s%, s:s, s:s, s:s, s:s, s:o, s:o}", "namespace", owner,
			 (size_t)(slash - owner), "name", slash + 1, "portName", v->port_name,
			 "protocol", kp_proto_name(v->proto), "family", kp_family_name(v->family),
			 "frontends", frontends, "endpoints", endpoints);
}

static void print_json(const struct kp_state *state, const char *only)
{
	json_t *services = json_array(), *root;

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next)
		for (size_t i = 0; wanted(e, only) && i < e->vs.n; i++)
			json_array_append_new(services, json_vservice(e->owner, &e->vs.items[i]));
	root = json_pack("{s:i, s:s, s:o}", "version", SCHEMA_VERSION, "mode", "nft", "services",
			 services);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

/* One row: the n-th frontend beside the n-th endpoint, with the name in the first row only. */
static void print_row(const char *owner, const struct kp_vservice *v, size_t row)
{
	char frontend[96] = "", endpoint[KP_ADDR_TEXT_SIZE] = "", addr[KP_ADDR_TEXT_SIZE];
	char port[96] = "";

	if (row == 0)
		snprintf(port, sizeof(port), "%s/%s", *v->port_name ? v->port_name : "-",
			 kp_proto_name_lower(v->proto));
	if (row < v->n_frontends) {
		const struct kp_frontend *f = &v->frontends[row];

		if (f->type == KP_NODE_PORT)
			snprintf(addr, sizeof(addr), "%s:%u", kp_family_name(v->family), f->port);
		else
			kp_addr_port_text(v->family, &f->addr, f->port, addr);
		snprintf(frontend, sizeof(frontend), "%s %s", type_names[f->type], addr);
	}
	if (row < v->cluster.n)
		kp_addr_port_text(v->family, &v->cluster.slots[row].addr,
				  v->cluster.slots[row].port, endpoint);
	else if (row == 0)
		snprintf(endpoint, sizeof(endpoint), "none (reject)");
	printf("%-32s %-16s %-36s %s\n", row == 0 ? owner : "", port, frontend, endpoint);
}

static void print_text(const struct kp_state *state, const char *only)
{
	printf("%-32s %-16s %-36s %s\n", "SERVICE", "PORT", "FRONTEND", "ENDPOINT");
	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next) {
		for (size_t i = 0; wanted(e, only) && i < e->vs.n; i++) {
			const struct kp_vservice *v = &e->vs.items[i];
			size_t n = v->cluster.n > v->n_frontends ? v->cluster.n : v->n_frontends;

			for (size_t row = 0; row < n; row++)
				print_row(e->owner, v, row);
		}
	}
}

static int dump(print_fn *print, const char *only)
{
	const struct kp_settings settings = {0};
	struct kp_err err = KP_ERR_INIT;
	struct kp_state state = {0};
	struct kp_backend *be = NULL;
	int r = kp_nft_backend.open(&settings, &be, &err);

	if (r == 0)
		r = kp_nft_backend.readback(be, &state, &err);
	if (r == 0) {
		kp_state_sort(&state);
		print(&state, only);
	} else {
		fprintf(stderr, "kproxy dump: %s\n", err.text);
	}
	kp_state_clear(&state);
	kp_nft_backend.close(be);
	return r < 0 ? 1 : 0;
}

int kp_cmd_dump(int argc, char **argv)
{
	print_fn *print = print_text;
	int c;

	while ((c = getopt(argc, argv, "o:")) >= 0) {
		if (c == 'o' && strcmp(optarg, "json") == 0)
			print = print_json;
		else if (c != 'o' || strcmp(optarg, "text") != 0)
			goto usage;
	}
	if (argc - optind > 1)
		goto usage;
	return dump(print, argv[optind]);
usage:
	fputs("Usage: kproxy dump [-o text|json] [NAMESPACE/NAME]\n", stderr);
	return 2;
}
