/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered of a UDP socket, in its own storage: it dies with the socket. */
#ifndef KPROXY_BPF_RECORD_H
#define KPROXY_BPF_RECORD_H

#include "lib/maps.h"
#include "lib/peer.h"

static __always_inline struct kp_bpf_record *record_of(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&records, sk, NULL, 0) : NULL;
}

/* NULL when the socket's memory limit is reached. */
static __always_inline struct kp_bpf_record *record_make(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct kp_bpf_record *r;

	if (!sk)
		return NULL;
	r = bpf_sk_storage_get(&records, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (r && !r->cookie) {
		r->cookie = bpf_get_socket_cookie(ctx);
		r->pid = bpf_get_current_pid_tgid() >> 32;
	}
	return r;
}

/* Without this, a socket that is connected again, straight to a pod, would be told that its peer is
 * the frontend it had before. */
static __always_inline void record_forget(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_record *r = record_of(ctx);

	if (!r)
		return;
	r->is_connected = 0;
	r->next = 0;
	__builtin_memset(r->pairs, 0, sizeof(r->pairs));
}

static __always_inline void record_connect(struct bpf_sock_addr *ctx,
					   const struct kp_bpf_pair *pair)
{
	struct kp_bpf_record *r = record_make(ctx);

	if (!r)
		return;
	/* A socket that is moved to another endpoint by the daemon stays its owner's. */
	if (!r->is_connected || !peer_equal(&r->pairs[0].frontend, &pair->frontend))
		r->pid = bpf_get_current_pid_tgid() >> 32;
	__builtin_memset(r->pairs, 0, sizeof(r->pairs));
	r->next = 0;
	r->pairs[0] = *pair;
	r->is_connected = 1;
}

static __always_inline void record_send(struct kp_bpf_record *r, const struct kp_bpf_pair *pair)
{
	/* Of a connected socket, pairs[0] says where to. */
	__u32 at = r->next & (KP_BPF_PAIRS - 1);

	if (at == 0 && r->is_connected)
		at = 1;
	r->pairs[at] = *pair;
	r->next = at + 1;
}

/* Writes the last pair that was made for 'frontend' into '*ret'; returns its index, or KP_BPF_PAIRS
 * when there is none.  Older ones name endpoints that are gone, whose answers may still come. */
static __always_inline __u32 record_find(const struct kp_bpf_record *r,
					 const struct kp_bpf_peer *frontend,
					 struct kp_bpf_pair *ret)
{
	for (__u32 i = 1; i <= KP_BPF_PAIRS; i++) {
		__u32 at = (r->next - i) & (KP_BPF_PAIRS - 1);

		if (!peer_equal(&r->pairs[at].frontend, frontend))
			continue;
		*ret = r->pairs[at];
		return at;
	}
	return KP_BPF_PAIRS;
}

static __always_inline void record_move(struct kp_bpf_record *r, __u32 at, __u32 slot)
{
	at &= KP_BPF_PAIRS - 1;
	if (r->pairs[at].slot != slot)
		r->pairs[at].slot = slot;
}

/* Turns an endpoint back into the frontend that the socket dialed. */
static __always_inline bool record_reverse(struct bpf_sock_addr *ctx, struct kp_bpf_peer *peer)
{
	const struct kp_bpf_record *r = record_of(ctx);

	if (!r)
		return false;
	for (int i = 0; i < KP_BPF_PAIRS; i++) {
		if (!r->pairs[i].frontend.port || !peer_equal(&r->pairs[i].endpoint, peer))
			continue;
		*peer = r->pairs[i].frontend;
		return true;
	}
	return false;
}

#endif
