/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a value's text to struct kp_options, where it takes more than a copy.
 *
 * Each returns 0 or -EINVAL; the caller knows which option it was. */
#ifndef KPROXY_OPTIONS_SETTERS_H
#define KPROXY_OPTIONS_SETTERS_H

#include "options/options.h"

int kp_set_mode(struct kp_options *o, const char *value);
int kp_set_api_qps(struct kp_options *o, const char *value);
int kp_set_node_name(struct kp_options *o, const char *value);
int kp_set_bind_address(struct kp_options *o, const char *value);
int kp_set_detect_local_mode(struct kp_options *o, const char *value);
int kp_set_pod_bridge(struct kp_options *o, const char *value);
int kp_set_pod_interface_prefix(struct kp_options *o, const char *value);
int kp_set_cluster_cidr(struct kp_options *o, const char *value);
int kp_set_node_ports(struct kp_options *o, const char *value);
int kp_set_masquerade_bit(struct kp_options *o, const char *value);
int kp_set_bpf_scope(struct kp_options *o, const char *value);
int kp_set_bpf_udp(struct kp_options *o, const char *value);
int kp_set_healthz(struct kp_options *o, const char *value);
int kp_set_metrics(struct kp_options *o, const char *value);
int kp_set_log_level(struct kp_options *o, const char *value);
int kp_set_log_format(struct kp_options *o, const char *value);
int kp_set_verbosity(struct kp_options *o, const char *value);

#endif
