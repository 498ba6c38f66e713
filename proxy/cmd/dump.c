/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/dump.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>

#include "kproxy/backend.h"

/* The version of the JSON schema, see docs/dump.md. */
enum {
	SCHEMA_VERSION = 1
};

static const char *const type_names[] = {
	[KP_CLUSTER_IP] = "ClusterIP",
	[KP_NODE_PORT] = "NodePort",
	[KP_EXTERNAL_IP] = "ExternalIP",
	[KP_LOAD_BALANCER_IP] = "LoadBalancerIP",
};

struct format {
	const char *name;
	void (*print)(const struct kp_state *state, FILE *out);
};

enum {
	COLUMN_SERVICE,
	COLUMN_PORT,
	COLUMN_FRONTEND,
	COLUMN_ENDPOINT,
	N_COLUMNS
};

struct row {
	char text[N_COLUMNS][320]; /* the longest: a namespace of 63 and a name of 253 characters */
};

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

static json_t *json_prefixes(const struct kp_prefix *items, size_t n)
{
	json_t *list = json_array();
	char text[KP_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(kp_prefix_text(&items[i], text)));
	return list;
}

static void print_json(const struct kp_state *state, FILE *out)
{
	const struct kp_facts *facts = &state->facts;
	json_t *services = json_array(), *root;

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next)
		for (size_t i = 0; i < e->vs.n; i++)
			json_array_append_new(services, json_vservice(e->owner, &e->vs.items[i]));
	root = json_pack("{s:i, s:s, s:o, s:o, s:o}", "version", SCHEMA_VERSION, "mode", "nft",
			 "nodePortAddresses",
			 json_prefixes(facts->node_port_ranges, facts->n_node_port_ranges),
			 "serviceCIDRs",
			 json_prefixes(facts->service_cidrs, facts->n_service_cidrs), "services",
			 services);
	json_dumpf(root, out, JSON_INDENT(2));
	putc('\n', out);
	json_decref(root);
}

/* The n-th frontend beside the n-th endpoint, with the name in the first row only. */
static void make_row(const char *owner, const struct kp_vservice *v, size_t n, struct row *ret)
{
	char addr[KP_ADDR_TEXT_SIZE];

	memset(ret, 0, sizeof(*ret));
	if (n == 0) {
		snprintf(ret->text[COLUMN_SERVICE], sizeof(ret->text[0]), "%s", owner);
		snprintf(ret->text[COLUMN_PORT], sizeof(ret->text[0]), "%s/%s",
			 *v->port_name ? v->port_name : "-", kp_proto_name_lower(v->proto));
	}
	if (n < v->n_frontends) {
		const struct kp_frontend *f = &v->frontends[n];

		if (f->type == KP_NODE_PORT)
			snprintf(addr, sizeof(addr), "%s:%u", kp_family_name(v->family), f->port);
		else
			kp_addr_port_text(v->family, &f->addr, f->port, addr);
		snprintf(ret->text[COLUMN_FRONTEND], sizeof(ret->text[0]), "%s %s",
			 type_names[f->type], addr);
	}
	if (n < v->cluster.n)
		kp_addr_port_text(v->family, &v->cluster.slots[n].addr, v->cluster.slots[n].port,
				  ret->text[COLUMN_ENDPOINT]);
	else if (n == 0)
		snprintf(ret->text[COLUMN_ENDPOINT], sizeof(ret->text[0]), "none (reject)");
}

/* Calls 'fn' for each row of the table, from the heading on. */
static void each_row(const struct kp_state *state, void (*fn)(void *arg, const struct row *row),
		     void *arg)
{
	struct row row = {.text = {"SERVICE", "PORT", "FRONTEND", "ENDPOINT"}};

	fn(arg, &row);
	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next) {
		for (size_t i = 0; i < e->vs.n; i++) {
			const struct kp_vservice *v = &e->vs.items[i];
			size_t n = v->cluster.n > v->n_frontends ? v->cluster.n : v->n_frontends;

			for (size_t j = 0; j < n; j++) {
				make_row(e->owner, v, j, &row);
				fn(arg, &row);
			}
		}
	}
}

struct table {
	FILE *out;
	int widths[N_COLUMNS];
};

static void measure_row(void *arg, const struct row *row)
{
	struct table *table = arg;

	for (int i = 0; i < N_COLUMNS; i++) {
		int len = strlen(row->text[i]);

		if (len > table->widths[i])
			table->widths[i] = len;
	}
}

static void print_row(void *arg, const struct row *row)
{
	const struct table *table = arg;

	for (int i = 0; i < COLUMN_ENDPOINT; i++)
		fprintf(table->out, "%-*s  ", table->widths[i], row->text[i]);
	fprintf(table->out, "%s\n", row->text[COLUMN_ENDPOINT]);
}

static void print_text(const struct kp_state *state, FILE *out)
{
	struct table table = {.out = out};

	each_row(state, measure_row, &table);
	each_row(state, print_row, &table);
}

/* Keeps one owner only; -ENOENT when it has nothing. */
static int keep_only(struct kp_state *state, const char *owner, struct kp_err *err)
{
	struct kp_state_entry *e, *tmp;
	struct kp_vservices none = {0};

	HASH_ITER (hh, state->entries, e, tmp)
		if (strcmp(e->owner, owner) != 0)
			kp_state_put(state, e->owner, &none);
	if (state->entries)
		return 0;
	return kp_err_set(err, ENOENT, "Service %s has nothing in the kernel", owner);
}

static int dump(const struct format *format, const char *owner, struct kp_err *err)
{
	const struct kp_settings settings = {0};
	struct kp_state state = {0};
	struct kp_backend *be = NULL;
	int r = kp_nft_backend.open(&settings, &be, err);

	if (r == 0)
		r = kp_nft_backend.readback(be, &state, err);
	if (r == 0 && owner)
		r = keep_only(&state, owner, err);
	if (r == 0 && format->print) {
		kp_state_sort(&state);
		format->print(&state, stdout);
	} else if (r == 0) {
		r = kp_nft_backend.list(be, owner, stdout, err);
	}
	kp_state_clear(&state);
	kp_nft_backend.close(be);
	return r;
}

static const struct format formats[] = {
	{"text", print_text}, {"json", print_json}, {"nft", NULL}, /* the backend's own words */
};

static const struct format *find_format(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

int kp_cmd_dump(int argc, char **argv)
{
	const struct format *format = &formats[0];
	struct kp_err err = KP_ERR_INIT;
	int c;

	while ((c = getopt(argc, argv, "o:")) >= 0) {
		format = c == 'o' ? find_format(optarg) : NULL;
		if (!format)
			break;
	}
	if (!format || argc - optind > 1) {
		fputs("Usage: kproxy dump [-o text|json|nft] [NAMESPACE/NAME]\n", stderr);
		return 2;
	}
	if (dump(format, argv[optind], &err) == 0)
		return 0;
	fprintf(stderr, "kproxy dump: %s\n", err.text);
	return 1;
}
