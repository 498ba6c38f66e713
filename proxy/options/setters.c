/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options/setters.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "kproxy/log.h"

int kp_set_mode(struct kp_options *o, const char *value)
{
	o->bpf_mode = strcmp(value, "bpf") == 0;
	return o->bpf_mode || strcmp(value, "nft") == 0 ? 0 : -EINVAL;
}

/* ND-1 */
int kp_set_api_qps(struct kp_options *o, const char *value)
{
	o->api_qps = strtod(value, NULL);
	return 0;
}

int kp_set_node_name(struct kp_options *o, const char *value)
{
	size_t len;

	while (isspace((unsigned char)*value))
		value++;
	len = strlen(value);
	while (len > 0 && isspace((unsigned char)value[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(o->node_name))
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		o->node_name[i] = tolower((unsigned char)value[i]);
	o->node_name[len] = 0;
	return 0;
}

/* The unspecified address of a family leaves the Node's own in force (ND-3). */
int kp_set_bind_address(struct kp_options *o, const char *value)
{
	enum kp_family family;
	struct kp_addr addr;

	if (kp_addr_parse(value, &family, &addr) < 0)
		return -EINVAL;
	o->node_ip[family] = addr;
	return 0;
}

/* --- pods --- */

/* Calls 'fn' for each part of a comma separated list. */
static int each_part(struct kp_options *o, const char *value,
		     int (*fn)(struct kp_options *o, const char *part))
{
	char part[128];

	for (;;) {
		size_t len = strcspn(value, ",");
		int r;

		if (len >= sizeof(part))
			return -EINVAL;
		memcpy(part, value, len);
		part[len] = 0;
		r = fn(o, part);
		if (r < 0 || !value[len])
			return r;
		value += len + 1;
	}
}

static int add_pod_range(struct kp_options *o, const char *part)
{
	struct kp_prefix prefix;

	if (kp_prefix_parse(part, &prefix) < 0 || o->settings.has_pod_range[prefix.family])
		return -EINVAL;
	o->settings.pod_range[prefix.family] = prefix;
	o->settings.has_pod_range[prefix.family] = true;
	return 0;
}

int kp_set_cluster_cidr(struct kp_options *o, const char *value)
{
	return *value ? each_part(o, value, add_pod_range) : 0;
}

/* Named as in kube-proxy's flag. */
int kp_set_detect_local_mode(struct kp_options *o, const char *value)
{
	static const struct {
		const char *name;
		enum kp_detect detect;
		bool node_cidr;
	} modes[] = {
		{"ClusterCIDR", KP_DETECT_RANGE, false},
		{"NodeCIDR", KP_DETECT_RANGE, true},
		{"BridgeInterface", KP_DETECT_INTERFACE, false},
		{"InterfaceNamePrefix", KP_DETECT_INTERFACE_PREFIX, false},
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(value, modes[i].name) != 0)
			continue;
		o->settings.detect = modes[i].detect;
		o->pods_by_node_cidr = modes[i].node_cidr;
		return 0;
	}
	return -EINVAL;
}

static int copy_interface(char *ret, size_t size, const char *value)
{
	if (strlen(value) >= size)
		return -EINVAL;
	strcpy(ret, value);
	return 0;
}

int kp_set_pod_bridge(struct kp_options *o, const char *value)
{
	return copy_interface(o->pod_bridge, sizeof(o->pod_bridge), value);
}

int kp_set_pod_interface_prefix(struct kp_options *o, const char *value)
{
	return copy_interface(o->pod_interface_prefix, sizeof(o->pod_interface_prefix), value);
}

/* --- Services --- */

static int add_node_ports(struct kp_options *o, const char *part)
{
	if (o->n_node_ports == sizeof(o->node_ports) / sizeof(o->node_ports[0]))
		return -EINVAL;
	return kp_prefix_parse(part, &o->node_ports[o->n_node_ports++]);
}

int kp_set_node_ports(struct kp_options *o, const char *value)
{
	o->node_ports_primary = strcmp(value, "primary") == 0;
	return o->node_ports_primary ? 0 : each_part(o, value, add_node_ports);
}

int kp_set_masquerade_bit(struct kp_options *o, const char *value)
{
	o->settings.masquerade_mark = 1U << atoi(value);
	return 0;
}

/* --- socket hooks --- */

int kp_set_bpf_scope(struct kp_options *o, const char *value)
{
	o->settings.hooks.node_only = strcmp(value, "node") == 0;
	return o->settings.hooks.node_only || strcmp(value, "all") == 0 ? 0 : -EINVAL;
}

int kp_set_bpf_udp(struct kp_options *o, const char *value)
{
	o->settings.hooks.udp = strcmp(value, "on") == 0;
	return o->settings.hooks.udp || strcmp(value, "off") == 0 ? 0 : -EINVAL;
}

/* --- HTTP and logs --- */

/* "" turns a server off; settle.c has added the port. */
static int set_address(struct kp_addr_port *ret, const char *value)
{
	return *value ? kp_addr_port_parse(value, 0, ret) : 0;
}

int kp_set_healthz(struct kp_options *o, const char *value)
{
	return set_address(&o->healthz, value);
}

int kp_set_metrics(struct kp_options *o, const char *value)
{
	return set_address(&o->metrics, value);
}

int kp_set_log_level(struct kp_options *o, const char *value)
{
	enum kp_log_level level;

	(void)o;
	if (kp_log_parse_level(value, &level) < 0)
		return -EINVAL;
	kp_log_set_level(level);
	return 0;
}

int kp_set_log_format(struct kp_options *o, const char *value)
{
	enum kp_log_format format;

	(void)o;
	if (kp_log_parse_format(value, &format) < 0)
		return -EINVAL;
	kp_log_set_format(format);
	return 0;
}

/* Of Kubernetes' programs: 4 is "debug level verbosity".  Below, --log-level stays as it is. */
int kp_set_verbosity(struct kp_options *o, const char *value)
{
	(void)o;
	if (atoi(value) >= 4)
		kp_log_set_level(KP_LOG_DEBUG);
	return 0;
}
