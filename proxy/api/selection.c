/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/selection.h"

#include "kproxy/err.h"

/* !service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name (IN-5) */
#define NOT_OPTED_OUT \
	"%21service.kubernetes.io%2Fheadless%2C%21service.kubernetes.io%2Fservice-proxy-name"

const struct kp_selection kp_selections[KP_N_KINDS] = {
	[KP_KIND_SERVICE] =
		{
			.name = "services",
			.path = "/api/v1/services",
			.api_version = "v1",
			.label_selector = NOT_OPTED_OUT,
			.field_selector = "spec.clusterIP%21%3DNone", /* since 1.31 (IN-7) */
		},
	[KP_KIND_ENDPOINTSLICE] =
		{
			.name = "endpointslices",
			.path = "/apis/discovery.k8s.io/v1/endpointslices",
			.api_version = "discovery.k8s.io/v1",
			.label_selector = NOT_OPTED_OUT,
		},
	[KP_KIND_NODE] =
		{
			.name = "nodes",
			.path = "/api/v1/nodes",
			.api_version = "v1",
			.field_selector_required = true, /* kp_selection_node() */
		},
	[KP_KIND_SERVICECIDR] =
		{
			.name = "servicecidrs",
			.path = "/apis/networking.k8s.io/v1/servicecidrs",
			.api_version = "networking.k8s.io/v1",
			.label_selector = NOT_OPTED_OUT,
			.optional = true,
		},
};

char *kp_selection_node(const char *node_name)
{
	/* Names of nodes are DNS names: nothing in them needs an escape. */
	return kp_xasprintf("metadata.name%%3D%s", node_name);
}
