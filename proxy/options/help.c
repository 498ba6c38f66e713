/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --help: a line for each flag that does something, and the names of the others. */
#include <stdio.h>
#include <string.h>

#include "options/table.h"

enum {
	LINE_LEN = 100,
	TEXT_SIZE = 256
};

static const char *const groups[KP_N_GROUPS] = {
	[KP_GROUP_CONFIG] = "The configuration",
	[KP_GROUP_OBJECTS] = "Where Services and EndpointSlices come from",
	[KP_GROUP_NODE] = "This node",
	[KP_GROUP_PODS] = "How packets of pods are told from others",
	[KP_GROUP_SERVICES] = "How Services are served",
	[KP_GROUP_SYNC] = "When the kernel is told",
	[KP_GROUP_HOOKS] = "Socket hooks, with --mode=bpf",
	[KP_GROUP_HTTP] = "Health and metrics; an empty address turns a server off",
	[KP_GROUP_HOST] =
		"The host: connection tracking, where 0 changes nothing, and the OOM killer",
	[KP_GROUP_LOG] = "The log",
	[KP_GROUP_ACTIONS] = "Do this and exit",
};

static bool is_shown(const struct kp_option *o, bool ignored)
{
	return o->flag && (o->effect == KP_OPTION_IGNORED) == ignored && !kp_option_repeats_flag(o);
}

/* "--name=VALUE" */
static int print_left(const struct kp_option *o, char buf[TEXT_SIZE])
{
	bool is_switch = o->type == KP_OPTION_SWITCH;
	char name[64];

	return snprintf(buf, TEXT_SIZE, "%s%s%s", kp_option_name(o, true, name),
			is_switch ? "" : "=", is_switch ? "" : kp_option_value_name(o));
}

static void print_group(enum kp_option_group group)
{
	char left[TEXT_SIZE];
	int width = 0;

	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];

		if (o->group == group && is_shown(o, false) && print_left(o, left) > width)
			width = print_left(o, left);
	}
	printf("\n%s:\n", groups[group]);
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];

		if (o->group != group || !is_shown(o, false))
			continue;
		print_left(o, left);
		printf("  %-*s  %s", width, left, o->help);
		if (o->preset && *o->preset && o->type != KP_OPTION_SWITCH)
			printf(" (%s)", o->preset);
		putchar('\n');
	}
}

static void print_ignored(void)
{
	char left[64];
	int column = 0;

	puts("\nAccepted for kube-proxy's sake, without effect (docs/configuration.md has the "
	     "reasons):");
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];
		int len;

		if (!is_shown(o, true))
			continue;
		kp_option_name(o, true, left);
		len = strlen(left);
		if (column + 1 + len > LINE_LEN) {
			putchar('\n');
			column = 0;
		}
		column += printf("%s%s", column ? " " : "  ", left);
	}
	putchar('\n');
}

void kp_options_print_help(void)
{
	puts("Usage: kproxy [FLAGS]\n"
	     "       kproxy dump [-o text|json|nft] [--bpf-root=DIR] [NAMESPACE/NAME]\n"
	     "       kproxy takeover [--dry-run] [-o text|json]\n\n"
	     "Balances the traffic of Kubernetes Services in the kernel.");
	for (int group = 0; group < KP_N_GROUPS; group++)
		print_group(group);
	print_ignored();
}
