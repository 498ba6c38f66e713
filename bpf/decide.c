/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/decide.h"

const struct kp_endpoint_set *kp_bpf_endpoints(const struct kp_vservice *v,
					       const struct kp_frontend *f)
{
	return f->policy == KP_POLICY_INTERNAL_LOCAL ? &v->local : &v->cluster;
}

enum kp_bpf_decision kp_bpf_decide(const struct kp_vservice *v, const struct kp_frontend *f,
				   bool hook_udp)
{
	if (v->proto != IPPROTO_TCP && v->proto != IPPROTO_UDP)
		return KP_BPF_PASS_PROTOCOL;
	if (v->proto == IPPROTO_UDP && !hook_udp)
		return KP_BPF_PASS_UDP;
	if (f->guarded)
		return KP_BPF_PASS_SOURCES;
	if (v->affinity.timeout_s)
		return KP_BPF_PASS_AFFINITY;
	if (kp_bpf_endpoints(v, f)->n > 0)
		return KP_BPF_HOOKED;
	if (v->has_any || v->cluster.n > 0 || v->local.n > 0)
		return KP_BPF_PASS_DROP;
	return v->proto == IPPROTO_TCP ? KP_BPF_HOOKED : KP_BPF_PASS_ICMP;
}

const char *kp_bpf_decision_reason(enum kp_bpf_decision decision)
{
	static const char *const reasons[] = {
		[KP_BPF_HOOKED] = NULL,
		[KP_BPF_PASS_PROTOCOL] = "protocol",
		[KP_BPF_PASS_UDP] = "udp off",
		[KP_BPF_PASS_SOURCES] = "source ranges",
		[KP_BPF_PASS_AFFINITY] = "session affinity",
		[KP_BPF_PASS_DROP] = "no endpoint here",
		[KP_BPF_PASS_ICMP] = "no endpoint",
	};

	return reasons[decision];
}
