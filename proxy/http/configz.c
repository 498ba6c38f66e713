/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "http/configz.h"

#include <stdio.h>
#include <string.h>

static const char *detect_local_mode(const struct kp_options *o)
{
	switch (o->settings.detect) {
	case KP_DETECT_INTERFACE:
		return "BridgeInterface";
	case KP_DETECT_INTERFACE_PREFIX:
		return "InterfaceNamePrefix";
	case KP_DETECT_RANGE:
		break;
	}
	return o->pods_by_node_cidr ? "NodeCIDR" : "ClusterCIDR";
}

static json_t *cluster_cidr(const struct kp_settings *settings)
{
	char text[2 * KP_ADDR_TEXT_SIZE] = "", prefix[KP_ADDR_TEXT_SIZE];

	for (int f = 0; f < KP_N_FAMILIES; f++)
		if (settings->has_pod_range[f])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				 *text ? "," : "", kp_prefix_text(&settings->pod_range[f], prefix));
	return json_string(text);
}

static json_t *node_port_addresses(const struct kp_options *o)
{
	char text[KP_ADDR_TEXT_SIZE];
	json_t *list = json_array();

	if (o->node_ports_primary)
		json_array_append_new(list, json_string("primary"));
	for (size_t i = 0; i < o->n_node_ports; i++)
		json_array_append_new(list, json_string(kp_prefix_text(&o->node_ports[i], text)));
	return list;
}

static json_t *bind_address(const struct kp_addr_port *at)
{
	char text[KP_ADDR_TEXT_SIZE] = "";

	return json_string(at->port ? kp_addr_port_text(at->family, &at->addr, at->port, text)
				    : "");
}

static json_t *nftables(const struct kp_options *o)
{
	char text[32];
	int bit = o->settings.masquerade_mark ? __builtin_ctz(o->settings.masquerade_mark) : 0;

	snprintf(text, sizeof(text), "%gs", o->sync_period_ms / 1000.0);
	return json_pack("{s:i, s:b, s:s}", "masqueradeBit", bit, "masqueradeAll",
			 o->settings.masquerade_all, "syncPeriod", text);
}

json_t *kp_configz(const struct kp_options *o, const char *backend)
{
	json_t *config =
		json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:{s:s, s:s}, s:o, s:o, s:o}", "kind",
			  "KubeProxyConfiguration", "apiVersion",
			  "kubeproxy.config.k8s.io/v1alpha1", "hostnameOverride", o->node_name,
			  "healthzBindAddress", bind_address(&o->healthz), "metricsBindAddress",
			  bind_address(&o->metrics), "detectLocalMode", detect_local_mode(o),
			  "detectLocal", "bridgeInterface", o->pod_bridge, "interfaceNamePrefix",
			  o->pod_interface_prefix, "clusterCIDR", cluster_cidr(&o->settings),
			  "nodePortAddresses", node_port_addresses(o), "nftables", nftables(o));

	json_object_set_new(config, "mode", json_string(kp_proxy_mode(backend)));
	return json_pack("{s:o}", "kubeproxy.config.k8s.io", config);
}

const char *kp_proxy_mode(const char *backend)
{
	return strcmp(backend, "nft") == 0 ? "nftables" : backend;
}
