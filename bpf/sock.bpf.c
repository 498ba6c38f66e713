/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks on connect(), sendmsg(), recvmsg() and getpeername(): a socket that dials a frontend talks
 * to an endpoint, and nothing is left to do per packet.
 *
 * What is not in the maps is left to nft, which is complete underneath.  See docs/bpf.md. */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/maps.h"
#include "lib/peer.h"
#include "lib/record.h"
#include "lib/service.h"

/* What a program returns. */
enum {
	DENY = 0,
	ALLOW = 1
};

enum verdict {
	PASS,
	TRANSLATE,
	REFUSE
};

static __always_inline bool is_covered(struct bpf_sock_addr *ctx)
{
	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
		return false;
	return !constants.node_only || is_on_node(ctx);
}

/* A socket bound to a loopback address cannot leave by another device: after translation the
 * kernel answers EINVAL. */
static __always_inline bool is_bound_to_loopback(struct bpf_sock_addr *ctx,
						 const struct kp_bpf_peer *to)
{
	struct bpf_sock *sk = ctx->sk;
	__be32 addr[4];

	if (!sk)
		return false;
	if (peer_is4(to))
		return is_loopback4(sk->src_ip4);
	addr[0] = sk->src_ip6[0];
	addr[1] = sk->src_ip6[1];
	addr[2] = sk->src_ip6[2];
	addr[3] = sk->src_ip6[3];
	return is_loopback6(addr);
}

/* Whether a frontend with endpoints is dialed: then '*word' says where they are. */
static __always_inline enum verdict judge(struct bpf_sock_addr *ctx, const struct kp_bpf_peer *to,
					  __u64 *word)
{
	*word = find_service(ctx, to);
	if (*word == NOT_A_SERVICE)
		return PASS;
	if (is_bound_to_loopback(ctx, to)) {
		count(KP_BPF_BOUND);
		return PASS;
	}
	return KP_BPF_COUNT(*word) ? TRANSLATE : REFUSE;
}

static __always_inline int refuse(void)
{
	if (!constants.can_refuse)
		return ALLOW;
	count(KP_BPF_REFUSED);
	/* A literal: the verifier wants to see that it is an error. */
	bpf_set_retval(-111 /* ECONNREFUSED */);
	return DENY;
}

/* Replaces '*peer' by an endpoint. */
static __always_inline enum verdict connect_peer(struct bpf_sock_addr *ctx,
						 struct kp_bpf_peer *peer)
{
	struct kp_bpf_pair pair = {.frontend = *peer};
	enum verdict verdict;
	__u64 word;

	if (!is_covered(ctx))
		return PASS;
	verdict = judge(ctx, peer, &word);
	if (verdict == TRANSLATE) {
		pair.slot = slot_of(bpf_get_prandom_u32(), word);
		if (!read_endpoint(peer, word, pair.slot, &pair.endpoint))
			verdict = PASS;
	}
	if (ctx->protocol == IPPROTO_UDP) {
		if (verdict == TRANSLATE)
			record_connect(ctx, &pair);
		else
			record_forget(ctx);
	}
	if (verdict == TRANSLATE) {
		*peer = pair.endpoint;
		count(KP_BPF_CONNECTED);
	}
	return verdict;
}

/* All datagrams of a socket to a frontend go to one endpoint, as long as it is there.  For a new
 * choice the socket's cookie stands for chance, so that threads that send at once agree. */
static __always_inline bool send_peer(struct bpf_sock_addr *ctx, struct kp_bpf_peer *peer)
{
	struct kp_bpf_pair pair = {.frontend = *peer};
	struct kp_bpf_record *record;
	struct kp_bpf_pair known;
	__u32 at = KP_BPF_PAIRS;
	__u64 word;

	if (!is_covered(ctx) || judge(ctx, peer, &word) != TRANSLATE)
		return false;
	record = record_make(ctx);
	if (record)
		at = record_find(record, peer, &known);
	if (record && at < KP_BPF_PAIRS && find_endpoint(peer, word, &known)) {
		record_move(record, at, known.slot);
		*peer = known.endpoint;
		count(KP_BPF_SENT);
		return true;
	}
	pair.slot = slot_of(bpf_get_socket_cookie(ctx) * 0x9e3779b97f4a7c15ULL >> 32, word);
	if (!read_endpoint(peer, word, pair.slot, &pair.endpoint))
		return false;
	if (record)
		record_send(record, &pair);
	*peer = pair.endpoint;
	count(KP_BPF_SENT);
	return true;
}

static __always_inline bool reverse_peer(struct bpf_sock_addr *ctx, struct kp_bpf_peer *peer,
					 __u32 counter)
{
	if (ctx->protocol != IPPROTO_UDP || !record_reverse(ctx, peer))
		return false;
	count(counter);
	return true;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer4(ctx);
	enum verdict verdict = connect_peer(ctx, &peer);

	if (verdict == TRANSLATE)
		ctx_set_peer4(ctx, &peer);
	return verdict == REFUSE ? refuse() : ALLOW;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer6(ctx);
	enum verdict verdict = connect_peer(ctx, &peer);

	if (verdict == TRANSLATE)
		ctx_set_peer6(ctx, &peer);
	return verdict == REFUSE ? refuse() : ALLOW;
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer4(ctx);

	if (send_peer(ctx, &peer))
		ctx_set_peer4(ctx, &peer);
	return ALLOW;
}

/* The kernel hands IPv4 destinations of IPv6 sockets to sendmsg4. */
SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer6(ctx);

	if (send_peer(ctx, &peer))
		ctx_set_peer6(ctx, &peer);
	return ALLOW;
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer4(ctx);

	if (reverse_peer(ctx, &peer, KP_BPF_RECEIVED))
		ctx_set_peer4(ctx, &peer);
	return ALLOW;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer6(ctx);

	if (reverse_peer(ctx, &peer, KP_BPF_RECEIVED))
		ctx_set_peer6(ctx, &peer);
	return ALLOW;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer4(ctx);

	if (reverse_peer(ctx, &peer, KP_BPF_NAMED))
		ctx_set_peer4(ctx, &peer);
	return ALLOW;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct kp_bpf_peer peer = ctx_peer6(ctx);

	if (reverse_peer(ctx, &peer, KP_BPF_NAMED))
		ctx_set_peer6(ctx, &peer);
	return ALLOW;
}

char LICENSE[] SEC("license") = "GPL";
