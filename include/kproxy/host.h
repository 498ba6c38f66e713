/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the host's own state is set: the connection tracker's limits and this process's OOM
 * score. */
#ifndef KPROXY_HOST_H
#define KPROXY_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "kproxy/err.h"

/* Times in ms; 0 leaves the host's value as it is. */
struct kp_host_settings {
	int32_t oom_score_adj;		 /* -1000..1000 */
	uint32_t conntrack_max_per_core; /* 0: leave net.netfilter.nf_conntrack_max alone */
	uint32_t conntrack_min;		 /* floor for the above */
	uint64_t tcp_established_ms;
	uint64_t tcp_close_wait_ms;
	uint64_t udp_ms;
	uint64_t udp_stream_ms;
	bool tcp_be_liberal;
};

/* Writes what differs (HS-1 ... HS-4).  Everything is tried: -errno of the first file that could
 * not be written, with a text that names all of them.  The score is best effort. */
int kp_host_apply(const struct kp_host_settings *settings, struct kp_err *err);

#endif
