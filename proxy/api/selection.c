/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/selection.h"

#include <string.h>

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
	kp_autofree char *name = kp_query_escape(node_name);

	return kp_xasprintf("metadata.name%%3D%s", name);
}

char *kp_query_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *escaped = kp_xmalloc(3 * strlen(text) + 1), *p = escaped;

	for (; *text; text++) {
		unsigned char c = *text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c)) {
			*p++ = c;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = 0;
	return escaped;
}
