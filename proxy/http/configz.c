/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/configz.h"

#include <string.h>

json_t *kp_configz(const struct kp_options *o, const char *backend)
{
	json_t *config = kp_options_document(o);

	json_object_set_new(config, "mode", json_string(kp_proxy_mode(backend)));
	/* What is left empty in a file is the host name here. */
	json_object_set_new(config, "hostnameOverride", json_string(o->node_name));
	return json_pack("{s:o}", "kubeproxy.config.k8s.io", config);
}

const char *kp_proxy_mode(const char *backend)
{
	return strcmp(backend, "nft") == 0 ? "nftables" : backend;
}
