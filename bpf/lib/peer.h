/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Socket addresses, in and out of the context of a hook. */
#ifndef KPROXY_BPF_PEER_H
#define KPROXY_BPF_PEER_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/shared.h"

static __always_inline struct kp_bpf_peer peer_of4(__be32 addr, __be16 port)
{
	return (struct kp_bpf_peer){.addr = {0, 0, bpf_htonl(0xffff), addr}, .port = port};
}

static __always_inline bool peer_is4(const struct kp_bpf_peer *p)
{
	return p->addr[0] == 0 && p->addr[1] == 0 && p->addr[2] == bpf_htonl(0xffff);
}

static __always_inline bool peer_equal(const struct kp_bpf_peer *a, const struct kp_bpf_peer *b)
{
	return a->addr[3] == b->addr[3] && a->port == b->port && a->addr[0] == b->addr[0] &&
	       a->addr[1] == b->addr[1] && a->addr[2] == b->addr[2];
}

static __always_inline bool is_loopback4(__be32 addr)
{
	return (addr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline bool is_loopback6(const __be32 addr[4])
{
	return addr[0] == 0 && addr[1] == 0 && addr[2] == 0 && addr[3] == bpf_htonl(1);
}

static __always_inline struct kp_bpf_peer ctx_peer4(const struct bpf_sock_addr *ctx)
{
	return peer_of4(ctx->user_ip4, ctx->user_port);
}

static __always_inline struct kp_bpf_peer ctx_peer6(const struct bpf_sock_addr *ctx)
{
	return (struct kp_bpf_peer){.addr = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
					     ctx->user_ip6[3]},
				    .port = ctx->user_port};
}

/* 'user_port' is stored as a whole word: newer kernels refuse narrower stores. */
static __always_inline void ctx_set_peer4(struct bpf_sock_addr *ctx, const struct kp_bpf_peer *p)
{
	ctx->user_ip4 = p->addr[3];
	ctx->user_port = p->port;
}

static __always_inline void ctx_set_peer6(struct bpf_sock_addr *ctx, const struct kp_bpf_peer *p)
{
	ctx->user_ip6[0] = p->addr[0];
	ctx->user_ip6[1] = p->addr[1];
	ctx->user_ip6[2] = p->addr[2];
	ctx->user_ip6[3] = p->addr[3];
	ctx->user_port = p->port;
}

#endif
