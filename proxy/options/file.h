/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file, kind KubeProxyConfiguration, YAML or JSON. */
#ifndef KPROXY_OPTIONS_FILE_H
#define KPROXY_OPTIONS_FILE_H

#include "options/values.h"

#define KP_CONFIG_KIND "KubeProxyConfiguration"
#define KP_CONFIG_API_VERSION "kubeproxy.config.k8s.io/v1alpha1"

/* Reads a file into the values.  Unknown and duplicate fields are noted and passed over (CF-4);
 * -EINVAL names the field that is wrong.
 *
 * What flags gave is kept where it counts next to a file (CF-2); else it is noted and dropped. */
int kp_file_load(const char *path, struct kp_values *values, struct kp_notes *notes,
		 struct kp_err *err);

/* The same for what was parsed already.  Pure. */
int kp_file_read(const json_t *json, struct kp_values *values, struct kp_notes *notes,
		 struct kp_err *err);

#endif
