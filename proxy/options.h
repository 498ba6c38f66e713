/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: one table of flags gives the parser and --help. */
#ifndef KPROXY_OPTIONS_H
#define KPROXY_OPTIONS_H

#include "kproxy/backend.h"

struct kp_options {
	bool bpf_mode;
	const char *manifests, *kubeconfig, *master; /* NULL: not given */
	bool stream_lists;			     /* of the API server (RF-21) */
	char node_name[256];			     /* trimmed and in lower case (ND-1) */
	struct kp_settings settings;
	bool pods_by_node_cidr; /* settings.pod_range comes from the Node (ND-4) */
	char pod_bridge[16], pod_interface_prefix[16];
	struct kp_addr_port healthz, metrics; /* port 0 = off */
	int64_t sync_period_ms;	 /* between retries at most; twice as long may a change wait (HZ-3)
				  */
	bool node_ports_primary; /* serve node ports on the Node's addresses (NP-4) */
	size_t n_node_ports;	 /* else within these prefixes; none = everywhere */
	struct kp_prefix node_ports[32];
	bool once, dry_run, check, cleanup, help, version;
};

/* Parses 'argv', whose order may change.  -EINVAL with a text that names the flag. */
int kp_options_parse(int argc, char **argv, struct kp_options *ret, struct kp_err *err);

void kp_options_print_help(void);

#endif
