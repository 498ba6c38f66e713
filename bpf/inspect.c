/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/inspect.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <unistd.h>

#include "bpf/decide.h"
#include "bpf/place.h"
#include "bpf/table.h"

enum map {
	SERVICES,
	FRONTENDS,
	ENDPOINTS,
	N_MAPS
};

struct kp_bpf_view {
	bool udp;
	int fds[KP_N_FAMILIES][N_MAPS];
};

static int open_pin(const char *root, const char *name, const char *suffix)
{
	kp_autofree char *path = kp_xasprintf("%s/" KP_BPF_DIRECTORY "/%s%s", root, name, suffix);

	return bpf_obj_get(path);
}

void kp_bpf_view_close(struct kp_bpf_view *view)
{
	if (!view)
		return;
	for (int f = 0; f < KP_N_FAMILIES; f++)
		for (int m = 0; m < N_MAPS; m++)
			if (view->fds[f][m] >= 0)
				close(view->fds[f][m]);
	free(view);
}

struct kp_bpf_view *kp_bpf_view_open(const char *root)
{
	static const char *const names[] = {"services", "frontends", "endpoints"};
	struct kp_bpf_view *view = kp_xcalloc(1, sizeof(*view));
	bool complete = true;
	int link;

	for (int f = 0; f < KP_N_FAMILIES; f++) {
		for (int m = 0; m < N_MAPS; m++) {
			view->fds[f][m] = open_pin(root, names[m], f == KP_IPV4 ? "4" : "6");
			complete &= view->fds[f][m] >= 0;
		}
	}
	link = open_pin(root, "link-", "sendmsg4");
	view->udp = link >= 0;
	if (link >= 0)
		close(link);
	if (complete)
		return view;
	kp_bpf_view_close(view);
	return NULL;
}

/* The frontend's word; false when the hooks do not know it. */
static bool read_word(const struct kp_bpf_view *view, enum kp_family family,
		      const struct kp_bpf_dial *dial, __u64 *ret)
{
	union {
		struct kp_bpf_frontend4 v4;
		struct kp_bpf_frontend6 v6;
	} frontend;
	union {
		union kp_bpf_key4 v4;
		struct kp_bpf_key6 v6;
	} key;
	__u32 index;

	kp_bpf_key_of(family, dial, &key);
	if (bpf_map_lookup_elem(view->fds[family][SERVICES], &key, &index) < 0 ||
	    bpf_map_lookup_elem(view->fds[family][FRONTENDS], &index, &frontend) < 0)
		return false;
	*ret = family == KP_IPV4 ? frontend.v4.word : frontend.v6.word;
	return true;
}

static bool same_endpoint(const struct kp_bpf_view *view, enum kp_family family, __u32 cell,
			  const struct kp_target *target)
{
	union kp_bpf_endpoint4 e4;
	struct kp_bpf_endpoint6 e6;

	if (family == KP_IPV4)
		return bpf_map_lookup_elem(view->fds[family][ENDPOINTS], &cell, &e4) == 0 &&
		       memcmp(&e4.addr, target->addr.bytes, 4) == 0 &&
		       ntohs(e4.port) == target->port;
	return bpf_map_lookup_elem(view->fds[family][ENDPOINTS], &cell, &e6) == 0 &&
	       memcmp(e6.addr, target->addr.bytes, 16) == 0 && ntohs(e6.port) == target->port;
}

/* Slots have no order of their own: a restart may have moved them in one of the layers. */
static bool has_target(const struct kp_bpf_view *view, enum kp_family family, __u64 word,
		       __u32 likely, const struct kp_target *target)
{
	if (same_endpoint(view, family, KP_BPF_FIRST(word) + likely, target))
		return true;
	for (__u32 i = 0; i < KP_BPF_COUNT(word); i++)
		if (same_endpoint(view, family, KP_BPF_FIRST(word) + i, target))
			return true;
	return false;
}

static bool same_endpoints(const struct kp_bpf_view *view, enum kp_family family, __u64 word,
			   const struct kp_endpoint_set *set)
{
	if (KP_BPF_COUNT(word) != set->n)
		return false;
	for (__u32 i = 0; i < set->n; i++)
		if (!has_target(view, family, word, i, &set->slots[i]))
			return false;
	return true;
}

enum kp_bpf_layer kp_bpf_view_get(const struct kp_bpf_view *view, const struct kp_vservice *v,
				  const struct kp_frontend *f, const char **ret_reason)
{
	enum kp_bpf_decision decision = kp_bpf_decide(v, f, view->udp);
	struct kp_bpf_dial dial = kp_bpf_dial_of(v, f);
	__u64 word = 0;
	bool known = read_word(view, v->family, &dial, &word);

	*ret_reason = NULL;
	if (known != (decision == KP_BPF_HOOKED) ||
	    (known && !same_endpoints(view, v->family, word, kp_bpf_endpoints(v, f))))
		return KP_BPF_LAYER_DIFFERS;
	*ret_reason = kp_bpf_decision_reason(decision);
	return known ? KP_BPF_LAYER_HOOKS : KP_BPF_LAYER_NFT;
}
