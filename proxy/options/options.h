/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the process was asked to do, by flags and by a file of kind KubeProxyConfiguration.
 *
 *     argv -> arguments.c \
 *                          values -> settle.c -> setters.c -> struct kp_options
 *     file -> file.c      /                   \-> document.c -> /configz, --write-config-to
 *
 * table.c ties all names together: of a flag, of its field, of its place in this struct. */
#ifndef KPROXY_OPTIONS_H
#define KPROXY_OPTIONS_H

#include <jansson.h>

#include "kproxy/backend.h"
#include "kproxy/host.h"
#include "options/notes.h"
#include "util/file_watch.h"

struct kp_values;

struct kp_options {
	bool bpf_mode;
	const char *config, *write_config_to;	     /* NULL: not given */
	struct kp_file_identity config_identity;     /* as it was read */
	const char *manifests, *kubeconfig, *master; /* NULL: not given */
	bool stream_lists;			     /* of the API server (RF-21) */
	double api_qps;				     /* requests in a second; negative: no limit */
	int32_t api_burst;			     /* so many of them at once */
	char node_name[256];			     /* trimmed and in lower case (ND-1) */
	struct kp_addr node_ip[KP_N_FAMILIES]; /* in the place of the Node's (ND-3); zero: none */
	struct kp_settings settings;
	struct kp_host_settings host;
	bool pods_by_node_cidr; /* settings.pod_range comes from the Node (ND-4) */
	char pod_bridge[16], pod_interface_prefix[16];
	struct kp_addr_port healthz, metrics; /* port 0 = off */
	bool bind_hard_fail;		      /* an address that is taken is fatal */
	int64_t sync_period_ms; /* between retries at most; twice as long may a change wait (HZ-3)
				 */
	int64_t min_sync_period_ms;  /* from the end of a sync to the next at least (SY-2) */
	int64_t predecessor_wait_ms; /* for a kproxy that runs in this network namespace */
	bool node_ports_primary;     /* serve node ports on the Node's addresses (NP-4) */
	size_t n_node_ports;	     /* else within these prefixes; none = everywhere */
	struct kp_prefix node_ports[32];
	bool keep_kube_proxy_rules; /* at start and with --cleanup */
	bool once, dry_run, check, cleanup, init_only, help, version;

	struct kp_notes notes;	  /* what deserves a line in the log */
	struct kp_values *values; /* holds the texts above */
};

/* Reads 'argv', the file that it names, and defaults.  -EINVAL with a text that names the flag or
 * the field, -errno for a file that cannot be read; then there is nothing to clear. */
int kp_options_parse(int argc, char **argv, struct kp_options *ret, struct kp_err *err);
void kp_options_clear(struct kp_options *options);

void kp_options_print_help(void);

/* The effective configuration as kube-proxy's KubeProxyConfiguration; the caller owns it. */
json_t *kp_options_document(const struct kp_options *options);

/* Writes that document as YAML (CF-8). */
int kp_options_write(const struct kp_options *options, const char *path, struct kp_err *err);

#endif
