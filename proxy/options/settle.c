/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what was given to what is in effect. */
#include "options/settle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options/setters.h"
#include "util/time.h"

/* --- defaults and modes --- */

static void set_defaults(struct kp_values *values)
{
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];
		struct kp_value *value = &values->items[i];

		if (value->text)
			continue;
		value->text = kp_xstrdup(o->preset ? o->preset : "");
		value->named = o;
	}
}

static int parse_mode(const char *text)
{
	return strcmp(text, "iptables") == 0   ? KP_MODE_IPTABLES
	       : strcmp(text, "ipvs") == 0     ? KP_MODE_IPVS
	       : strcmp(text, "nftables") == 0 ? KP_MODE_NFTABLES
					       : 0;
}

/* What the block of the mode says becomes what nftables does. */
static void map_blocks(struct kp_values *values, int mode)
{
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *o = &kp_option_table[i];
		const struct kp_value *from = &values->items[i];
		struct kp_value *to;

		if (!o->becomes || !(o->modes & mode))
			continue;
		to = kp_values_find(values, o->becomes);
		kp_value_replace(to, kp_xstrdup(from->text));
		to->by_flag = from->by_flag;
		to->named = o;
	}
}

/* In a file, an empty mode is what it is to kube-proxy: iptables. */
static int settle_mode(struct kp_options *o, bool by_file, int *ret, struct kp_err *err)
{
	struct kp_value *value = kp_values_find(o->values, "mode");

	if (!*value->text)
		kp_value_replace(value, kp_xstrdup(by_file ? "iptables" : "nftables"));
	*ret = parse_mode(value->text);
	if (*ret == 0)
		return kp_value_refuse(value, value->named, err);
	if (*ret != KP_MODE_NFTABLES)
		kp_notes_add(&o->notes, KP_LOG_INFO, "this mode of kube-proxy is done by nftables",
			     "mode=%s", value->text);
	map_blocks(o->values, *ret);
	kp_value_replace(value, kp_xstrdup("nftables"));
	return 0;
}

/* NP-4: none is the primary address to the mode nftables, and all addresses to the others. */
static void settle_node_ports(struct kp_options *o, int mode)
{
	struct kp_value *value = kp_values_find(o->values, "nodePortAddresses");
	bool all = strcmp(value->text, "all") == 0;

	if (!*value->text && mode == KP_MODE_NFTABLES) {
		kp_value_replace(value, kp_xstrdup("primary"));
	} else if (!*value->text) {
		all = true;
		kp_notes_add(&o->notes, KP_LOG_WARN,
			     "node ports are open on all addresses of this node",
			     "set=nodePortAddresses");
	}
	if (all)
		kp_value_replace(value, kp_xstrdup("0.0.0.0/0,::/0"));
}

/* --- the node --- */

static int settle_node_name(struct kp_options *o, struct kp_err *err)
{
	const struct kp_value *value = kp_values_find(o->values, "hostnameOverride");
	char name[sizeof(o->node_name)];

	if (*value->text) {
		if (kp_set_node_name(o, value->text) == 0)
			return 0;
		return kp_value_refuse(value, value->named, err);
	}
	if (gethostname(name, sizeof(name)) < 0)
		return kp_err_errno(err, errno, "gethostname");
	name[sizeof(name) - 1] = 0;
	if (kp_set_node_name(o, name) < 0)
		return kp_err_set(err, EINVAL,
				  "the host name '%s' cannot name a node; give --hostname-override",
				  name);
	return 0;
}

/* --- servers --- */

/* Gives an address its port and brings it into its usual form.  "" stays: the server is off. */
static int settle_server(struct kp_options *o, const char *field, const char *port_flag,
			 const char *ipv6_default, struct kp_err *err)
{
	struct kp_value *value = kp_values_find(o->values, field);
	const struct kp_value *bind = kp_values_find(o->values, "bindAddress");
	int port = atoi(kp_values_find(o->values, port_flag)->text);
	char text[KP_ADDR_TEXT_SIZE];
	struct kp_addr_port at;

	if (!value->given && strchr(bind->text, ':'))
		kp_value_replace(value, kp_xstrdup(ipv6_default));
	if (!value->given)
		*strrchr(value->text, ':') = 0;
	if (!*value->text || port == 0) {
		kp_value_replace(value, kp_xstrdup(""));
		return 0;
	}
	if (kp_addr_port_parse(value->text, port, &at) < 0)
		return kp_value_refuse(value, value->named, err);
	kp_addr_port_text(at.family, &at.addr, at.port, text);
	kp_value_replace(value, kp_xstrdup(text));
	return 0;
}

/* --- into the struct --- */

static void store(struct kp_options *o, const struct kp_option *option, const char *text)
{
	char *at = (char *)o + option->at;
	int64_t ms = 0;

	switch (option->type) {
	case KP_OPTION_SWITCH:
		*(bool *)at = strcmp(text, "true") == 0;
		break;
	case KP_OPTION_NUMBER:
		*(int32_t *)at = strtol(text, NULL, 10);
		break;
	case KP_OPTION_DURATION:
		kp_duration_parse_ms(text, &ms);
		*(int64_t *)at = ms;
		break;
	default:
		*(const char **)at = *text ? text : NULL;
	}
}

static int fill(struct kp_options *o, struct kp_err *err)
{
	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *option = &kp_option_table[i];
		const struct kp_value *value = &o->values->items[i];

		if (option->at)
			store(o, option, value->text);
		if (option->set && option->set(o, value->text) < 0)
			return kp_value_refuse(value, option, err);
	}
	return 0;
}

/* --- what several options say together --- */

/* What the mode of telling pods needs. */
static int check_detection(struct kp_options *o, struct kp_err *err)
{
	bool by_name = o->settings.detect == KP_DETECT_INTERFACE;
	const char *name = by_name ? o->pod_bridge : o->pod_interface_prefix;
	const struct kp_value *mode = kp_values_find(o->values, "detectLocalMode");
	const struct kp_value *missing =
		kp_values_find(o->values, by_name ? "detectLocal.bridgeInterface"
						  : "detectLocal.interfaceNamePrefix");
	char name_of_mode[64], name_of_missing[64];

	if (o->pods_by_node_cidr)
		memset(o->settings.has_pod_range, 0, sizeof(o->settings.has_pod_range));
	if (o->settings.detect == KP_DETECT_RANGE)
		return 0;
	if (!*name)
		return kp_err_set(err, EINVAL, "%s: %s needs %s",
				  kp_option_name(mode->named, mode->by_flag, name_of_mode),
				  mode->text,
				  kp_option_name(missing->named, mode->by_flag, name_of_missing));
	strcpy(o->settings.pod_interface, name);
	return 0;
}

static int check_periods(const struct kp_options *o, struct kp_err *err)
{
	const struct kp_value *min = kp_values_find(o->values, "nftables.minSyncPeriod");
	const struct kp_value *max = kp_values_find(o->values, "nftables.syncPeriod");
	char name_of_min[64], name_of_max[64];

	if (o->min_sync_period_ms <= o->sync_period_ms)
		return 0;
	return kp_err_set(err, EINVAL, "%s: %s is longer than %s, %s",
			  kp_option_name(min->named, min->by_flag, name_of_min), min->text,
			  kp_option_name(max->named, min->by_flag, name_of_max), max->text);
}

/* Two sources of the same Service would each remove what only the other one has. */
static int check_source(const struct kp_options *o, struct kp_err *err)
{
	const struct kp_value *kubeconfig = kp_values_find(o->values,
							   "clientConnection.kubeconfig");
	char name[64];

	if (!o->manifests || (!o->kubeconfig && !o->master))
		return 0;
	return kp_err_set(err, EINVAL,
			  "--manifests together with %s: objects come from one source only",
			  o->kubeconfig
				  ? kp_option_name(kubeconfig->named, kubeconfig->by_flag, name)
				  : "--master");
}

/* LD-1: in such a family nobody is masqueraded to cluster IPs. */
static void note_missing_ranges(struct kp_options *o)
{
	const bool *has = o->settings.has_pod_range;

	if (o->settings.detect != KP_DETECT_RANGE || o->pods_by_node_cidr)
		return;
	if (!has[KP_IPV4] && !has[KP_IPV6])
		kp_notes_add(&o->notes, KP_LOG_INFO, "no source counts as a pod",
			     "set=clusterCIDR");
	else if (!has[KP_IPV4] || !has[KP_IPV6])
		kp_notes_add(&o->notes, KP_LOG_INFO, "no source of this family counts as a pod",
			     "family=%s set=clusterCIDR",
			     kp_family_name(has[KP_IPV4] ? KP_IPV6 : KP_IPV4));
}

static void note_ignored(struct kp_options *o)
{
	char names[768] = "", name[64];

	for (size_t i = 0; i < kp_n_options; i++) {
		const struct kp_option *option = &kp_option_table[i];
		const struct kp_value *value = &o->values->items[i];
		size_t len = strlen(names);

		if (option->effect == KP_OPTION_IGNORED &&
		    strcmp(value->text, option->preset ? option->preset : "") != 0)
			snprintf(names + len, sizeof(names) - len, "%s%s", len ? " " : "",
				 kp_option_name(option, value->by_flag, name));
	}
	if (*names)
		kp_notes_add(&o->notes, KP_LOG_INFO,
			     "without effect here, see docs/configuration.md", "options=\"%s\"",
			     names);
}

int kp_options_settle(struct kp_options *o, bool by_file, struct kp_err *err)
{
	int mode;

	set_defaults(o->values);
	if (settle_mode(o, by_file, &mode, err) < 0 || settle_node_name(o, err) < 0 ||
	    settle_server(o, "healthzBindAddress", "--healthz-port", "[::]:10256", err) < 0 ||
	    settle_server(o, "metricsBindAddress", "--metrics-port", "[::1]:10249", err) < 0)
		return -EINVAL;
	settle_node_ports(o, mode);
	if (fill(o, err) < 0 || check_detection(o, err) < 0 || check_periods(o, err) < 0 ||
	    check_source(o, err) < 0)
		return -EINVAL;
	note_missing_ranges(o);
	note_ignored(o);
	return 0;
}
