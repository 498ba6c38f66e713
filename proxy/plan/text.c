/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plan as text: for --dry-run and for the golden tests.  One line a change:
 *
 *     + default/web:http tcp ClusterIP 10.96.0.10:80 internal
 *     + default/web:http tcp IPv4 cluster[0] 10.180.0.4:8080
 *
 * '+' is put, '-' is removed; what stays the same is not printed. */
#include <inttypes.h>
#include <stdio.h>

#include "plan/planner.h"

static const char *const policy_names[] = {
	[KP_POLICY_INTERNAL] = "internal",
	[KP_POLICY_EXTERNAL] = "external",
	[KP_POLICY_INTERNAL_LOCAL] = "internal-local",
	[KP_POLICY_EXTERNAL_LOCAL] = "external-local",
};

struct printer {
	FILE *out;
	const char *owner;
};

static void print_name(const struct printer *p, char sign, const struct kp_vservice *v)
{
	fprintf(p->out, "%c %s:%s %s", sign, p->owner, v->port_name, kp_proto_name_lower(v->proto));
}

static void print_frontend(const struct printer *p, char sign, const struct kp_vservice *v,
			   const struct kp_frontend *f)
{
	char addr[KP_ADDR_TEXT_SIZE];

	print_name(p, sign, v);
	if (f->type == KP_NODE_PORT)
		fprintf(p->out, " NodePort %s %u", kp_family_name(v->family), f->port);
	else
		fprintf(p->out, " %s %s", kp_frontend_type_name(f->type),
			kp_addr_port_text(v->family, &f->addr, f->port, addr));
	fprintf(p->out, " %s%s", policy_names[f->policy], f->guarded ? " guarded" : "");
	if (v->cluster.n == 0 && v->local.n == 0)
		fputs(v->has_any ? " drop" : " reject", p->out);
	fputc('\n', p->out);
}

static bool has_frontend(const struct kp_vservice *v, const struct kp_vservice *like,
			 const struct kp_frontend *f)
{
	if (!v || v->has_any != like->has_any || (v->cluster.n == 0) != (like->cluster.n == 0) ||
	    (v->local.n == 0) != (like->local.n == 0))
		return false;
	for (size_t i = 0; i < v->n_frontends; i++)
		if (v->frontends[i].type == f->type && v->frontends[i].port == f->port &&
		    v->frontends[i].policy == f->policy && v->frontends[i].guarded == f->guarded &&
		    kp_addr_equal(&v->frontends[i].addr, &f->addr))
			return true;
	return false;
}

static void print_slots(const struct printer *p, char sign, const struct kp_vservice *v,
			const char *set_name, const struct kp_endpoint_set *set,
			const struct kp_endpoint_set *other)
{
	char addr[KP_ADDR_TEXT_SIZE];

	for (uint32_t i = 0; i < set->n; i++) {
		const struct kp_target *t = &set->slots[i];

		if (other && i < other->n && kp_target_compare(&other->slots[i], t) == 0)
			continue;
		print_name(p, sign, v);
		fprintf(p->out, " %s %s[%u] %s\n", kp_family_name(v->family), set_name, i,
			kp_addr_port_text(v->family, &t->addr, t->port, addr));
	}
}

static void print_affinity(const struct printer *p, char sign, const struct kp_vservice *v,
			   const struct kp_vservice *other)
{
	if (!v->affinity.timeout_s || (other && other->affinity.timeout_s == v->affinity.timeout_s))
		return;
	print_name(p, sign, v);
	fprintf(p->out, " %s affinity %" PRIu32 " s\n", kp_family_name(v->family),
		v->affinity.timeout_s);
}

static bool has_source(const struct kp_vservice *v, const struct kp_prefix *source)
{
	for (size_t i = 0; v && i < v->n_sources; i++)
		if (v->sources[i].len == source->len &&
		    kp_addr_equal(&v->sources[i].addr, &source->addr))
			return true;
	return false;
}

static void print_sources(const struct printer *p, char sign, const struct kp_vservice *v,
			  const struct kp_vservice *other)
{
	char text[KP_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < v->n_sources; i++) {
		if (has_source(other, &v->sources[i]))
			continue;
		print_name(p, sign, v);
		fprintf(p->out, " %s source %s\n", kp_family_name(v->family),
			kp_prefix_text(&v->sources[i], text));
	}
}

/* Prints what 'v' has and 'other' has not. */
static void print_difference(const struct printer *p, char sign, const struct kp_vservice *v,
			     const struct kp_vservice *other)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (!has_frontend(other, v, &v->frontends[i]))
			print_frontend(p, sign, v, &v->frontends[i]);
	print_affinity(p, sign, v, other);
	print_sources(p, sign, v, other);
	print_slots(p, sign, v, "cluster", &v->cluster, other ? &other->cluster : NULL);
	print_slots(p, sign, v, "local", &v->local, other ? &other->local : NULL);
}

static void print_ranges(FILE *out, const char *name, const struct kp_prefix *items, size_t n)
{
	char text[KP_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < n; i++)
		fprintf(out, "= %s %s\n", name, kp_prefix_text(&items[i], text));
}

void kp_plan_print(const struct kp_plan *plan, FILE *out)
{
	if (plan->facts_changed) {
		print_ranges(out, "node-port-range", plan->facts.node_port_ranges,
			     plan->facts.n_node_port_ranges);
		print_ranges(out, "service-cidr", plan->facts.service_cidrs,
			     plan->facts.n_service_cidrs);
	}
	for (size_t i = 0; i < plan->n_changes; i++) {
		const struct kp_change *change = &plan->changes[i];
		struct printer p = {.out = out, .owner = change->owner};

		for (size_t j = 0; j < change->have->n; j++)
			print_difference(&p, '-', &change->have->items[j],
					 kp_vservices_find(&change->want, &change->have->items[j]));
		for (size_t j = 0; j < change->want.n; j++)
			print_difference(&p, '+', &change->want.items[j],
					 kp_vservices_find(change->have, &change->want.items[j]));
	}
}
