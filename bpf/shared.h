/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs and the daemon both know: the layout of the maps.
 *
 *   services   what a client dials -> the index of its frontend
 *   frontends  index -> where its endpoints are: one word, replaced by one store
 *   endpoints  the endpoints of a frontend, side by side
 *
 * Frontends and endpoints are arrays that the daemon has mapped into its memory: a change is a
 * store there and no system call.  Each has a map for IPv4 and one for IPv6.  Addresses and ports
 * are in network byte order. */
#ifndef KPROXY_BPF_SHARED_H
#define KPROXY_BPF_SHARED_H

#include <linux/types.h>

enum kp_bpf_scope {
	KP_BPF_EXACT,	 /* the address itself */
	KP_BPF_NODE_PORT /* any node port address; 'addr' is zero */
};

/* Keys of the services maps. */
union kp_bpf_key4 {
	struct {
		__be32 addr;
		__be16 port;
		__u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
		__u8 scope; /* enum kp_bpf_scope */
	};
	__u64 all;
};
_Static_assert(sizeof(union kp_bpf_key4) == 8, "padding would break lookups");

struct kp_bpf_key6 {
	__be32 addr[4];
	__be16 port;
	__u8 proto;
	__u8 scope;
};
_Static_assert(sizeof(struct kp_bpf_key6) == 20, "padding would break lookups");

/* The endpoints of a frontend are [first, first + count) of the endpoints map; none means that
 * clients are refused. */
#define KP_BPF_WORD(first, count) ((__u64)(first) << 32 | (count))
#define KP_BPF_FIRST(word) ((__u32)((word) >> 32))
#define KP_BPF_COUNT(word) ((__u32)(word))

/* The key tells a program whether what it found is still what it looked for: an element of a hash
 * map is reused at once, under the eyes of a program that still reads it. */
struct kp_bpf_frontend4 {
	__u64 word;
	union kp_bpf_key4 key;
};

struct kp_bpf_frontend6 {
	__u64 word;
	struct kp_bpf_key6 key;
	__u32 unused;
};

union kp_bpf_endpoint4 {
	struct {
		__be32 addr;
		__be16 port;
		__u16 unused;
	};
	__u64 all; /* read and written as one */
};
_Static_assert(sizeof(union kp_bpf_endpoint4) == 8, "must be one store");

struct kp_bpf_endpoint6 {
	__be32 addr[4];
	__be16 port;
	__u16 unused[3];
};
_Static_assert(sizeof(struct kp_bpf_endpoint6) == 24, "array elements are multiples of 8");

/* Values of the node_addrs maps: who reaches node ports by this address. */
enum kp_bpf_reach {
	KP_BPF_REACH_ALL = 1,
	KP_BPF_REACH_NODE /* loopback: sockets of the node itself */
};

/* An address and port as a socket has it; IPv4 as ::ffff:a.b.c.d. */
struct kp_bpf_peer {
	__be32 addr[4];
	__be16 port;
	__u16 unused;
};

/* What a UDP socket dialed and what it got instead. */
struct kp_bpf_pair {
	struct kp_bpf_peer frontend, endpoint;
	__u32 slot;
};

#define KP_BPF_PAIRS 4 /* the destinations that an unconnected socket is known to talk to */

/* Storage of a UDP socket. */
struct kp_bpf_record {
	__u64 cookie;	   /* of the socket */
	__u32 pid;	   /* the process that connected it or sent first */
	__u8 is_connected; /* to pairs[0]; the others are empty */
	__u8 next;	   /* the pair that is overwritten next */
	__u16 unused;
	struct kp_bpf_pair pairs[KP_BPF_PAIRS];
};

/* Indices of the counters map. */
enum kp_bpf_counter {
	KP_BPF_CONNECTED, /* a connect() went to an endpoint */
	KP_BPF_REFUSED,	  /* a connect() found no endpoint */
	KP_BPF_SENT,	  /* a datagram of an unconnected socket went to an endpoint */
	KP_BPF_RECEIVED,  /* the source of a datagram was turned back into the frontend */
	KP_BPF_NAMED,	  /* so was the answer of getpeername() */
	KP_BPF_BOUND,	  /* the socket is bound to a loopback address; left to nft */
	KP_BPF_N_COUNTERS
};

/* Constants of the programs, set before they are loaded. */
struct kp_bpf_constants {
	__u64 node_netns; /* cookie of the node's network namespace */
	__u8 node_only;	  /* leave the sockets of other network namespaces alone */
	__u8 can_refuse;  /* the kernel lets a program choose the error */
	__u8 unused[6];
};

#endif
