/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flags and the configuration file: what is taken, what it becomes, what is refused (section CF).
 */
#include "options/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options/file.h"

#define MAX_ARGS 32
#define HEAD                                             \
	"apiVersion: kubeproxy.config.k8s.io/v1alpha1\n" \
	"kind: KubeProxyConfiguration\n"

struct fixture {
	struct kp_options o;
	struct kp_err err;
	char path[64]; /* of a file that is there while the test runs */
	char notes[4096];
};

static int setup(void **state)
{
	struct fixture *f = *state = kp_xcalloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/kproxy-options-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_options_clear(&f->o);
	unlink(f->path);
	free(f);
	return 0;
}

static void collect_notes(struct fixture *f)
{
	FILE *out = fmemopen(f->notes, sizeof(f->notes), "w");

	for (size_t i = 0; i < f->o.notes.n; i++)
		fprintf(out, "%s: %s\n", f->o.notes.items[i].msg, f->o.notes.items[i].details);
	fclose(out);
}

static int parse_argv(struct fixture *f, int argc, char **argv)
{
	int r;

	kp_options_clear(&f->o);
	f->notes[0] = 0;
	f->err = (struct kp_err)KP_ERR_INIT;
	r = kp_options_parse(argc, argv, &f->o, &f->err);
	collect_notes(f);
	return r;
}

/* Parses flags, up to NULL. */
static int __attribute__((sentinel)) parse(struct fixture *f, ...)
{
	char *argv[MAX_ARGS] = {"kproxy"};
	int argc = 1;
	va_list ap;

	va_start(ap, f);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	return parse_argv(f, argc, argv);
}

static void write_file(const struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "w");

	fputs(text, file);
	fclose(file);
}

/* Parses a file with this text below its head, and flags, NULL for none. */
static int parse_file(struct fixture *f, const char *text, const char *flag)
{
	kp_autofree char *all = kp_xasprintf(HEAD "%s", text);

	write_file(f, all);
	return parse(f, "--config", f->path, flag, NULL);
}

static void assert_ok(const struct fixture *f, int r)
{
	if (r < 0)
		fail_msg("%s", f->err.text);
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in '%s'", part, text);
}

/* --- the command line --- */

static void test_options_have_defaults(void **state)
{
	struct fixture *f = *state;
	char host[256] = "", text[KP_ADDR_TEXT_SIZE];

	assert_ok(f, parse(f, NULL));
	gethostname(host, sizeof(host) - 1);
	assert_int_equal(strcasecmp(f->o.node_name, host), 0);
	assert_false(f->o.bpf_mode);
	assert_true(f->o.node_ports_primary);
	assert_int_equal(f->o.settings.masquerade_mark, 1 << 14);
	assert_true(f->o.settings.hooks.udp);
	assert_string_equal(f->o.settings.hooks.bpf_root, KP_BPF_ROOT);
	assert_int_equal(f->o.sync_period_ms, 30000);
	assert_int_equal(f->o.min_sync_period_ms, 0);
	assert_string_equal(kp_addr_port_text(f->o.healthz.family, &f->o.healthz.addr,
					      f->o.healthz.port, text),
			    "0.0.0.0:10256");
	assert_string_equal(kp_addr_port_text(f->o.metrics.family, &f->o.metrics.addr,
					      f->o.metrics.port, text),
			    "127.0.0.1:10249");
	assert_int_equal(f->o.host.oom_score_adj, -999);
	assert_int_equal(f->o.host.conntrack_max_per_core, 32768);
	assert_int_equal(f->o.host.conntrack_min, 131072);
	assert_int_equal(f->o.host.tcp_established_ms, 24 * 3600 * 1000);
	assert_int_equal(f->o.host.tcp_close_wait_ms, 3600 * 1000);
	assert_int_equal(f->o.host.udp_ms, 0);
	assert_false(f->o.host.tcp_be_liberal);
}

static void test_options_take_every_style_of_flags(void **state) /* CF-3 */
{
	struct fixture *f = *state;

	assert_ok(f, parse(f, "--oom-score-adj=-5", "--conntrack-min", "7", "--masquerade-all",
			   "--cluster_cidr=10.0.0.0/8", "-v=2", "--strict=t", NULL));
	assert_int_equal(f->o.host.oom_score_adj, -5);
	assert_int_equal(f->o.host.conntrack_min, 7);
	assert_true(f->o.settings.masquerade_all && f->o.settings.hooks.strict);
	assert_true(f->o.settings.has_pod_range[KP_IPV4]);
	assert_ok(f, parse(f, "--oom-score-adj", "-5", "--masquerade-all=false", "-v", "2", "--v=3",
			   NULL));
	assert_int_equal(f->o.host.oom_score_adj, -5);
	assert_false(f->o.settings.masquerade_all);
}

static void test_options_refuse_what_is_no_flag(void **state) /* CF-3 */
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "--nonsense", NULL), -EINVAL);
	assert_contains(f->err.text, "--nonsense");
	assert_int_equal(parse(f, "--cluster-cid=10.0.0.0/8", NULL), -EINVAL);
	assert_int_equal(parse(f, "-once", NULL), -EINVAL);
	assert_int_equal(parse(f, "--once", "more", NULL), -EINVAL);
	assert_contains(f->err.text, "more");
	assert_int_equal(parse(f, "--", NULL), -EINVAL);
	assert_int_equal(parse(f, "--conntrack-min", NULL), -EINVAL);
	assert_contains(f->err.text, "--conntrack-min");
}

static void test_options_know_every_flag_of_kube_proxy(void **state) /* CF-3 */
{
	static const char *const flags[] = {
		"--bind-address=0.0.0.0",
		"--bind-address-hard-fail",
		"--boot-id-file=/a,/b",
		"--cleanup",
		"--cluster-cidr=10.0.0.0/8,fd00::/48",
		"--config-sync-period=15m",
		"--conntrack-max-per-core=1",
		"--conntrack-min=1",
		"--conntrack-tcp-be-liberal",
		"--conntrack-tcp-timeout-close-wait=1h",
		"--conntrack-tcp-timeout-established=24h",
		"--conntrack-udp-timeout=1s",
		"--conntrack-udp-timeout-stream=1m30s",
		"--detect-local-mode=NodeCIDR",
		"--feature-gates=A=true,B=false",
		"--healthz-bind-address=0.0.0.0:10256",
		"--healthz-port=10256",
		"--hostname-override=n",
		"--init-only",
		"--iptables-localhost-nodeports=false",
		"--iptables-masquerade-bit=14",
		"--iptables-min-sync-period=1s",
		"--iptables-sync-period=30s",
		"--ipvs-exclude-cidrs=10.0.0.0/8",
		"--ipvs-min-sync-period=1s",
		"--ipvs-scheduler=rr",
		"--ipvs-strict-arp",
		"--ipvs-sync-period=30s",
		"--ipvs-tcp-timeout=1s",
		"--ipvs-tcpfin-timeout=1s",
		"--ipvs-udp-timeout=1s",
		"--kube-api-burst=10",
		"--kube-api-content-type=application/json",
		"--kube-api-qps=5.5",
		"--kubeconfig=/k",
		"--log-flush-frequency=5s",
		"--log-json-info-buffer-size=1M",
		"--log-json-split-stream",
		"--log-text-info-buffer-size=1M",
		"--log-text-split-stream",
		"--logging-format=text",
		"--machine-id-file=/a",
		"--masquerade-all",
		"--master=https://m",
		"--metrics-bind-address=127.0.0.1",
		"--metrics-port=10249",
		"--nodeport-addresses=10.0.0.0/8,fd00::/48",
		"--oom-score-adj=0",
		"--pod-bridge-interface=b",
		"--pod-interface-name-prefix=p",
		"--profiling",
		"--proxy-mode=ipvs",
		"--proxy-port-range=1-2",
		"--show-hidden-metrics-for-version=1.2",
		"-v=4",
		"--vmodule=a=1",
		"--version",
		"--write-config-to=/w",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		assert_ok(f, parse(f, flags[i], NULL));
}

static void test_options_lists_grow_with_each_flag(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse(f, "--nodeport-addresses=10.0.0.0/8", "--nodeport-addresses=fd00::/48",
			   NULL));
	assert_int_equal(f->o.n_node_ports, 2);
	assert_false(f->o.node_ports_primary);
	assert_ok(f, parse(f, "--nodeport-addresses=all", NULL));
	assert_int_equal(f->o.n_node_ports, 2);
	assert_int_equal(f->o.node_ports[0].len + f->o.node_ports[1].len, 0);
}

static void test_options_node_name_is_trimmed_and_in_lower_case(void **state) /* ND-1 */
{
	struct fixture *f = *state;

	assert_ok(f, parse(f, "--hostname-override= Node1\n", NULL));
	assert_string_equal(f->o.node_name, "node1");
	assert_int_equal(parse(f, "--hostname-override= ", NULL), -EINVAL);
	assert_contains(f->err.text, "--hostname-override");
}

static void test_options_objects_come_from_one_source(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "--manifests=/m", "--kubeconfig=/k", NULL), -EINVAL);
	assert_contains(f->err.text, "--manifests together with --kubeconfig");
	assert_int_equal(parse(f, "--manifests=/m", "--master=http://x", NULL), -EINVAL);
	assert_int_equal(parse(f, "--manifests=", NULL), -EINVAL);
	assert_int_equal(parse_file(f, "clientConnection: {kubeconfig: /k}\n", "--manifests=/m"),
			 -EINVAL);
	assert_contains(f->err.text, "clientConnection.kubeconfig");
}

/* --- servers --- */

static void assert_servers(struct fixture *f, const char *healthz, const char *metrics)
{
	json_auto_t *json = kp_options_document(&f->o);

	assert_string_equal(json_string_value(json_object_get(json, "healthzBindAddress")),
			    healthz);
	assert_string_equal(json_string_value(json_object_get(json, "metricsBindAddress")),
			    metrics);
}

static void test_options_servers_get_ports_and_families(void **state) /* CF-9 */
{
	struct fixture *f = *state;

	assert_ok(f, parse(f, "--bind-address=2001:db8::1", NULL));
	assert_servers(f, "[::]:10256", "[::1]:10249");
	assert_ok(f, parse(f, "--bind-address=::", "--healthz-bind-address=0.0.0.0:10256", NULL));
	assert_servers(f, "0.0.0.0:10256", "[::1]:10249");
	assert_ok(f, parse(f, "--healthz-bind-address=::1", "--metrics-bind-address=10.0.0.1:1",
			   NULL));
	assert_servers(f, "[::1]:10256", "10.0.0.1:1");
	assert_ok(f, parse(f, "--healthz-bind-address=", "--metrics-bind-address=", NULL));
	assert_servers(f, "", "");
	assert_int_equal(f->o.healthz.port + f->o.metrics.port, 0);
}

static void test_options_deprecated_ports(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse(f, "--healthz-port=1", "--metrics-port=0", NULL));
	assert_servers(f, "0.0.0.0:1", "");
	assert_ok(f, parse(f, "--healthz-port=1", "--healthz-bind-address=10.0.0.1:2", NULL));
	assert_servers(f, "10.0.0.1:2", "127.0.0.1:10249");
	assert_ok(f, parse_file(f, "", "--healthz-port=0"));
	assert_servers(f, "0.0.0.0:10256", "127.0.0.1:10249");
	assert_contains(f->notes, "flag=--healthz-port");
}

static void test_options_bind_address_is_the_nodes(void **state) /* ND-3 */
{
	struct fixture *f = *state;
	char text[KP_ADDR_TEXT_SIZE];

	assert_ok(f, parse_file(f, "bindAddress: 192.0.2.7\n", NULL));
	assert_string_equal(kp_addr_text(KP_IPV4, &f->o.node_ip[KP_IPV4], text), "192.0.2.7");
	assert_true(kp_addr_is_zero(&f->o.node_ip[KP_IPV6]));
	assert_ok(f, parse_file(f, "bindAddress: 0.0.0.0\n", NULL));
	assert_true(kp_addr_is_zero(&f->o.node_ip[KP_IPV4]));
}

/* --- the file --- */

static void test_options_file_flags_do_not_count_next_to_it(void **state) /* CF-2 */
{
	struct fixture *f = *state;

	assert_ok(f, parse_file(f, "oomScoreAdj: 3\nhostnameOverride: file\n", NULL));
	assert_string_equal(f->o.node_name, "file");
	assert_ok(f, parse(f, "--config", f->path, "--oom-score-adj=5", "--hostname-override=flag",
			   "--conntrack-min=6", "--masquerade-all", "-v=4", "--once",
			   "--bpf-udp=off", NULL));
	assert_int_equal(f->o.host.oom_score_adj, 3);
	assert_int_equal(f->o.host.conntrack_min, 131072);
	assert_false(f->o.settings.masquerade_all);
	assert_string_equal(f->o.node_name, "flag");
	assert_true(f->o.once);
	assert_false(f->o.settings.hooks.udp);
	assert_contains(f->notes, "flag=--oom-score-adj\n");
	assert_contains(f->notes, "flag=--conntrack-min\n");
	assert_contains(f->notes, "flag=--masquerade-all\n");
	assert_null(strstr(strstr(f->notes, "flag=--masquerade-all") + 1, "flag=--masquerade-all"));
	assert_null(strstr(f->notes, "hostname"));
	assert_null(strstr(f->notes, "flag=--v"));
}

static void test_options_file_unknown_and_duplicate_fields_are_noted(void **state) /* CF-4 */
{
	struct fixture *f = *state;

	assert_ok(f, parse_file(f,
				"surprise: 1\n"
				"conntrack: {min: 5, max: [1]}\n"
				"iptables.syncPeriod: 5s\n"
				"oomScoreAdj: 1\noomScoreAdj: 2\n",
				NULL));
	assert_contains(f->notes, "unknown field, ignored: field=\"surprise\"\n");
	assert_contains(f->notes, "unknown field, ignored: field=\"conntrack.max\"\n");
	assert_contains(f->notes, "unknown field, ignored: field=\"[iptables.syncPeriod]\"\n");
	assert_contains(f->notes, "the last one counts: field=\"oomScoreAdj\" line=7\n");
	assert_int_equal(f->o.host.oom_score_adj, 2);
	assert_int_equal(f->o.host.conntrack_min, 5);
}

static void test_options_file_must_be_one(void **state) /* CF-4 */
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"kind: KubeProxyConfiguration\n", "apiVersion: '' is not"},
		{"apiVersion: kubeproxy.config.k8s.io/v1\nkind: KubeProxyConfiguration\n",
		 "apiVersion: 'kubeproxy.config.k8s.io/v1'"},
		{"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: Pod\n", "kind: 'Pod'"},
		{"", "the file is empty"},
		{"[1]\n", "expected an object"},
		{"a: [\n", "line 2: YAML"},
		{HEAD "conntrack: 5\n", "conntrack: expected an object"},
		{HEAD "conntrack: {min: x}\n", "conntrack.min: expected a whole number"},
		{HEAD "conntrack: {min: 1.5}\n", "conntrack.min: expected a whole number"},
		{HEAD "clusterCIDR: [10.0.0.0/8]\n", "clusterCIDR: expected a string"},
		{HEAD "nodePortAddresses: primary\n", "nodePortAddresses: expected a list"},
		{HEAD "nodePortAddresses: ['1.0.0.0/8,2.0.0.0/8']\n", "nodePortAddresses[0]"},
		{HEAD "enableProfiling: 1\n", "enableProfiling: expected true or false"},
		{HEAD "featureGates: {A: 1}\n", "featureGates.A: expected true or false"},
		{HEAD "configSyncPeriod: 15\n", "configSyncPeriod: expected a string"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file(f, cases[i].text);
		assert_int_equal(parse(f, "--config", f->path, NULL), -EINVAL);
		assert_contains(f->err.text, cases[i].reason);
		assert_contains(f->err.text, f->path);
	}
	assert_int_equal(parse(f, "--config=/nonexistent", NULL), -ENOENT);
	assert_contains(f->err.text, "/nonexistent");
}

static void test_options_file_may_be_json(void **state)
{
	struct fixture *f = *state;

	write_file(f, "{\"kind\":\"KubeProxyConfiguration\",\"apiVersion\":"
		      "\"kubeproxy.config.k8s.io/v1alpha1\",\"conntrack\":{\"min\":5,\"min\":6},"
		      "\n\t\"nodePortAddresses\":[\"10.0.0.0\\/8\"]}");
	assert_ok(f, parse(f, "--config", f->path, NULL));
	assert_int_equal(f->o.host.conntrack_min, 6);
	assert_int_equal(f->o.n_node_ports, 1);
	assert_contains(f->notes, "field=\"min\" line=1");
}

static void test_options_file_zero_that_means_zero(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse_file(f,
				"conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s,"
				" tcpCloseWaitTimeout: 0s}\n"
				"oomScoreAdj: 0\nmode: nftables\nnftables: {masqueradeBit: 0}\n",
				NULL));
	assert_int_equal(f->o.host.conntrack_max_per_core + f->o.host.conntrack_min, 0);
	assert_int_equal(f->o.host.tcp_established_ms + f->o.host.tcp_close_wait_ms, 0);
	assert_int_equal(f->o.host.oom_score_adj, 0);
	assert_int_equal(f->o.settings.masquerade_mark, 1);
}

static void test_options_file_reads_the_block_of_its_mode(void **state)
{
	static const struct {
		const char *mode;
		int bit;
		int64_t period_ms, min_ms;
	} cases[] = {
		{"''", 1, 11000, 1000},
		{"iptables", 1, 11000, 1000},
		{"ipvs", 1, 12000, 2000},
		{"nftables", 3, 13000, 3000},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kp_autofree char *text = kp_xasprintf(
			"mode: %s\n"
			"iptables: {masqueradeBit: 1, syncPeriod: 11s, minSyncPeriod: 1s}\n"
			"ipvs: {syncPeriod: 12s, minSyncPeriod: 2s}\n"
			"nftables: {masqueradeBit: 3, syncPeriod: 13s, minSyncPeriod: 3s}\n",
			cases[i].mode);

		assert_ok(f, parse_file(f, text, NULL));
		assert_int_equal(f->o.settings.masquerade_mark, 1 << cases[i].bit);
		assert_int_equal(f->o.sync_period_ms, cases[i].period_ms);
		assert_int_equal(f->o.min_sync_period_ms, cases[i].min_ms);
	}
}

static void test_options_flags_named_iptables_are_for_nftables_too(void **state)
{
	static const char *const modes[] = {"--proxy-mode=", "--proxy-mode=iptables",
					    "--proxy-mode=nftables"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_ok(f, parse(f, modes[i], "--iptables-sync-period=7s", "--masquerade-all",
				   "--iptables-masquerade-bit=5", "--ipvs-sync-period=8s", NULL));
		assert_int_equal(f->o.sync_period_ms, 7000);
		assert_int_equal(f->o.settings.masquerade_mark, 1 << 5);
		assert_true(f->o.settings.masquerade_all);
	}
	assert_ok(f, parse(f, "--proxy-mode=ipvs", "--ipvs-sync-period=8s", NULL));
	assert_int_equal(f->o.sync_period_ms, 8000);
	assert_contains(f->notes, "done by nftables: mode=ipvs");
}

/* NP-4: what no addresses mean depends on the mode. */
static void test_options_node_ports_of_each_mode(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse_file(f, "mode: nftables\n", NULL));
	assert_true(f->o.node_ports_primary);
	assert_ok(f, parse_file(f, "mode: iptables\nnodePortAddresses: []\n", NULL));
	assert_false(f->o.node_ports_primary);
	assert_int_equal(f->o.n_node_ports, 2);
	assert_contains(f->notes, "node ports are open on all addresses");
	assert_ok(f, parse_file(f, "nodePortAddresses: [primary]\n", NULL));
	assert_true(f->o.node_ports_primary);
	assert_ok(f, parse_file(f, "nodePortAddresses: [10.0.0.0/8]\n", NULL));
	assert_int_equal(f->o.n_node_ports, 1);
}

/* --- what is refused, under the name by which it was given (CF-10) --- */

static const struct {
	const char *flag, *value;
	const char *field, *yaml; /* NULL: cannot be written in a file */
} refused[] = {
	{"--iptables-sync-period", "0s", NULL, NULL},
	{"--iptables-sync-period", "-1s", "iptables.syncPeriod", "iptables: {syncPeriod: -1s}"},
	{"--iptables-sync-period", "1", "iptables.syncPeriod", "iptables: {syncPeriod: '1'}"},
	{"--iptables-min-sync-period", "-1s", "nftables.minSyncPeriod",
	 "mode: nftables\nnftables: {minSyncPeriod: -1s}"},
	{"--iptables-min-sync-period", "31s", "nftables.minSyncPeriod",
	 "mode: nftables\nnftables: {minSyncPeriod: 31s}"},
	{"--iptables-min-sync-period", "31s", "iptables.minSyncPeriod",
	 "iptables: {minSyncPeriod: 31s}"},
	{"--ipvs-sync-period", "x", "ipvs.syncPeriod", "mode: ipvs\nipvs: {syncPeriod: x}"},
	{"--iptables-masquerade-bit", "32", "iptables.masqueradeBit",
	 "iptables: {masqueradeBit: 32}"},
	{"--iptables-masquerade-bit", "-1", "nftables.masqueradeBit",
	 "nftables: {masqueradeBit: -1}"},
	{"--oom-score-adj", "1001", "oomScoreAdj", "oomScoreAdj: 1001"},
	{"--oom-score-adj", "-1001", "oomScoreAdj", "oomScoreAdj: -1001"},
	{"--config-sync-period", "0s", "configSyncPeriod", "configSyncPeriod: -5s"},
	{"--bind-address", "host", "bindAddress", "bindAddress: host"},
	{"--healthz-bind-address", "localhost:1", "healthzBindAddress",
	 "healthzBindAddress: localhost:1"},
	{"--healthz-bind-address", "1.2.3.4:0", "healthzBindAddress",
	 "healthzBindAddress: 1.2.3.4:0"},
	{"--metrics-bind-address", "1.2.3.4:65536", "metricsBindAddress",
	 "metricsBindAddress: 1.2.3.4:65536"},
	{"--healthz-port", "65536", NULL, NULL},
	{"--nodeport-addresses", "10.0.0.1", "nodePortAddresses", "nodePortAddresses: [10.0.0.1]"},
	{"--nodeport-addresses", "primary,10.0.0.0/8", "nodePortAddresses",
	 "nodePortAddresses: [primary, 10.0.0.0/8]"},
	{"--detect-local-mode", "Magic", "detectLocalMode", "detectLocalMode: Magic"},
	{"--detect-local-mode", "BridgeInterface", "detectLocalMode",
	 "detectLocalMode: BridgeInterface"},
	{"--detect-local-mode", "InterfaceNamePrefix", "detectLocalMode",
	 "detectLocalMode: InterfaceNamePrefix"},
	{"--pod-bridge-interface", "sixteen-is-a-lot", "detectLocal.bridgeInterface",
	 "detectLocal: {bridgeInterface: sixteen-is-a-lot}"},
	{"--cluster-cidr", "10.0.0.0", "clusterCIDR", "clusterCIDR: 10.0.0.0"},
	{"--cluster-cidr", "10.0.0.0/8,11.0.0.0/8", "clusterCIDR",
	 "clusterCIDR: 10.0.0.0/8,11.0.0.0/8"},
	{"--cluster-cidr", "10.0.0.0/8,fd00::/48,fd01::/48", "clusterCIDR",
	 "clusterCIDR: '10.0.0.0/8,fd00::/48,fd01::/48'"},
	{"--conntrack-max-per-core", "-1", "conntrack.maxPerCore", "conntrack: {maxPerCore: -1}"},
	{"--conntrack-min", "-1", "conntrack.min", "conntrack: {min: -1}"},
	{"--conntrack-tcp-timeout-established", "-1s", "conntrack.tcpEstablishedTimeout",
	 "conntrack: {tcpEstablishedTimeout: -1s}"},
	{"--conntrack-tcp-timeout-close-wait", "1d", "conntrack.tcpCloseWaitTimeout",
	 "conntrack: {tcpCloseWaitTimeout: 1d}"},
	{"--conntrack-udp-timeout", "-1s", "conntrack.udpTimeout", "conntrack: {udpTimeout: -1s}"},
	{"--conntrack-udp-timeout-stream", "s", "conntrack.udpStreamTimeout",
	 "conntrack: {udpStreamTimeout: s}"},
	{"--kube-api-burst", "-1", "clientConnection.burst", "clientConnection: {burst: -1}"},
	{"--kube-api-qps", "fast", "clientConnection.qps", "clientConnection: {qps: fast}"},
	{"--proxy-mode", "userspace", "mode", "mode: userspace"},
	{"--feature-gates", "A", NULL, NULL},
	{"--mode", "ebpf", NULL, NULL},
	{"--bpf-scope", "none", NULL, NULL},
	{"--log-level", "loud", NULL, NULL},
	{"--once", "perhaps", NULL, NULL},
};

/* The name is the first word, or stands behind the name of the file. */
static void assert_names(const struct fixture *f, const char *name)
{
	kp_autofree char *start = kp_xasprintf("%s: ", name);
	const char *text = strstr(f->err.text, "': ");

	if (strncmp(f->err.text, start, strlen(start)) != 0 &&
	    (!text || strncmp(text + 3, start, strlen(start)) != 0))
		fail_msg("'%s' does not begin with '%s'", f->err.text, start);
}

static void test_options_errors_name_the_flag_or_the_field(void **state) /* CF-10 */
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		kp_autofree char *flag = kp_xasprintf("%s=%s", refused[i].flag, refused[i].value);

		if (parse(f, flag, NULL) != -EINVAL)
			fail_msg("%s is taken", flag);
		assert_names(f, refused[i].flag);
		if (!refused[i].field)
			continue;
		if (parse_file(f, refused[i].yaml, NULL) != -EINVAL)
			fail_msg("%s is taken", refused[i].yaml);
		assert_names(f, refused[i].field);
	}
}

/* --- what installers write --- */

#define CONFIGS "tests/configs/"

/* One flag a line. */
static int parse_flags(struct fixture *f, const char *name, const char *config)
{
	char *argv[MAX_ARGS] = {"kproxy"}, line[256];
	FILE *file = fopen(name, "r");
	int argc = 1, r;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (config && strncmp(line, "--config=", 9) == 0)
			snprintf(line, sizeof(line), "--config=%s", config);
		argv[argc++] = kp_xstrdup(line);
	}
	fclose(file);
	r = parse_argv(f, argc, argv);
	while (argc > 1)
		free(argv[--argc]);
	return r;
}

static void test_options_of_kubeadm(void **state) /* CF-1 */
{
	struct fixture *f = *state;
	char text[KP_ADDR_TEXT_SIZE];

	assert_ok(f, parse_flags(f, CONFIGS "kubeadm.flags", CONFIGS "kubeadm.yaml"));
	assert_string_equal(f->o.node_name, "node1");
	assert_string_equal(f->o.kubeconfig, "/var/lib/kube-proxy/kubeconfig.conf");
	assert_string_equal(kp_prefix_text(&f->o.settings.pod_range[KP_IPV4], text),
			    "10.244.0.0/16");
	assert_servers(f, "0.0.0.0:10256", "127.0.0.1:10249");
	assert_int_equal(f->o.host.conntrack_max_per_core, 32768);
	assert_int_equal(f->o.host.tcp_established_ms, 24 * 3600 * 1000);
	assert_int_equal(f->o.host.oom_score_adj, -999);
	assert_int_equal(f->o.sync_period_ms, 30000);
	assert_int_equal(f->o.min_sync_period_ms, 0);
	assert_int_equal(f->o.settings.masquerade_mark, 1 << 14);
	assert_false(f->o.node_ports_primary);
	assert_contains(f->notes, "done by nftables: mode=iptables\n");
	assert_null(strstr(f->notes, "unknown"));
	assert_null(strstr(f->notes, "without effect"));
}

static void test_options_of_kind(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse_flags(f, CONFIGS "kubeadm.flags", CONFIGS "kind.yaml"));
	assert_int_equal(f->o.host.conntrack_max_per_core, 0);
	assert_int_equal(f->o.host.tcp_established_ms + f->o.host.tcp_close_wait_ms, 0);
	assert_int_equal(f->o.min_sync_period_ms, 1000);
	assert_ok(f, parse_flags(f, CONFIGS "kubeadm.flags", CONFIGS "kind-ipv6.yaml"));
	assert_servers(f, "[::]:10256", "[::1]:10249");
	assert_true(f->o.settings.has_pod_range[KP_IPV6]);
	assert_true(kp_addr_is_zero(&f->o.node_ip[KP_IPV6]));
}

static void test_options_of_k3s(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse_flags(f, CONFIGS "k3s.flags", NULL));
	assert_servers(f, "127.0.0.1:10256", "127.0.0.1:10249");
	assert_true(kp_addr_is_loopback(KP_IPV4, &f->o.node_ip[KP_IPV4]));
	assert_string_equal(f->o.kubeconfig, "/var/lib/rancher/k3s/agent/kubeproxy.kubeconfig");
	assert_int_equal(f->o.host.conntrack_max_per_core, 0);
	assert_false(f->o.node_ports_primary);
}

/* --- what is written --- */

static void test_options_written_are_read_back(void **state) /* CF-8 */
{
	struct fixture *f = *state;
	const char *const files[] = {CONFIGS "kubeadm.yaml", CONFIGS "kind.yaml",
				     CONFIGS "kind-ipv6.yaml"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		json_auto_t *before = NULL, *after = NULL;

		assert_ok(f, parse(f, "--config", files[i], NULL));
		before = kp_options_document(&f->o);
		assert_ok(f, kp_options_write(&f->o, f->path, &f->err));
		assert_ok(f, parse(f, "--config", f->path, NULL));
		after = kp_options_document(&f->o);
		assert_true(json_equal(before, after));
		assert_null(strstr(f->notes, "unknown"));
	}
}

static void test_options_given_as_flags_are_written(void **state) /* CF-8 */
{
	json_auto_t *before = NULL, *after = NULL;
	struct fixture *f = *state;

	assert_ok(f,
		  parse(f, "--cluster-cidr=10.0.0.0/8,fd00::/48", "--iptables-sync-period=7s",
			"--nodeport-addresses=10.0.0.0/8", "--feature-gates=A=true,B=false",
			"--hostname-override=0x10", "--kube-api-qps=-2.5", "--masquerade-all",
			"--detect-local-mode=BridgeInterface", "--pod-bridge-interface=yes", NULL));
	before = kp_options_document(&f->o);
	assert_ok(f, kp_options_write(&f->o, f->path, &f->err));
	assert_ok(f, parse(f, "--config", f->path, NULL));
	after = kp_options_document(&f->o);
	assert_true(json_equal(before, after));
	assert_string_equal(f->o.node_name, "0x10");
	assert_string_equal(f->o.pod_bridge, "yes");
	assert_int_equal(f->o.sync_period_ms, 7000);
	assert_true(json_is_true(json_object_get(json_object_get(after, "featureGates"), "A")));
	assert_true(json_is_false(json_object_get(json_object_get(after, "featureGates"), "B")));
}

static void test_options_say_what_has_no_effect(void **state)
{
	struct fixture *f = *state;

	assert_ok(f, parse_file(f, "ipvs: {scheduler: rr}\nenableProfiling: true\n", NULL));
	assert_contains(f->notes, "options=\"ipvs.scheduler enableProfiling\"");
	assert_ok(f, parse(f, "--feature-gates=A=true", NULL));
	assert_contains(f->notes, "options=\"--feature-gates\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_options_have_defaults),
		TEST(test_options_take_every_style_of_flags),
		TEST(test_options_refuse_what_is_no_flag),
		TEST(test_options_know_every_flag_of_kube_proxy),
		TEST(test_options_lists_grow_with_each_flag),
		TEST(test_options_node_name_is_trimmed_and_in_lower_case),
		TEST(test_options_objects_come_from_one_source),
		TEST(test_options_servers_get_ports_and_families),
		TEST(test_options_deprecated_ports),
		TEST(test_options_bind_address_is_the_nodes),
		TEST(test_options_file_flags_do_not_count_next_to_it),
		TEST(test_options_file_unknown_and_duplicate_fields_are_noted),
		TEST(test_options_file_must_be_one),
		TEST(test_options_file_may_be_json),
		TEST(test_options_file_zero_that_means_zero),
		TEST(test_options_file_reads_the_block_of_its_mode),
		TEST(test_options_flags_named_iptables_are_for_nftables_too),
		TEST(test_options_node_ports_of_each_mode),
		TEST(test_options_errors_name_the_flag_or_the_field),
		TEST(test_options_of_kubeadm),
		TEST(test_options_of_kind),
		TEST(test_options_of_k3s),
		TEST(test_options_written_are_read_back),
		TEST(test_options_given_as_flags_are_written),
		TEST(test_options_say_what_has_no_effect),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
