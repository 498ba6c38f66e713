/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our table consists of: its sets and maps, and how their keys are laid out.
 *
 * The ruleset is constant: every chain and rule exists from the start and never changes; Services
 * and endpoints are set elements only (docs/ruleset.md).  No map holds verdicts, because the kernel
 * walks all elements of all verdict maps of a table whenever one is added to any of them. */
#ifndef KPROXY_NFT_LAYOUT_H
#define KPROXY_NFT_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "kproxy/addr.h"

#define KP_NFT_TABLE "kproxy"

/* The packet fields that keys are made of. */
enum kp_nft_field {
	KP_FIELD_NONE,
	KP_FIELD_SADDR,	  /* ip saddr */
	KP_FIELD_DADDR,	  /* ip daddr */
	KP_FIELD_L4PROTO, /* meta l4proto */
	KP_FIELD_DPORT,	  /* th dport */
	KP_FIELD_SLOT,	  /* numgen random mod N: 32 bits in the host's byte order */
};

#define KP_NFT_MAX_FIELDS 4
#define KP_NFT_KEY_SIZE 32  /* two IPv6 addresses; address, protocol, port and slot need 28 */
#define KP_NFT_DATA_SIZE 20 /* IPv6 address, port */

enum kp_nft_set_id {
	/* Frontends with an address of their own: cluster IPs, external IPs, load balancer IPs. */
	KP_SET_SERVICES,  /* frontend : endpoint in slot 0; each with a comment for people */
	KP_SET_ENDPOINTS, /* frontend . slot : endpoint, where there are two or more */
	KP_SET_SLOTS_2,	  /* four sets tell how many slots a frontend has, as told by */
	KP_SET_SLOTS_4,	  /* kp_nft_slots_code() */
	KP_SET_SLOTS_8,
	KP_SET_SLOTS_16,
	KP_SET_EXTERNAL,     /* frontends whose clients are all masqueraded */
	KP_SET_NO_ENDPOINTS, /* frontends that reject */
	/* Node ports: the same without an address. */
	KP_SET_NODEPORTS,
	KP_SET_NODEPORT_ENDPOINTS,
	KP_SET_NODEPORT_SLOTS_2,
	KP_SET_NODEPORT_SLOTS_4,
	KP_SET_NODEPORT_SLOTS_8,
	KP_SET_NODEPORT_SLOTS_16,
	KP_SET_NODEPORT_EXTERNAL,
	KP_SET_NODEPORT_NO_ENDPOINTS,
	/* Facts. */
	KP_SET_HAIRPINS, /* every endpoint address paired with itself */
	KP_SET_CLUSTER_IPS,
	KP_SET_NODEPORT_IPS,  /* prefixes within which the node's addresses serve node ports */
	KP_SET_SERVICE_CIDRS, /* prefixes whose unused addresses are dropped */
	KP_N_SETS,
};

/* The offset from a set of the first group to the node ports' one. */
#define KP_NFT_NODEPORT_SETS (KP_SET_NODEPORTS - KP_SET_SERVICES)

struct kp_nft_set_desc {
	const char *name;
	uint8_t key[KP_NFT_MAX_FIELDS]; /* enum kp_nft_field, KP_FIELD_NONE ends */
	bool is_map;			/* to an endpoint: ip daddr . th dport */
	bool is_interval;
	bool is_shared; /* one element may stand for several virtual services */
};

extern const struct kp_nft_set_desc kp_nft_sets[KP_N_SETS];

/* The fields of a map's data: an endpoint's address and port. */
extern const uint8_t kp_nft_target[KP_NFT_MAX_FIELDS];

/* Number of bytes that a field takes in a key: padded to 32 bits. */
unsigned int kp_nft_field_size(enum kp_family family, enum kp_nft_field field);

/* Number of bytes of a set's key. */
unsigned int kp_nft_key_size(enum kp_family family, const struct kp_nft_set_desc *set);

/* Number of bytes of a map's data. */
unsigned int kp_nft_data_size(enum kp_family family);

/* Sizes of slot tables: the powers of two from 1 (2^0) to KP_MAX_SLOTS (2^15). */
#define KP_NFT_N_SIZES 16
#define KP_NFT_SLOTS_BITS 4

/* The exponent of the smallest slot table that holds 'n' endpoints; n >= 1. */
unsigned int kp_nft_size_of(uint32_t n);

/* Which of the four SLOTS sets a frontend is in: bit 0 for SLOTS_2 and so on.  Sizes up to 16 are
 * in the one set named after them, or in none; larger ones are in several. */
unsigned int kp_nft_slots_code(unsigned int size);

/* The size that has this code. */
unsigned int kp_nft_slots_decode(unsigned int code);

#endif
