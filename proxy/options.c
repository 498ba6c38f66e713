/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "kproxy/log.h"
#include "util/time.h"

static int set_mode(struct kp_options *o, const char *value)
{
	o->bpf_mode = strcmp(value, "bpf") == 0;
	return o->bpf_mode || strcmp(value, "nft") == 0 ? 0 : -EINVAL;
}

static int set_manifests(struct kp_options *o, const char *value)
{
	o->manifests = value;
	return *value ? 0 : -EINVAL;
}

static int set_kubeconfig(struct kp_options *o, const char *value)
{
	o->kubeconfig = value;
	return *value ? 0 : -EINVAL;
}

static int set_master(struct kp_options *o, const char *value)
{
	o->master = value;
	return *value ? 0 : -EINVAL;
}

static int set_node_name(struct kp_options *o, const char *value)
{
	size_t len;

	while (isspace((unsigned char)*value))
		value++;
	len = strlen(value);
	while (len > 0 && isspace((unsigned char)value[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(o->node_name))
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		o->node_name[i] = tolower((unsigned char)value[i]);
	o->node_name[len] = 0;
	return 0;
}

/* Calls 'fn' for each part of a comma separated list. */
static int each_part(struct kp_options *o, const char *value,
		     int (*fn)(struct kp_options *o, const char *part))
{
	char part[128];

	for (;;) {
		size_t len = strcspn(value, ",");
		int r;

		if (len >= sizeof(part))
			return -EINVAL;
		memcpy(part, value, len);
		part[len] = 0;
		r = fn(o, part);
		if (r < 0 || !value[len])
			return r;
		value += len + 1;
	}
}

static int add_pod_range(struct kp_options *o, const char *part)
{
	struct kp_prefix prefix;

	if (kp_prefix_parse(part, &prefix) < 0 || o->settings.has_pod_range[prefix.family])
		return -EINVAL;
	o->settings.pod_range[prefix.family] = prefix;
	o->settings.has_pod_range[prefix.family] = true;
	return 0;
}

/* Named as in kube-proxy's flag. */
static int set_detect_local_mode(struct kp_options *o, const char *value)
{
	static const struct {
		const char *name;
		enum kp_detect detect;
		bool node_cidr;
	} modes[] = {
		{"ClusterCIDR", KP_DETECT_RANGE, false},
		{"NodeCIDR", KP_DETECT_RANGE, true},
		{"BridgeInterface", KP_DETECT_INTERFACE, false},
		{"InterfaceNamePrefix", KP_DETECT_INTERFACE_PREFIX, false},
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(value, modes[i].name) != 0)
			continue;
		o->settings.detect = modes[i].detect;
		o->pods_by_node_cidr = modes[i].node_cidr;
		return 0;
	}
	return -EINVAL;
}

static int copy_interface(char *ret, size_t size, const char *value)
{
	if (!*value || strlen(value) >= size)
		return -EINVAL;
	strcpy(ret, value);
	return 0;
}

static int set_pod_bridge(struct kp_options *o, const char *value)
{
	return copy_interface(o->pod_bridge, sizeof(o->pod_bridge), value);
}

static int set_pod_interface_prefix(struct kp_options *o, const char *value)
{
	return copy_interface(o->pod_interface_prefix, sizeof(o->pod_interface_prefix), value);
}

static int set_cluster_cidr(struct kp_options *o, const char *value)
{
	return each_part(o, value, add_pod_range);
}

static int add_node_ports(struct kp_options *o, const char *part)
{
	if (o->n_node_ports == sizeof(o->node_ports) / sizeof(o->node_ports[0]))
		return -EINVAL;
	return kp_prefix_parse(part, &o->node_ports[o->n_node_ports++]);
}

static int set_node_ports(struct kp_options *o, const char *value)
{
	o->node_ports_primary = strcmp(value, "primary") == 0;
	o->n_node_ports = 0;
	if (o->node_ports_primary || strcmp(value, "all") == 0)
		return 0;
	return each_part(o, value, add_node_ports);
}

/* "" turns a server off. */
static int set_address(struct kp_addr_port *ret, const char *value, uint16_t default_port)
{
	memset(ret, 0, sizeof(*ret));
	return *value ? kp_addr_port_parse(value, default_port, ret) : 0;
}

static int set_healthz(struct kp_options *o, const char *value)
{
	return set_address(&o->healthz, value, 10256);
}

static int set_metrics(struct kp_options *o, const char *value)
{
	return set_address(&o->metrics, value, 10249);
}

static int set_sync_period(struct kp_options *o, const char *value)
{
	return kp_duration_parse_ms(value, &o->sync_period_ms) < 0 || o->sync_period_ms == 0
		       ? -EINVAL
		       : 0;
}

static int set_log_level(struct kp_options *o, const char *value)
{
	enum kp_log_level level;

	(void)o;
	if (kp_log_parse_level(value, &level) < 0)
		return -EINVAL;
	kp_log_set_level(level);
	return 0;
}

static int set_masquerade_bit(struct kp_options *o, const char *value)
{
	char *end;
	long bit = strtol(value, &end, 10);

	if (!*value || *end || bit < 0 || bit > 31)
		return -EINVAL;
	o->settings.masquerade_mark = 1U << bit;
	return 0;
}

static int set_cgroup_root(struct kp_options *o, const char *value)
{
	o->settings.hooks.cgroup_root = value;
	return *value ? 0 : -EINVAL;
}

static int set_bpf_root(struct kp_options *o, const char *value)
{
	o->settings.hooks.bpf_root = value;
	return *value ? 0 : -EINVAL;
}

static int set_bpf_scope(struct kp_options *o, const char *value)
{
	o->settings.hooks.node_only = strcmp(value, "node") == 0;
	return o->settings.hooks.node_only || strcmp(value, "all") == 0 ? 0 : -EINVAL;
}

static int set_bpf_udp(struct kp_options *o, const char *value)
{
	o->settings.hooks.udp = strcmp(value, "on") == 0;
	return o->settings.hooks.udp || strcmp(value, "off") == 0 ? 0 : -EINVAL;
}

#define SETTER(name, field)                                      \
	static int name(struct kp_options *o, const char *value) \
	{                                                        \
		(void)value;                                     \
		o->field = true;                                 \
		return 0;                                        \
	}
SETTER(set_masquerade_all, settings.masquerade_all)
SETTER(set_strict, settings.hooks.strict)
SETTER(set_stream_lists, stream_lists)
SETTER(set_check, check)
SETTER(set_once, once)
SETTER(set_dry_run, dry_run)
SETTER(set_cleanup, cleanup)
SETTER(set_help, help)
SETTER(set_version, version)

static const struct {
	const char *name, *value; /* value: NULL for a switch */
	int (*set)(struct kp_options *o, const char *value);
	const char *help;
} flags[] = {
	{"mode", "nft|bpf", set_mode, "how packets are balanced (default nft)"},
	{"manifests", "DIR", set_manifests, "read objects from the YAML and JSON files of DIR"},
	{"kubeconfig", "FILE", set_kubeconfig,
	 "watch the API server of FILE (default: the ServiceAccount of the pod we run in)"},
	{"master", "URL", set_master,
	 "address of the API server, in the place of the kubeconfig's"},
	{"stream-lists", NULL, set_stream_lists,
	 "ask the API server for lists as streams, Kubernetes 1.34 and later"},
	{"hostname-override", "NAME", set_node_name, "name of this node (default: the host name)"},
	{"cluster-cidr", "CIDR[,CIDR]", set_cluster_cidr,
	 "addresses of pods, one range per family"},
	{"detect-local-mode", "ClusterCIDR|NodeCIDR|BridgeInterface|InterfaceNamePrefix",
	 set_detect_local_mode, "how packets of pods are known (default ClusterCIDR)"},
	{"pod-bridge-interface", "NAME", set_pod_bridge, "for BridgeInterface"},
	{"pod-interface-name-prefix", "PREFIX", set_pod_interface_prefix,
	 "for InterfaceNamePrefix"},
	{"nodeport-addresses", "primary|all|CIDR,...", set_node_ports,
	 "where node ports are served (default primary: the Node's own addresses)"},
	{"masquerade-all", NULL, set_masquerade_all,
	 "rewrite the source of all traffic to cluster IPs"},
	{"masquerade-bit", "0..31", set_masquerade_bit,
	 "the bit of the packet mark that is used (default 14)"},
	{"cgroup-root", "DIR", set_cgroup_root,
	 "mode bpf: the cgroup whose processes are served (default: all)"},
	{"bpf-root", "DIR", set_bpf_root,
	 "mode bpf: the bpf file system, mounted when it is not (default " KP_BPF_ROOT ")"},
	{"bpf-scope", "all|node", set_bpf_scope,
	 "mode bpf: hook all sockets, or leave pods to nft (default all)"},
	{"bpf-udp", "on|off", set_bpf_udp, "mode bpf: hook UDP too (default on)"},
	{"strict", NULL, set_strict, "mode bpf: fail instead of going on with nft alone"},
	{"healthz-bind-address", "ADDRESS[:PORT]", set_healthz,
	 "answer /healthz, /livez and /readyz; port 10256 (default off)"},
	{"metrics-bind-address", "ADDRESS[:PORT]", set_metrics,
	 "answer /metrics, /proxyMode and /configz; port 10249 (default off)"},
	{"iptables-sync-period", "DURATION", set_sync_period,
	 "longest time between retries; unhealthy after twice that (default 30s)"},
	{"check", NULL, set_check,
	 "tell whether the API server lets us do our work, and what to do, and exit"},
	{"once", NULL, set_once, "sync once and exit: 0 when all went well, 1 when not"},
	{"dry-run", NULL, set_dry_run, "print what a sync would change, and change nothing"},
	{"cleanup", NULL, set_cleanup, "remove all rules and hooks, and exit"},
	{"log-level", "error|warn|info|debug", set_log_level, "(default info)"},
	{"version", NULL, set_version, "print the version and exit"},
	{"help", NULL, set_help, "print this and exit"},
};
enum {
	N_FLAGS = sizeof(flags) / sizeof(flags[0])
};

void kp_options_print_help(void)
{
	char left[96];

	puts("Usage: kproxy [FLAGS]\n"
	     "       kproxy dump [-o text|json|nft] [--bpf-root=DIR] [NAMESPACE/NAME]\n\n"
	     "Balances the traffic of Kubernetes Services in the kernel.\n\nFlags:");
	for (int i = 0; i < N_FLAGS; i++) {
		snprintf(left, sizeof(left), "--%s%s%s", flags[i].name, flags[i].value ? "=" : "",
			 flags[i].value ? flags[i].value : "");
		printf("  %-42s%s%s\n", left,
		       strlen(left) > 42 ? "\n                                             " : " ",
		       flags[i].help);
	}
}

static int set_defaults(struct kp_options *o, struct kp_err *err)
{
	char name[256];

	memset(o, 0, sizeof(*o));
	o->settings.masquerade_mark = 1U << 14;
	o->settings.hooks.bpf_root = KP_BPF_ROOT;
	o->settings.hooks.udp = true;
	o->node_ports_primary = true;
	o->sync_period_ms = 30000;
	if (gethostname(name, sizeof(name)) < 0)
		return kp_err_errno(err, errno, "gethostname");
	name[sizeof(name) - 1] = 0;
	if (set_node_name(o, name) < 0)
		return kp_err_set(err, EINVAL,
				  "the host name '%s' cannot name a node; give --hostname-override",
				  name);
	return 0;
}

/* What the mode of telling pods needs. */
static int settle_detection(struct kp_options *o, struct kp_err *err)
{
	const char *name = o->settings.detect == KP_DETECT_INTERFACE ? o->pod_bridge
								     : o->pod_interface_prefix;

	if (o->pods_by_node_cidr)
		memset(o->settings.has_pod_range, 0, sizeof(o->settings.has_pod_range));
	if (o->settings.detect == KP_DETECT_RANGE)
		return 0;
	if (!*name)
		return kp_err_set(err, EINVAL, "--detect-local-mode needs %s",
				  o->settings.detect == KP_DETECT_INTERFACE
					  ? "--pod-bridge-interface=NAME"
					  : "--pod-interface-name-prefix=PREFIX");
	strcpy(o->settings.pod_interface, name);
	return 0;
}

int kp_options_parse(int argc, char **argv, struct kp_options *ret, struct kp_err *err)
{
	struct option table[N_FLAGS + 1] = {0};
	int r = set_defaults(ret, err), index;

	if (r < 0)
		return r;
	for (int i = 0; i < N_FLAGS; i++)
		table[i] = (struct option){.name = flags[i].name,
					   .has_arg = flags[i].value ? required_argument
								     : no_argument};
	opterr = 0;
	optind = 1;
	for (;;) {
		int c = getopt_long(argc, argv, "", table, &index);

		if (c < 0)
			break;
		if (c != 0)
			return kp_err_set(err, EINVAL,
					  "'%s': unknown flag, or its value is missing",
					  argv[optind - 1]);
		if (flags[index].set(ret, optarg) < 0)
			return kp_err_set(err, EINVAL, "--%s: '%s' is not valid; expected %s",
					  flags[index].name, optarg, flags[index].value);
	}
	if (optind < argc)
		return kp_err_set(err, EINVAL, "unexpected argument '%s'", argv[optind]);
	/* Two sources of the same Service would each remove what only the other one has. */
	if (ret->manifests && (ret->kubeconfig || ret->master))
		return kp_err_set(
			err, EINVAL,
			"--manifests together with --kubeconfig or --master: objects come "
			"from one source only");
	return settle_detection(ret, err);
}
