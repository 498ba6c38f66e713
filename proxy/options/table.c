/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order is that of --help, of the written file and of docs/configuration.md. */
#include "options/table.h"

#include <stdio.h>
#include <string.h>

#include "options/setters.h"

/* Where a member lies; does not compile when it is not what the type of the option needs. */
#define AT(member, ok)                         \
	(offsetof(struct kp_options, member) + \
	 0 * sizeof(char[(ok(((struct kp_options *)0)->member)) ? 1 : -1]))
#define IS_BOOL(m) __builtin_types_compatible_p(__typeof__(m), bool)
#define IS_TEXT(m) __builtin_types_compatible_p(__typeof__(m), const char *)
#define IS_32_BITS(m) (sizeof(m) == 4)
#define IS_64_BITS(m) (sizeof(m) == 8)

#define SWITCH .type = KP_OPTION_SWITCH
#define NUMBER(min_, max_) .type = KP_OPTION_NUMBER, .min = (min_), .max = (max_)
#define DURATION .type = KP_OPTION_DURATION
#define TEXT(name) .type = KP_OPTION_TEXT, .value = (name)
#define LIST(name) .type = KP_OPTION_LIST, .value = (name)
#define OPAQUE .type = KP_OPTION_OPAQUE

#define TO_SWITCH(member) SWITCH, .at = AT(member, IS_BOOL)
#define TO_NUMBER(member, min_, max_) NUMBER(min_, max_), .at = AT(member, IS_32_BITS)
#define TO_DURATION(member) DURATION, .at = AT(member, IS_64_BITS)
#define TO_TEXT(member, name) TEXT(name), .at = AT(member, IS_TEXT)

#define BECOMES(field, modes_) .modes = (modes_), .becomes = (field)
#define MAPPED .effect = KP_OPTION_MAPPED
#define IGNORED .effect = KP_OPTION_IGNORED

#define NOT_IPVS "ipvs is not used; nftables does its work"
#define LOGS_ON_STDERR "each line goes to stderr at once"
#define OLD_FLAG "kube-proxy does nothing with it either"

const struct kp_option kp_option_table[] = {
	{"config", NULL, KP_GROUP_CONFIG, TO_TEXT(config, "FILE"), .bits = KP_OPTION_NOT_EMPTY,
	 .help = "a KubeProxyConfiguration; then flags that have a field do not count"},
	{"write-config-to", NULL, KP_GROUP_CONFIG, TO_TEXT(write_config_to, "FILE"),
	 .bits = KP_OPTION_NOT_EMPTY, .help = "write what is in effect as such a file, and exit"},

	{"manifests", NULL, KP_GROUP_OBJECTS, TO_TEXT(manifests, "DIR"),
	 .bits = KP_OPTION_NOT_EMPTY,
	 .help = "the YAML and JSON files of DIR, in the place of an API server"},
	{"kubeconfig", "clientConnection.kubeconfig", KP_GROUP_OBJECTS, TO_TEXT(kubeconfig, "FILE"),
	 .help = "the API server of FILE; else that of the pod we run in"},
	{"master", NULL, KP_GROUP_OBJECTS, TO_TEXT(master, "URL"),
	 .help = "another address of that API server"},
	{"stream-lists", NULL, KP_GROUP_OBJECTS, TO_SWITCH(stream_lists),
	 .help = "ask for lists as streams, Kubernetes 1.34 and later"},
	{NULL, "clientConnection.acceptContentTypes", KP_GROUP_OBJECTS, IGNORED, TEXT("TYPES"),
	 .help = "JSON is spoken"},
	{"kube-api-content-type", "clientConnection.contentType", KP_GROUP_OBJECTS, IGNORED,
	 TEXT("TYPE"), .preset = "application/vnd.kubernetes.protobuf", .help = "JSON is spoken"},
	{"kube-api-qps", "clientConnection.qps", KP_GROUP_OBJECTS, .type = KP_OPTION_FRACTION,
	 .preset = "5", .bits = KP_OPTION_ZERO_IS_UNSET, .set = kp_set_api_qps,
	 .help = "requests in a second to the API server, watches aside"},
	{"kube-api-burst", "clientConnection.burst", KP_GROUP_OBJECTS,
	 TO_NUMBER(api_burst, 0, INT32_MAX), .preset = "10", .bits = KP_OPTION_ZERO_IS_UNSET,
	 .help = "so many of them at once"},
	{"config-sync-period", "configSyncPeriod", KP_GROUP_OBJECTS, IGNORED, DURATION, .min = 1,
	 .preset = "15m0s", .bits = KP_OPTION_ZERO_IS_UNSET,
	 .help = "watches tell every change; there is no cache to be refreshed"},

	{"hostname-override", "hostnameOverride", KP_GROUP_NODE, TEXT("NAME"),
	 .bits = KP_OPTION_BESIDE_FILE, .help = "name of this node; else the host name"},
	{"bind-address", "bindAddress", KP_GROUP_NODE, TEXT("ADDRESS"), .preset = "0.0.0.0",
	 .set = kp_set_bind_address,
	 .help = "address of this node, in the place of the Node's own"},

	{"detect-local-mode", "detectLocalMode", KP_GROUP_PODS, TEXT("MODE"),
	 .expected = "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
	 .preset = "ClusterCIDR", .set = kp_set_detect_local_mode,
	 .help = "by source (ClusterCIDR, NodeCIDR), or as below"},
	{"cluster-cidr", "clusterCIDR", KP_GROUP_PODS, TEXT("CIDR[,CIDR]"),
	 .expected = "CIDR[,CIDR], one for each family", .set = kp_set_cluster_cidr,
	 .help = "for ClusterCIDR: addresses of all pods, a range per family"},
	{"pod-bridge-interface", "detectLocal.bridgeInterface", KP_GROUP_PODS, TEXT("NAME"),
	 .expected = "the name of an interface, up to 15 bytes", .set = kp_set_pod_bridge,
	 .help = "for BridgeInterface: they come in through this one"},
	{"pod-interface-name-prefix", "detectLocal.interfaceNamePrefix", KP_GROUP_PODS,
	 TEXT("PREFIX"), .expected = "the start of a name, up to 15 bytes",
	 .set = kp_set_pod_interface_prefix, .help = "for InterfaceNamePrefix: through these"},

	{"mode", NULL, KP_GROUP_SERVICES, TEXT("nft|bpf"), .preset = "nft", .set = kp_set_mode,
	 .help = "nftables alone, or eBPF hooks on sockets as well"},
	{"proxy-mode", "mode", KP_GROUP_SERVICES, MAPPED, TEXT("MODE"),
	 .expected = "iptables, ipvs or nftables",
	 .help = "kube-proxy's iptables, ipvs or nftables: all done by nftables"},
	{"nodeport-addresses", "nodePortAddresses", KP_GROUP_SERVICES, LIST("CIDR,..."),
	 .expected = "primary, all, or up to 32 CIDRs", .set = kp_set_node_ports,
	 .help = "where node ports are; or: primary (the default), all"},
	{"masquerade-all", "nftables.masqueradeAll", KP_GROUP_SERVICES,
	 TO_SWITCH(settings.masquerade_all), .preset = "false", .modes = KP_MODE_NFTABLES,
	 .help = "rewrite the source of all traffic to cluster IPs"},
	{"iptables-masquerade-bit", "nftables.masqueradeBit", KP_GROUP_SERVICES, NUMBER(0, 31),
	 .preset = "14", .modes = KP_MODE_NFTABLES, .set = kp_set_masquerade_bit,
	 .help = "the bit of the packet mark that is used"},
	{"keep-kube-proxy-rules", NULL, KP_GROUP_SERVICES, TO_SWITCH(keep_kube_proxy_rules),
	 .help = "leave them alone, at start and with --cleanup"},
	{"iptables-localhost-nodeports", "iptables.localhostNodePorts", KP_GROUP_SERVICES, IGNORED,
	 SWITCH, .preset = "true", .help = "nftables cannot serve node ports on loopback"},

	{"iptables-sync-period", "nftables.syncPeriod", KP_GROUP_SYNC, TO_DURATION(sync_period_ms),
	 .min = 1, .preset = "30s", .bits = KP_OPTION_ZERO_IS_UNSET, .modes = KP_MODE_NFTABLES,
	 .help = "longest wait before a retry; twice that is unhealthy"},
	{"iptables-min-sync-period", "nftables.minSyncPeriod", KP_GROUP_SYNC,
	 TO_DURATION(min_sync_period_ms), .preset = "0s", .modes = KP_MODE_NFTABLES,
	 .help = "shortest time from the end of a sync to the next"},
	{"predecessor-wait", NULL, KP_GROUP_SYNC, TO_DURATION(predecessor_wait_ms), .preset = "30s",
	 .help = "at the start, for another kproxy here to end"},
	{"own-table", NULL, KP_GROUP_SYNC, TO_SWITCH(settings.own_table),
	 .help = "let the kernel refuse changes of the rules by others"},

	/* The same in the blocks of the other modes. */
	{"masquerade-all", "iptables.masqueradeAll", KP_GROUP_SERVICES, MAPPED, SWITCH,
	 .preset = "false", BECOMES("nftables.masqueradeAll", KP_MODE_IPTABLES | KP_MODE_IPVS),
	 .help = "of the modes iptables and ipvs: as `nftables.masqueradeAll`"},
	{"iptables-masquerade-bit", "iptables.masqueradeBit", KP_GROUP_SERVICES, MAPPED,
	 NUMBER(0, 31), .preset = "14",
	 BECOMES("nftables.masqueradeBit", KP_MODE_IPTABLES | KP_MODE_IPVS),
	 .help = "of the modes iptables and ipvs: as `nftables.masqueradeBit`"},
	{"iptables-sync-period", "iptables.syncPeriod", KP_GROUP_SYNC, MAPPED, DURATION, .min = 1,
	 .preset = "30s", .bits = KP_OPTION_ZERO_IS_UNSET,
	 BECOMES("nftables.syncPeriod", KP_MODE_IPTABLES),
	 .help = "of the mode iptables: as `nftables.syncPeriod`"},
	{"iptables-min-sync-period", "iptables.minSyncPeriod", KP_GROUP_SYNC, MAPPED, DURATION,
	 .preset = "0s", BECOMES("nftables.minSyncPeriod", KP_MODE_IPTABLES),
	 .help = "of the mode iptables: as `nftables.minSyncPeriod`"},
	{"ipvs-sync-period", "ipvs.syncPeriod", KP_GROUP_SYNC, MAPPED, DURATION, .min = 1,
	 .preset = "30s", .bits = KP_OPTION_ZERO_IS_UNSET,
	 BECOMES("nftables.syncPeriod", KP_MODE_IPVS),
	 .help = "with --proxy-mode=ipvs: as --iptables-sync-period"},
	{"ipvs-min-sync-period", "ipvs.minSyncPeriod", KP_GROUP_SYNC, MAPPED, DURATION,
	 .preset = "0s", BECOMES("nftables.minSyncPeriod", KP_MODE_IPVS),
	 .help = "with --proxy-mode=ipvs: as --iptables-min-sync-period"},
	{"ipvs-scheduler", "ipvs.scheduler", KP_GROUP_SERVICES, IGNORED, TEXT("NAME"),
	 .help = NOT_IPVS},
	{"ipvs-exclude-cidrs", "ipvs.excludeCIDRs", KP_GROUP_SERVICES, IGNORED, LIST("CIDR,..."),
	 .help = NOT_IPVS},
	{"ipvs-strict-arp", "ipvs.strictARP", KP_GROUP_SERVICES, IGNORED, SWITCH, .preset = "false",
	 .help = "no interface gets a Service's address"},
	{"ipvs-tcp-timeout", "ipvs.tcpTimeout", KP_GROUP_SERVICES, IGNORED, DURATION,
	 .preset = "0s", .help = NOT_IPVS},
	{"ipvs-tcpfin-timeout", "ipvs.tcpFinTimeout", KP_GROUP_SERVICES, IGNORED, DURATION,
	 .preset = "0s", .help = NOT_IPVS},
	{"ipvs-udp-timeout", "ipvs.udpTimeout", KP_GROUP_SERVICES, IGNORED, DURATION,
	 .preset = "0s", .help = NOT_IPVS},

	{"cgroup-root", NULL, KP_GROUP_HOOKS, TO_TEXT(settings.hooks.cgroup_root, "DIR"),
	 .bits = KP_OPTION_NOT_EMPTY, .help = "the cgroup whose processes are served; else all"},
	{"bpf-root", NULL, KP_GROUP_HOOKS, TO_TEXT(settings.hooks.bpf_root, "DIR"),
	 .preset = KP_BPF_ROOT, .bits = KP_OPTION_NOT_EMPTY,
	 .help = "the bpf file system, mounted when it is not"},
	{"bpf-scope", NULL, KP_GROUP_HOOKS, TEXT("all|node"), .preset = "all",
	 .set = kp_set_bpf_scope, .help = "hook all sockets, or leave pods to nft"},
	{"bpf-udp", NULL, KP_GROUP_HOOKS, TEXT("on|off"), .preset = "on", .set = kp_set_bpf_udp,
	 .help = "hook UDP too"},
	{"strict", NULL, KP_GROUP_HOOKS, TO_SWITCH(settings.hooks.strict),
	 .help = "fail instead of going on with nft alone"},

	{"healthz-bind-address", "healthzBindAddress", KP_GROUP_HTTP, TEXT("ADDRESS[:PORT]"),
	 .preset = "0.0.0.0:10256", .set = kp_set_healthz, .help = "/healthz, /livez, /readyz"},
	{"metrics-bind-address", "metricsBindAddress", KP_GROUP_HTTP, TEXT("ADDRESS[:PORT]"),
	 .preset = "127.0.0.1:10249", .set = kp_set_metrics,
	 .help = "/metrics, /proxyMode, /configz"},
	{"healthz-port", NULL, KP_GROUP_HTTP, MAPPED, NUMBER(0, 65535), .preset = "10256",
	 .bits = KP_OPTION_WITHOUT_FILE, .help = "port of the above that names none; 0: off"},
	{"metrics-port", NULL, KP_GROUP_HTTP, MAPPED, NUMBER(0, 65535), .preset = "10249",
	 .bits = KP_OPTION_WITHOUT_FILE, .help = "port of the above that names none; 0: off"},
	{"bind-address-hard-fail", "bindAddressHardFail", KP_GROUP_HTTP, TO_SWITCH(bind_hard_fail),
	 .preset = "false", .help = "exit when one of the two is taken"},
	{"profiling", "enableProfiling", KP_GROUP_HTTP, IGNORED, SWITCH, .preset = "false",
	 .help = "there is no profiler over HTTP; use `perf`"},
	{"show-hidden-metrics-for-version", "showHiddenMetricsForVersion", KP_GROUP_HTTP, IGNORED,
	 TEXT("VERSION"), .help = "no metric is hidden"},

	{"oom-score-adj", "oomScoreAdj", KP_GROUP_HOST, TO_NUMBER(host.oom_score_adj, -1000, 1000),
	 .preset = "-999", .help = "of this process"},
	{"conntrack-max-per-core", "conntrack.maxPerCore", KP_GROUP_HOST,
	 TO_NUMBER(host.conntrack_max_per_core, 0, INT32_MAX), .preset = "32768",
	 .help = "connections for each processor"},
	{"conntrack-min", "conntrack.min", KP_GROUP_HOST,
	 TO_NUMBER(host.conntrack_min, 0, INT32_MAX), .preset = "131072", .help = "but not fewer"},
	{"conntrack-tcp-timeout-established", "conntrack.tcpEstablishedTimeout", KP_GROUP_HOST,
	 TO_DURATION(host.tcp_established_ms), .preset = "24h0m0s", .help = "of idle connections"},
	{"conntrack-tcp-timeout-close-wait", "conntrack.tcpCloseWaitTimeout", KP_GROUP_HOST,
	 TO_DURATION(host.tcp_close_wait_ms), .preset = "1h0m0s", .help = "of half closed ones"},
	{"conntrack-tcp-be-liberal", "conntrack.tcpBeLiberal", KP_GROUP_HOST,
	 TO_SWITCH(host.tcp_be_liberal), .preset = "false", .help = "accept out-of-window packets"},
	{"conntrack-udp-timeout", "conntrack.udpTimeout", KP_GROUP_HOST, TO_DURATION(host.udp_ms),
	 .preset = "0s", .help = "of flows without an answer"},
	{"conntrack-udp-timeout-stream", "conntrack.udpStreamTimeout", KP_GROUP_HOST,
	 TO_DURATION(host.udp_stream_ms), .preset = "0s", .help = "of others"},

	{"log-level", NULL, KP_GROUP_LOG, TEXT("error|warn|info|debug"), .preset = "info",
	 .set = kp_set_log_level, .help = "how much is told"},
	{"logging-format", "logging.format", KP_GROUP_LOG, TEXT("text|json"), .preset = "text",
	 .bits = KP_OPTION_BESIDE_FILE, .set = kp_set_log_format,
	 .help = "key=value pairs, or an object a line"},
	{"v", "logging.verbosity", KP_GROUP_LOG, NUMBER(0, INT32_MAX), .preset = "0",
	 .bits = KP_OPTION_BESIDE_FILE, .set = kp_set_verbosity,
	 .help = "from 4 on as --log-level=debug"},
	{"vmodule", NULL, KP_GROUP_LOG, IGNORED, TEXT("PATTERN=N,..."),
	 .help = "there are no levels by file"},
	{NULL, "logging.vmodule", KP_GROUP_LOG, IGNORED, OPAQUE, .help = "as `--vmodule`"},
	{"log-flush-frequency", NULL, KP_GROUP_LOG, IGNORED, DURATION, .preset = "5s",
	 .help = LOGS_ON_STDERR},
	{NULL, "logging.flushFrequency", KP_GROUP_LOG, IGNORED, OPAQUE, .help = LOGS_ON_STDERR},
	{"log-text-split-stream", NULL, KP_GROUP_LOG, IGNORED, SWITCH, .help = LOGS_ON_STDERR},
	{"log-text-info-buffer-size", NULL, KP_GROUP_LOG, IGNORED, TEXT("SIZE"),
	 .help = LOGS_ON_STDERR},
	{"log-json-split-stream", NULL, KP_GROUP_LOG, IGNORED, SWITCH, .help = LOGS_ON_STDERR},
	{"log-json-info-buffer-size", NULL, KP_GROUP_LOG, IGNORED, TEXT("SIZE"),
	 .help = LOGS_ON_STDERR},
	{NULL, "logging.options", KP_GROUP_LOG, IGNORED, OPAQUE, .help = LOGS_ON_STDERR},

	{"check", NULL, KP_GROUP_ACTIONS, TO_SWITCH(check),
	 .help = "tell whether the API server lets us do our work, and what to do"},
	{"once", NULL, KP_GROUP_ACTIONS, TO_SWITCH(once),
	 .help = "sync once: 0 when all went well, 1 when not"},
	{"dry-run", NULL, KP_GROUP_ACTIONS, TO_SWITCH(dry_run),
	 .help = "print what a sync would change, and change nothing"},
	{"init-only", NULL, KP_GROUP_ACTIONS, TO_SWITCH(init_only),
	 .help = "set what the group \"The host\" says"},
	{"cleanup", NULL, KP_GROUP_ACTIONS, TO_SWITCH(cleanup),
	 .help = "remove all rules and hooks, kube-proxy's too"},
	{"version", NULL, KP_GROUP_ACTIONS, TO_SWITCH(version), .help = "print the version"},
	{"help", NULL, KP_GROUP_ACTIONS, TO_SWITCH(help), .help = "print this"},

	{"feature-gates", "featureGates", KP_GROUP_CONFIG, IGNORED, .type = KP_OPTION_GATES,
	 .help = "there are none"},
	{"proxy-port-range", "portRange", KP_GROUP_HTTP, IGNORED, TEXT("RANGE"), .help = OLD_FLAG},
	{"boot-id-file", NULL, KP_GROUP_HOST, IGNORED, TEXT("FILE"), .help = OLD_FLAG},
	{"machine-id-file", NULL, KP_GROUP_HOST, IGNORED, TEXT("FILE"), .help = OLD_FLAG},
	{NULL, "winkernel", KP_GROUP_SERVICES, IGNORED, OPAQUE, .help = "of Windows"},
	{NULL, "windowsRunAsService", KP_GROUP_HOST, IGNORED, OPAQUE, .help = "of Windows"},
};

const size_t kp_n_options = sizeof(kp_option_table) / sizeof(kp_option_table[0]);

const char *kp_option_name(const struct kp_option *option, bool by_flag, char buf[64])
{
	by_flag = option->flag && (by_flag || !option->field);
	snprintf(buf, 64, "%s%s",
		 !by_flag		? ""
		 : option->flag[1] == 0 ? "-"
					: "--",
		 by_flag ? option->flag : option->field);
	return buf;
}

const char *kp_option_value_name(const struct kp_option *option)
{
	static const char *const names[] = {
		[KP_OPTION_SWITCH] = "true|false",   [KP_OPTION_NUMBER] = "N",
		[KP_OPTION_FRACTION] = "N",	     [KP_OPTION_DURATION] = "DURATION",
		[KP_OPTION_GATES] = "GATE=true,...",
	};

	return option->value ? option->value : names[option->type];
}

bool kp_option_repeats_flag(const struct kp_option *option)
{
	for (const struct kp_option *o = kp_option_table; o < option; o++)
		if (o->flag && option->flag && strcmp(o->flag, option->flag) == 0)
			return true;
	return false;
}
