/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "takeover/takeover.h"

#include <errno.h>
#include <inttypes.h>
#include <uv.h>

#include "kproxy/log.h"

enum {
	MAX_TRIES = 3 /* kube-proxy itself may still be at work */
};

int kp_takeover(enum kp_leftover_scope scope, struct kp_leftover_counts *ret, struct kp_err *err)
{
	bool counted = false;
	int r = -EAGAIN;

	for (int i = 0; i < MAX_TRIES && r < 0; i++) {
		struct kp_leftovers found = {0};

		r = kp_leftovers_find(scope, &found, err);
		if (r == 0 && !counted) {
			*ret = kp_leftovers_count(&found);
			counted = true;
		}
		if (r == 0)
			r = kp_leftovers_remove(&found, err);
		kp_leftovers_clear(&found);
	}
	return r;
}

static void tell_what_went(const struct kp_leftover_counts *n, int64_t took_us)
{
	if (kp_leftover_counts_are_zero(n))
		kp_log_debug("takeover", "kube-proxy left nothing", "took_us=%" PRId64, took_us);
	else
		kp_log_info(
			"takeover", "removed what kube-proxy left",
			"tables=%zu chains=%zu rules=%zu ipsets=%zu devices=%zu took_us=%" PRId64,
			n->tables, n->chains, n->rules, n->ipsets, n->devices, took_us);
}

static void tell_what_stays(const struct kp_leftover_counts *n)
{
	if (n->legacy_unread)
		kp_log_warn("takeover",
			    "iptables-legacy has tables, but its programs do not run here; if "
			    "kube-proxy used them, run kproxy takeover where they do",
			    NULL);
	if (n->ipvs_stays)
		kp_log_warn("takeover",
			    "kube-proxy's ipvs mode was here; when its connections have ended, "
			    "run kproxy takeover",
			    NULL);
	if (n->virtual_servers > 0)
		kp_log_warn(
			"takeover",
			"IPVS has virtual servers; if all are kube-proxy's, run ipvsadm --clear",
			"servers=%zu", n->virtual_servers);
}

int kp_takeover_and_tell(enum kp_leftover_scope scope, struct kp_err *err)
{
	struct kp_leftover_counts n = {0};
	uint64_t start_ns = uv_hrtime();
	int r = kp_takeover(scope, &n, err);

	if (r < 0)
		return r;
	tell_what_went(&n, (uv_hrtime() - start_ns) / 1000);
	tell_what_stays(&n);
	return 0;
}
