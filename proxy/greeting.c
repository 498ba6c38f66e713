/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "greeting.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bpf/place.h"
#include "conntrack/table.h"
#include "kproxy/log.h"
#include "kproxy/version.h"

void kp_greet(const struct kp_options *o)
{
	kp_log_info("main", "starting", "version=" KPROXY_VERSION " mode=%s node=%s pid=%d",
		    o->bpf_mode ? "bpf" : "nft", kp_log_quote(o->node_name), (int)getpid());
}

static const char *describe_conntrack(void)
{
	switch (kp_table_probe()) {
	case KP_TABLE_FILTERED:
		return "ok";
	case KP_TABLE_UNFILTERED:
		return "\"without filters, all entries are read\"";
	case KP_TABLE_MISSING:
		break;
	}
	return "\"missing, stale flows stay until they time out\"";
}

static const char *describe_btf(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		return "ok";
	return "\"missing, connected UDP sockets stay with endpoints that are gone\"";
}

static const char *describe_cgroup(const char *root)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_bpf_cgroup cgroup;

	if (kp_bpf_open_cgroup(root, &cgroup, &err) < 0)
		return kp_log_quote(err.text);
	close(cgroup.fd);
	return "ok";
}

void kp_greet_kernel(const struct kp_options *o)
{
	struct utsname kernel = {0};
	char hooks[1536] = "";

	uname(&kernel);
	if (o->bpf_mode)
		snprintf(hooks, sizeof(hooks), " btf=%s cgroup2=%s", describe_btf(),
			 describe_cgroup(o->settings.hooks.cgroup_root));
	kp_log_info("main", "kernel", "release=%s nf_tables=ok conntrack=%s%s",
		    kp_log_quote(kernel.release), describe_conntrack(), hooks);
}
