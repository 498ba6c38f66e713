/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/stale.h"

#include <arpa/inet.h>

#include "bpf/decide.h"

static enum kp_bpf_membership find(struct kp_bpf_table *const tables[KP_N_FAMILIES],
				   const struct kp_bpf_pair *pair, enum kp_bpf_scope scope)
{
	struct kp_bpf_dial dial = {
		.port = ntohs(pair->frontend.port), .proto = IPPROTO_UDP, .scope = scope};
	struct kp_target endpoint = {.port = ntohs(pair->endpoint.port)};
	enum kp_family family = KP_IPV6;
	size_t skip = 0;

	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)pair->frontend.addr)) {
		family = KP_IPV4;
		skip = 12;
	}
	if (scope == KP_BPF_EXACT)
		memcpy(dial.addr.bytes, (const char *)pair->frontend.addr + skip, 16 - skip);
	memcpy(endpoint.addr.bytes, (const char *)pair->endpoint.addr + skip, 16 - skip);
	return kp_bpf_table_find(tables[family], &dial, &endpoint);
}

bool kp_bpf_is_stale(struct kp_bpf_table *const tables[KP_N_FAMILIES],
		     const struct kp_bpf_record *record)
{
	enum kp_bpf_membership found = find(tables, &record->pairs[0], KP_BPF_EXACT);

	if (found == KP_BPF_UNKNOWN)
		found = find(tables, &record->pairs[0], KP_BPF_NODE_PORT);
	return found == KP_BPF_NO_MEMBER;
}

/* Both sets are sorted. */
static bool lost_any(const struct kp_endpoint_set *have, const struct kp_endpoint_set *want)
{
	uint32_t h = 0, w = 0;

	while (h < have->n && w < want->n) {
		int r = kp_target_compare(&have->slots[h], &want->slots[w]);

		if (r < 0)
			return true;
		h += r == 0;
		w++;
	}
	return h < have->n;
}

static bool is_hooked(const struct kp_vservice *v)
{
	for (size_t i = 0; i < v->n_frontends; i++)
		if (kp_bpf_decide(v, &v->frontends[i], true) == KP_BPF_HOOKED)
			return true;
	return false;
}

static bool may_strand(const struct kp_vservice *have, const struct kp_vservice *want)
{
	if (want->proto != IPPROTO_UDP || !is_hooked(want))
		return false;
	return !have || !is_hooked(have) || lost_any(&have->serving, &want->serving);
}

bool kp_bpf_may_strand_sockets(const struct kp_plan *plan)
{
	for (size_t i = 0; i < plan->n_changes; i++) {
		const struct kp_change *change = &plan->changes[i];

		for (size_t j = 0; j < change->want.n; j++) {
			const struct kp_vservice *want = &change->want.items[j];

			if (may_strand(kp_vservices_find(change->have, want), want))
				return true;
		}
	}
	return false;
}
