/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what a client dials to an endpoint. */
#ifndef KPROXY_BPF_SERVICE_H
#define KPROXY_BPF_SERVICE_H

#include "lib/maps.h"
#include "lib/peer.h"

/* No frontend's word: the number of endpoints does not reach that far. */
#define NOT_A_SERVICE (~0ULL)

/* The word of a frontend, read in one load.  When the index led to somebody else's frontend, the
 * service was just deleted; another one may have come in its place. */
static __always_inline __u64 word_of4(const union kp_bpf_key4 *key)
{
	for (int i = 0; i < 2; i++) {
		__u32 *found = bpf_map_lookup_elem(&services4, key), index;
		const struct kp_bpf_frontend4 *f;
		__u64 word;

		if (!found)
			return NOT_A_SERVICE;
		index = *(volatile __u32 *)found;
		f = bpf_map_lookup_elem(&frontends4, &index);
		if (!f)
			return NOT_A_SERVICE;
		word = *(volatile __u64 *)&f->word;
		if (f->key.all == key->all)
			return word;
	}
	return NOT_A_SERVICE;
}

static __always_inline bool key_equal6(const struct kp_bpf_key6 *a, const struct kp_bpf_key6 *b)
{
	return a->addr[3] == b->addr[3] && a->addr[2] == b->addr[2] && a->addr[1] == b->addr[1] &&
	       a->addr[0] == b->addr[0] && a->port == b->port && a->proto == b->proto &&
	       a->scope == b->scope;
}

static __always_inline __u64 word_of6(const struct kp_bpf_key6 *key)
{
	for (int i = 0; i < 2; i++) {
		__u32 *found = bpf_map_lookup_elem(&services6, key), index;
		const struct kp_bpf_frontend6 *f;
		__u64 word;

		if (!found)
			return NOT_A_SERVICE;
		index = *(volatile __u32 *)found;
		f = bpf_map_lookup_elem(&frontends6, &index);
		if (!f)
			return NOT_A_SERVICE;
		word = *(volatile __u64 *)&f->word;
		if (key_equal6(&f->key, key))
			return word;
	}
	return NOT_A_SERVICE;
}

/* The socket is in the node's own network namespace. */
static __always_inline bool is_on_node(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == constants.node_netns;
}

/* All of 127.0.0.0/8 stands for 127.0.0.1. */
static __always_inline bool is_node_port_addr(struct bpf_sock_addr *ctx,
					      const struct kp_bpf_peer *to)
{
	__be32 addr[4] = {to->addr[0], to->addr[1], to->addr[2], to->addr[3]};
	__u32 *reach;

	if (peer_is4(to) && is_loopback4(addr[3]))
		addr[3] = bpf_htonl(0x7f000001);
	reach = bpf_map_lookup_elem(&node_addrs, addr);
	return reach && (*reach == KP_BPF_REACH_ALL || is_on_node(ctx));
}

static __always_inline __u64 find4(struct bpf_sock_addr *ctx, const struct kp_bpf_peer *to)
{
	union kp_bpf_key4 key = {.addr = to->addr[3], .port = to->port, .proto = ctx->protocol};
	__u64 word = word_of4(&key);

	if (word != NOT_A_SERVICE || !is_node_port_addr(ctx, to))
		return word;
	key.addr = 0;
	key.scope = KP_BPF_NODE_PORT;
	return word_of4(&key);
}

static __always_inline __u64 find6(struct bpf_sock_addr *ctx, const struct kp_bpf_peer *to)
{
	struct kp_bpf_key6 key = {.addr = {to->addr[0], to->addr[1], to->addr[2], to->addr[3]},
				  .port = to->port,
				  .proto = ctx->protocol};
	__u64 word = word_of6(&key);

	if (word != NOT_A_SERVICE || !is_node_port_addr(ctx, to))
		return word;
	key.addr[0] = key.addr[1] = key.addr[2] = key.addr[3] = 0;
	key.scope = KP_BPF_NODE_PORT;
	return word_of6(&key);
}

/* The word of the frontend 'to', or NOT_A_SERVICE. */
static __always_inline __u64 find_service(struct bpf_sock_addr *ctx, const struct kp_bpf_peer *to)
{
	return peer_is4(to) ? find4(ctx, to) : find6(ctx, to);
}

/* Reads the endpoint in 'slot' of the same family as 'to'. */
static __always_inline bool read_endpoint(const struct kp_bpf_peer *to, __u64 word, __u32 slot,
					  struct kp_bpf_peer *ret)
{
	__u32 index = KP_BPF_FIRST(word) + slot;

	if (peer_is4(to)) {
		const union kp_bpf_endpoint4 *cell = bpf_map_lookup_elem(&endpoints4, &index);
		union kp_bpf_endpoint4 e;

		if (!cell)
			return false;
		e.all = *(volatile __u64 *)&cell->all;
		*ret = peer_of4(e.addr, e.port);
	} else {
		const struct kp_bpf_endpoint6 *e = bpf_map_lookup_elem(&endpoints6, &index);

		if (!e)
			return false;
		*ret = (struct kp_bpf_peer){
			.addr = {e->addr[0], e->addr[1], e->addr[2], e->addr[3]}, .port = e->port};
	}
	return true;
}

static __always_inline bool is_in_slot(const struct kp_bpf_peer *to, __u64 word, __u32 slot,
				       const struct kp_bpf_peer *endpoint)
{
	struct kp_bpf_peer found;

	return slot < KP_BPF_COUNT(word) && read_endpoint(to, word, slot, &found) &&
	       peer_equal(&found, endpoint);
}

#define SEARCHED_SLOTS 64 /* the verifier walks through all of them at each load: 10 ms */

/* The slot of an endpoint among the first ones, or -1.  Not static, so that the verifier looks at
 * the loop once and not in every place that leads here. */
__attribute__((noinline)) int search_slot4(__u64 word, __u64 endpoint)
{
	for (__u32 slot = 0; slot < SEARCHED_SLOTS && slot < KP_BPF_COUNT(word); slot++) {
		__u32 index = KP_BPF_FIRST(word) + slot;
		const union kp_bpf_endpoint4 *e = bpf_map_lookup_elem(&endpoints4, &index);

		if (!e)
			break;
		if (*(volatile __u64 *)&e->all == endpoint)
			return slot;
	}
	return -1;
}

__attribute__((noinline)) int search_slot6(__u64 word, __u64 addr_start, __u64 addr_end, __u32 port)
{
	for (__u32 slot = 0; slot < SEARCHED_SLOTS && slot < KP_BPF_COUNT(word); slot++) {
		__u32 index = KP_BPF_FIRST(word) + slot;
		const struct kp_bpf_endpoint6 *e = bpf_map_lookup_elem(&endpoints6, &index);

		if (!e)
			break;
		if (*(const __u64 *)&e->addr[0] == addr_start &&
		    *(const __u64 *)&e->addr[2] == addr_end && e->port == port)
			return slot;
	}
	return -1;
}

static __always_inline int search_slot(__u64 word, const struct kp_bpf_peer *endpoint)
{
	union kp_bpf_endpoint4 e4 = {.addr = endpoint->addr[3], .port = endpoint->port};
	__u64 addr[2];

	if (peer_is4(endpoint))
		return search_slot4(word, e4.all);
	__builtin_memcpy(addr, endpoint->addr, sizeof(addr));
	return search_slot6(word, addr[0], addr[1], endpoint->port);
}

/* Whether the endpoint of a pair is still one of the frontend 'to', whose word is 'word'.  When
 * another endpoint left, this one may have taken its slot: then the pair is put right. */
static __always_inline bool find_endpoint(const struct kp_bpf_peer *to, __u64 word,
					  struct kp_bpf_pair *pair)
{
	int slot;

	if (is_in_slot(to, word, pair->slot, &pair->endpoint))
		return true;
	slot = search_slot(word, &pair->endpoint);
	if (slot < 0)
		return false;
	pair->slot = slot;
	return true;
}

/* 'random' scaled to the number of slots: without division, and every slot equally likely. */
static __always_inline __u32 slot_of(__u32 random, __u64 word)
{
	return (__u64)random * KP_BPF_COUNT(word) >> 32;
}

#endif
