/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/dump.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>

#include "bpf/inspect.h"
#include "kproxy/backend.h"

/* The version of the JSON schema, see docs/dump.md. */
enum {
	SCHEMA_VERSION = 1
};

struct format {
	const char *name;
	void (*print)(const struct kp_state *state, const struct kp_bpf_view *hooks, FILE *out);
};

/* Who serves a frontend for processes of this node: "hooks", "nft", or "differs" when the layers do
 * not agree; '*ret_reason' says why not the hooks, or is empty. */
static const char *layer_of(const struct kp_bpf_view *hooks, const struct kp_vservice *v,
			    const struct kp_frontend *f, const char **ret_reason)
{
	static const char *const names[] = {
		[KP_BPF_LAYER_HOOKS] = "hooks",
		[KP_BPF_LAYER_NFT] = "nft",
		[KP_BPF_LAYER_DIFFERS] = "differs",
	};
	enum kp_bpf_layer layer = kp_bpf_view_get(hooks, v, f, ret_reason);

	if (!*ret_reason)
		*ret_reason = "";
	return names[layer];
}

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

typedef void row_fn(void *arg, const struct row *row);

static json_t *json_frontend(const struct kp_bpf_view *hooks, const struct kp_vservice *v,
			     const struct kp_frontend *f)
{
	char addr[KP_ADDR_TEXT_SIZE] = "";
	const char *reason;
	json_t *item;

	/* A node port has no address of its own. */
	if (f->type != KP_NODE_PORT)
		kp_addr_text(v->family, &f->addr, addr);
	item = json_pack("{s:s, s:s, s:i, s:s}", "type", kp_frontend_type_name(f->type), "address",
			 addr, "port", f->port, "policy",
			 kp_policy_is_local(f->policy) ? "Local" : "Cluster");
	if (hooks) {
		json_object_set_new(item, "layer", json_string(layer_of(hooks, v, f, &reason)));
		json_object_set_new(item, "reason", json_string(reason));
	}
	return item;
}

static json_t *json_endpoints(enum kp_family family, const struct kp_endpoint_set *set)
{
	json_t *list = json_array();
	char addr[KP_ADDR_TEXT_SIZE];

	for (uint32_t i = 0; i < set->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i}", "address",
						kp_addr_text(family, &set->slots[i].addr, addr),
						"port", set->slots[i].port));
	return list;
}

static json_t *json_prefixes(const struct kp_prefix *items, size_t n)
{
	json_t *list = json_array();
	char text[KP_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(kp_prefix_text(&items[i], text)));
	return list;
}

static json_t *json_vservice(const char *owner, const struct kp_vservice *v,
			     const struct kp_bpf_view *hooks)
{
	json_t *frontends = json_array();
	const char *slash = strchr(owner, '/');

	for (size_t i = 0; i < v->n_frontends; i++)
		json_array_append_new(frontends, json_frontend(hooks, v, &v->frontends[i]));
	return json_pack("{s:s%, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:i}", "namespace", owner,
			 (size_t)(slash - owner), "name", slash + 1, "portName", v->port_name,
			 "protocol", kp_proto_name(v->proto), "family", kp_family_name(v->family),
			 "frontends", frontends, "endpoints",
			 json_endpoints(v->family, &v->cluster), "localEndpoints",
			 json_endpoints(v->family, &v->local), "sourceRanges",
			 json_prefixes(v->sources, v->n_sources), "affinitySeconds",
			 (int)v->affinity.timeout_s);
}

static void print_json(const struct kp_state *state, const struct kp_bpf_view *hooks, FILE *out)
{
	const struct kp_facts *facts = &state->facts;
	json_t *services = json_array(), *root;

	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next)
		for (size_t i = 0; i < e->vs.n; i++)
			json_array_append_new(services,
					      json_vservice(e->owner, &e->vs.items[i], hooks));
	root = json_pack("{s:i, s:s, s:o, s:o, s:o}", "version", SCHEMA_VERSION, "mode",
			 hooks ? "bpf" : "nft", "nodePortAddresses",
			 json_prefixes(facts->node_port_ranges, facts->n_node_port_ranges),
			 "serviceCIDRs",
			 json_prefixes(facts->service_cidrs, facts->n_service_cidrs), "services",
			 services);
	json_dumpf(root, out, JSON_INDENT(2));
	putc('\n', out);
	json_decref(root);
}

static void make_frontend(const struct kp_bpf_view *hooks, const struct kp_vservice *v,
			  const struct kp_frontend *f, char *ret, size_t size)
{
	const char *layer = "", *reason = "";
	char addr[KP_ADDR_TEXT_SIZE];

	if (hooks)
		layer = layer_of(hooks, v, f, &reason);

	if (f->type == KP_NODE_PORT)
		snprintf(addr, sizeof(addr), "%s:%u", kp_family_name(v->family), f->port);
	else
		kp_addr_port_text(v->family, &f->addr, f->port, addr);
	snprintf(ret, size, "%s %s%s%s%s%s%s%s", kp_frontend_type_name(f->type), addr,
		 kp_policy_is_local(f->policy) ? " local" : "", f->guarded ? " guarded" : "",
		 *layer ? ", " : "", layer, *reason ? ": " : "", reason);
}

static bool contains(const struct kp_endpoint_set *set, const struct kp_target *target)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (kp_target_compare(&set->slots[i], target) == 0)
			return true;
	return false;
}

/* The cluster set first, with "local" behind what is in the local set too; then what is only in the
 * local set. */
static void collect_endpoints(const struct kp_vservice *v, struct kp_endpoint_set *ret)
{
	for (uint32_t i = 0; i < v->cluster.n; i++)
		kp_endpoint_set_add(ret, &v->cluster.slots[i].addr, v->cluster.slots[i].port);
	for (uint32_t i = 0; i < v->local.n; i++)
		if (!contains(&v->cluster, &v->local.slots[i]))
			kp_endpoint_set_add(ret, &v->local.slots[i].addr, v->local.slots[i].port);
}

static void make_endpoint(const struct kp_vservice *v, const struct kp_target *target, char *ret,
			  size_t size)
{
	char addr[KP_ADDR_TEXT_SIZE];

	kp_addr_port_text(v->family, &target->addr, target->port, addr);
	snprintf(ret, size, "%s%s", addr, contains(&v->local, target) ? " local" : "");
}

/* The n-th frontend beside the n-th endpoint, with the name in the first row only. */
static void make_row(const struct kp_bpf_view *hooks, const char *owner,
		     const struct kp_vservice *v, const struct kp_endpoint_set *endpoints, size_t n,
		     struct row *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (n == 0) {
		snprintf(ret->text[COLUMN_SERVICE], sizeof(ret->text[0]), "%s", owner);
		snprintf(ret->text[COLUMN_PORT], sizeof(ret->text[0]), "%s/%s",
			 *v->port_name ? v->port_name : "-", kp_proto_name_lower(v->proto));
	}
	if (n < v->n_frontends)
		make_frontend(hooks, v, &v->frontends[n], ret->text[COLUMN_FRONTEND],
			      sizeof(ret->text[0]));
	if (n < endpoints->n)
		make_endpoint(v, &endpoints->slots[n], ret->text[COLUMN_ENDPOINT],
			      sizeof(ret->text[0]));
	else if (n == 0)
		snprintf(ret->text[COLUMN_ENDPOINT], sizeof(ret->text[0]),
			 v->has_any ? "none here (drop)" : "none (reject)");
}

static void each_row_of(const struct kp_bpf_view *hooks, const char *owner,
			const struct kp_vservice *v, row_fn *fn, void *arg)
{
	struct kp_endpoint_set endpoints = {0};
	struct row row;
	size_t n;

	collect_endpoints(v, &endpoints);
	n = endpoints.n > v->n_frontends ? endpoints.n : v->n_frontends;
	for (size_t i = 0; i < n; i++) {
		make_row(hooks, owner, v, &endpoints, i, &row);
		fn(arg, &row);
	}
	free(endpoints.slots);
}

/* Calls 'fn' for each row of the table, from the heading on. */
static void each_row(const struct kp_state *state, const struct kp_bpf_view *hooks, row_fn *fn,
		     void *arg)
{
	const struct row heading = {.text = {"SERVICE", "PORT", "FRONTEND", "ENDPOINT"}};

	fn(arg, &heading);
	for (const struct kp_state_entry *e = state->entries; e; e = e->hh.next)
		for (size_t i = 0; i < e->vs.n; i++)
			each_row_of(hooks, e->owner, &e->vs.items[i], fn, arg);
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

static void print_text(const struct kp_state *state, const struct kp_bpf_view *hooks, FILE *out)
{
	struct table table = {.out = out};

	each_row(state, hooks, measure_row, &table);
	each_row(state, hooks, print_row, &table);
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

static int dump(const struct format *format, const char *owner, const char *bpf_root,
		struct kp_err *err)
{
	const struct kp_settings settings = {0};
	struct kp_state state = {0};
	struct kp_backend *be = NULL;
	struct kp_bpf_view *hooks;
	int r = kp_nft_backend.open(&settings, &be, err);

	if (r == 0)
		r = kp_nft_backend.readback(be, &state, err);
	if (r == 0 && owner)
		r = keep_only(&state, owner, err);
	if (r == 0 && format->print) {
		kp_state_sort(&state);
		hooks = kp_bpf_view_open(bpf_root);
		format->print(&state, hooks, stdout);
		kp_bpf_view_close(hooks);
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
	static const struct option long_options[] = {{"bpf-root", required_argument, NULL, 'b'},
						     {0}};
	const struct format *format = &formats[0];
	const char *bpf_root = KP_BPF_ROOT;
	struct kp_err err = KP_ERR_INIT;
	int c;

	while ((c = getopt_long(argc, argv, "o:", long_options, NULL)) >= 0) {
		if (c == 'b')
			bpf_root = optarg;
		else
			format = c == 'o' ? find_format(optarg) : NULL;
		if (!format)
			break;
	}
	if (!format || argc - optind > 1) {
		fputs("Usage: kproxy dump [-o text|json|nft] [--bpf-root=DIR] [NAMESPACE/NAME]\n",
		      stderr);
		return 2;
	}
	if (dump(format, argv[optind], bpf_root, &err) == 0)
		return 0;
	fprintf(stderr, "kproxy dump: %s\n", err.text);
	return 1;
}
