/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our table consists of: its sets and maps, and how their keys are laid out.
 *
 * The ruleset is constant: chains and rules do not change with Services and endpoints, which are
 * set elements only (docs/ruleset.md).  No map holds verdicts, because the kernel
 * walks all elements of all verdict maps of a table whenever one is added to any of them. */
#ifndef KPROXY_NFT_LAYOUT_H
#define KPROXY_NFT_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "kproxy/addr.h"

#define KP_NFT_TABLE "kproxy"

/* Flags of a table; newer than Debian 12's headers.  Persistent: when the owner's socket closes,
 * the table stays, and whoever asks for both flags owns it next.  Linux 6.9. */
#define KP_NFT_TABLE_OWNER 0x2U
#define KP_NFT_TABLE_PERSIST 0x4U

/* The packet fields that keys and data are made of. */
enum kp_nft_field {
	KP_FIELD_NONE,
	KP_FIELD_SADDR,	   /* ip saddr */
	KP_FIELD_DADDR,	   /* ip daddr */
	KP_FIELD_CLIENT,   /* ip saddr; the last 96 bits of ip6 saddr (docs/ruleset.md, "Traps") */
	KP_FIELD_L4PROTO,  /* meta l4proto */
	KP_FIELD_DPORT,	   /* th dport */
	KP_FIELD_SLOT,	   /* numgen random mod N: 32 bits in the host's byte order */
	KP_FIELD_PRIORITY, /* meta priority: the same; holds an affinity id while rules run */
	KP_FIELD_SECONDS,  /* numgen random mod 1 offset N, the constant N in nft's words: the same
			    */
};

#define KP_NFT_MAX_FIELDS 4
#define KP_NFT_KEY_SIZE 40  /* two IPv6 addresses, protocol and port */
#define KP_NFT_DATA_SIZE 20 /* IPv6 address, port */

enum kp_nft_set_id {
	/* Frontends with an address of their own: cluster IPs, external IPs, load balancer IPs. */
	KP_SET_SERVICES,  /* frontend : endpoint in slot 0; each with a comment for people */
	KP_SET_ENDPOINTS, /* frontend . slot : endpoint, for two or more without affinity */
	KP_SET_SLOTS_2,	  /* four sets tell how many slots a frontend has, as told by */
	KP_SET_SLOTS_4,	  /* kp_nft_slots_code() */
	KP_SET_SLOTS_8,
	KP_SET_SLOTS_16,
	KP_SET_LOCAL_SERVICES, /* the same six for the local sets of frontends with policy Local */
	KP_SET_LOCAL_ENDPOINTS,
	KP_SET_LOCAL_SLOTS_2,
	KP_SET_LOCAL_SLOTS_4,
	KP_SET_LOCAL_SLOTS_8,
	KP_SET_LOCAL_SLOTS_16,
	KP_SET_EXTERNAL,	   /* frontends that are not cluster IPs */
	KP_SET_EXTERNAL_LOCAL,	   /* those with policy KP_POLICY_EXTERNAL_LOCAL */
	KP_SET_NO_ENDPOINTS,	   /* frontends that reject */
	KP_SET_NO_LOCAL_ENDPOINTS, /* frontends that drop what was not translated */
	KP_SET_STICKY,		   /* frontend : affinity id of its virtual service */
	/* Node ports: the same without an address. */
	KP_SET_NODEPORTS,
	KP_SET_NODEPORT_ENDPOINTS,
	KP_SET_NODEPORT_SLOTS_2,
	KP_SET_NODEPORT_SLOTS_4,
	KP_SET_NODEPORT_SLOTS_8,
	KP_SET_NODEPORT_SLOTS_16,
	KP_SET_LOCAL_NODEPORTS,
	KP_SET_LOCAL_NODEPORT_ENDPOINTS,
	KP_SET_LOCAL_NODEPORT_SLOTS_2,
	KP_SET_LOCAL_NODEPORT_SLOTS_4,
	KP_SET_LOCAL_NODEPORT_SLOTS_8,
	KP_SET_LOCAL_NODEPORT_SLOTS_16,
	KP_SET_NODEPORT_EXTERNAL,
	KP_SET_NODEPORT_EXTERNAL_LOCAL,
	KP_SET_NODEPORT_NO_ENDPOINTS,
	KP_SET_NODEPORT_NO_LOCAL_ENDPOINTS,
	KP_SET_NODEPORT_STICKY,
	/* Only frontends with an address. */
	KP_SET_INTERNAL_LOCAL, /* cluster IPs with policy KP_POLICY_INTERNAL_LOCAL */
	KP_SET_GUARDED,	       /* frontends that admit only some sources, */
	KP_SET_ALLOWED,	       /* frontend . source prefix: these */
	/* Session affinity. */
	KP_SET_AFFINITY_SLOTS, /* service . slot : endpoint id */
	KP_SET_AFFINITY_SLOTS_2,
	KP_SET_AFFINITY_SLOTS_4,
	KP_SET_AFFINITY_SLOTS_8,
	KP_SET_AFFINITY_SLOTS_16,
	KP_SET_AFFINITY_ENDPOINTS,	 /* endpoint id . protocol : endpoint, cluster sets */
	KP_SET_AFFINITY_LOCAL_ENDPOINTS, /* the same, local sets */
	KP_SET_AFFINITY_TIMEOUTS,	 /* service . seconds */
	KP_SET_AFFINITY_CLIENTS,	 /* client . service : endpoint id; made by packets */
	/* Facts. */
	KP_SET_HAIRPINS, /* every endpoint address paired with itself */
	KP_SET_CLUSTER_IPS,
	KP_SET_NODEPORT_IPS,  /* prefixes within which the node's addresses serve node ports */
	KP_SET_SERVICE_CIDRS, /* prefixes whose unused addresses are dropped */
	KP_N_SETS,
};

/* The offset from a set of the first group to the node ports' one. */
#define KP_NFT_NODEPORT_SETS (KP_SET_NODEPORTS - KP_SET_SERVICES)

/* The offset from a set of a frontend's cluster set to the one of its local set. */
#define KP_NFT_LOCAL_SETS (KP_SET_LOCAL_SERVICES - KP_SET_SERVICES)

struct kp_nft_set_desc {
	const char *name;
	uint8_t key[KP_NFT_MAX_FIELDS];	 /* enum kp_nft_field, KP_FIELD_NONE ends */
	uint8_t data[KP_NFT_MAX_FIELDS]; /* the same, of maps */
	bool is_interval;		 /* the last field is a prefix */
	bool is_shared;			 /* one element may stand for several virtual services */
	bool is_dynamic;		 /* packets make its elements, which time out */
};

extern const struct kp_nft_set_desc kp_nft_sets[KP_N_SETS];

/* The set of this name; false when there is none of ours. */
bool kp_nft_find_set(const char *name, enum kp_nft_set_id *ret);

static inline bool kp_nft_set_is_map(const struct kp_nft_set_desc *set)
{
	return set->data[0] != KP_FIELD_NONE;
}

/* A prefix behind other fields; the kernel keeps such sets in another way than plain intervals, and
 * wants the end of the range beside its start. */
static inline bool kp_nft_set_is_concat_interval(const struct kp_nft_set_desc *set)
{
	return set->is_interval && set->key[1] != KP_FIELD_NONE;
}

/* Session affinity keeps 32 bits in the packet's priority while the rules run:
 *
 *     service      0x4000 + kp_affinity.id, in the upper half; the bit tells that it is ours
 *     local        records and slots of the local set
 *     endpoint     kp_target.id
 */
#define KP_NFT_AFFINITY_MARK 0x40000000U
#define KP_NFT_AFFINITY_SERVICE 0xffff0000U
#define KP_NFT_AFFINITY_LOCAL 0x00008000U
#define KP_NFT_AFFINITY_ENDPOINT 0x00007fffU
#define KP_NFT_AFFINITY_RECORD \
	(KP_NFT_AFFINITY_SERVICE | KP_NFT_AFFINITY_LOCAL) /* key of a client */

/* How many clients are remembered at most, per family. */
#define KP_NFT_AFFINITY_MAX_CLIENTS (1U << 20)

/* Number of bytes that a field takes in a key: padded to 32 bits. */
unsigned int kp_nft_field_size(enum kp_family family, enum kp_nft_field field);

/* Number of bytes of a key or data made of these fields. */
unsigned int kp_nft_fields_size(enum kp_family family, const uint8_t *fields);

/* Where the last of these fields starts. */
unsigned int kp_nft_last_field_offset(enum kp_family family, const uint8_t *fields);

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
