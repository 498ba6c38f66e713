/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vocabulary between the pure middle and the backends.
 *
 *   virtual service  what is balanced as one: frontends that share their endpoint sets
 *   frontend         an address (or any node port address) and port that clients talk to
 *   endpoint set     n slots, each an address and port; slots are stable, so that a change of one
 *                    endpoint is a change of one slot
 *   facts            what concerns all of them: node port addresses, service ranges
 *   state            all of it at one time: what is wanted, or what is installed
 *   plan             the changes that lead from one state to another
 *
 * A backend renders a plan into one transaction, and reads a state back from the kernel.  Addresses
 * are in network byte order (kp_addr), ports in host byte order. */
#ifndef KPROXY_PLAN_H
#define KPROXY_PLAN_H

#include <uthash.h>

#include "kproxy/addr.h"
#include "kproxy/name.h"

struct kp_target {
	struct kp_addr addr;
	uint16_t port;
	/* With session affinity: names one life of this endpoint in its virtual service, so that an
	 * endpoint that returns is another one (SA-4).  1 to KP_MAX_ENDPOINT_ID, 0 = none. */
	uint16_t id;
};

#define KP_MAX_ENDPOINT_ID 0x7fff

/* Compares two targets by address and port, for qsort() and bsearch(). */
int kp_target_compare(const void *a, const void *b);

struct kp_endpoint_set {
	uint32_t n;
	struct kp_target *slots;
};

/* The size of the largest endpoint set that can be programmed. */
#define KP_MAX_SLOTS 32768

/* How a person calls the frontend; the address and policy decide what is done. */
enum kp_frontend_type {
	KP_CLUSTER_IP,
	KP_NODE_PORT, /* 'addr' is zero: any of the node port addresses */
	KP_EXTERNAL_IP,
	KP_LOAD_BALANCER_IP,
};

/* "ClusterIP", "NodePort", ... */
const char *kp_frontend_type_name(enum kp_frontend_type type);

/* Which endpoints a client reaches, and whose source address is rewritten. */
enum kp_policy {
	KP_POLICY_INTERNAL,	  /* cluster set; masquerade all but the node's pods (DP-1) */
	KP_POLICY_EXTERNAL,	  /* cluster set; masquerade everyone (DP-5) */
	KP_POLICY_INTERNAL_LOCAL, /* local set; masquerade all but the node's pods (DP-2, DP-3) */
	KP_POLICY_EXTERNAL_LOCAL, /* pods and the node: cluster set; others: local set,
				   * unmasqueraded (DP-6, DP-7) */
};

static inline bool kp_policy_is_local(enum kp_policy policy)
{
	return policy == KP_POLICY_INTERNAL_LOCAL || policy == KP_POLICY_EXTERNAL_LOCAL;
}

struct kp_frontend {
	struct kp_addr addr;
	uint16_t port;
	uint8_t type;	/* enum kp_frontend_type */
	uint8_t policy; /* enum kp_policy */
	bool guarded;	/* only the sources of its virtual service get in (FW-1, FW-3) */
};

/* Session affinity (SA-1): a client stays with its endpoint. */
struct kp_affinity {
	uint32_t timeout_s; /* since the client's last new flow (SA-3); 0 = no affinity */
	uint16_t id;	    /* of the virtual service in its family, 1 to KP_MAX_AFFINITY_ID */
	uint16_t last_endpoint_id; /* the one given last, where the search for a free one begins */
};

#define KP_MAX_AFFINITY_ID 0x3fff

struct kp_vservice {
	const char *port_name; /* shared; may be empty */
	uint8_t family;	       /* enum kp_family */
	uint8_t proto;	       /* IPPROTO_* */
	bool has_any; /* an endpoint exists somewhere: an empty set drops, else it rejects (EP-5) */
	uint16_t n_frontends;
	struct kp_frontend *frontends;
	struct kp_endpoint_set cluster; /* EP-2; empty when no frontend uses it */
	struct kp_endpoint_set local;	/* EP-3; empty when no frontend uses it */
	/* Of UDP: all that serve, also what terminates or is not chosen; flows to these go on
	 * (CT-3). Not slots, and not installed: empty when read back. */
	struct kp_endpoint_set serving;
	struct kp_affinity affinity;
	size_t n_sources; /* for guarded frontends: sorted, none covers another */
	struct kp_prefix *sources;
};

/* All virtual services of one owner, sorted by family, protocol and port name. */
struct kp_vservices {
	size_t n;
	struct kp_vservice *items;
};

/* Frees the contents and zeroes. */
void kp_vservice_clear(struct kp_vservice *v);
void kp_vservices_clear(struct kp_vservices *vs);

/* Appends an empty one and returns it. */
struct kp_vservice *kp_vservices_add(struct kp_vservices *vs);

/* Appends a frontend. */
struct kp_frontend *kp_vservice_add_frontend(struct kp_vservice *v);

/* Appends a slot. */
void kp_endpoint_set_add(struct kp_endpoint_set *set, const struct kp_addr *addr, uint16_t port);

/* Brings virtual services and frontends into the order in which they are compared and printed. */
void kp_vservices_sort(struct kp_vservices *vs);

/* Exactly the same as far as it is installed, slots included. */
bool kp_vservices_equal(const struct kp_vservices *a, const struct kp_vservices *b);

/* Of those that are equal: the same endpoints serve. */
bool kp_vservices_serve_equal(const struct kp_vservices *a, const struct kp_vservices *b);

/* Has the same family, protocol and port name. */
bool kp_vservice_is(const struct kp_vservice *v, const struct kp_vservice *like);

/* The one with this identity in a sorted list; NULL when there is none. */
const struct kp_vservice *kp_vservices_find(const struct kp_vservices *vs,
					    const struct kp_vservice *like);

struct kp_facts {
	/* Node ports are served on the node's own addresses within these prefixes. */
	size_t n_node_port_ranges;
	struct kp_prefix *node_port_ranges;
	/* Addresses in here that are nobody's are dropped (RJ-3). */
	size_t n_service_cidrs;
	struct kp_prefix *service_cidrs;
};

void kp_facts_clear(struct kp_facts *facts);
bool kp_facts_equal(const struct kp_facts *a, const struct kp_facts *b);

/* Appends to one of the two lists. */
void kp_prefixes_add(struct kp_prefix **items, size_t *n, const struct kp_prefix *prefix);

/* Sorts, and drops prefixes that another one covers. */
void kp_prefixes_normalize(struct kp_prefix *items, size_t *n);

/* One owner in a state.  The owner is a name for people and for matching: "namespace/name". */
struct kp_state_entry {
	struct kp_vservices vs;
	UT_hash_handle hh;
	char owner[];
};

struct kp_state {
	struct kp_state_entry *entries; /* uthash by owner */
	struct kp_facts facts;
	/* The highest affinity id that records in the kernel name, 0 = none. */
	uint16_t last_affinity_id[KP_N_FAMILIES];
};

void kp_state_clear(struct kp_state *state);

/* The owner's virtual services; an empty list when it has none. */
const struct kp_vservices *kp_state_get(const struct kp_state *state, const char *owner);

/* The owner's entry, made when missing. */
struct kp_state_entry *kp_state_entry(struct kp_state *state, const char *owner);

/* Takes over '*vs' as the owner's virtual services (zeroes it); an empty list removes the owner. */
void kp_state_put(struct kp_state *state, const char *owner, struct kp_vservices *vs);

/* Sorts the entries by owner. */
void kp_state_sort(struct kp_state *state);

/* An owner's virtual services before and after. */
struct kp_change {
	const char *owner;		 /* borrowed from the plan's maker */
	const struct kp_vservices *have; /* borrowed */
	struct kp_vservices want;	 /* owned */
};

struct kp_plan {
	/* The plan tells the whole state, and the backend compares it with the kernel itself;
	 * 'have' is then only what people are told. */
	bool full;
	size_t n_changes;
	struct kp_change *changes;
	struct kp_facts facts;		   /* wanted */
	const struct kp_facts *have_facts; /* borrowed */
	bool facts_changed;
};

void kp_plan_clear(struct kp_plan *plan);

/* Adds a change; takes over '*want'. */
void kp_plan_add(struct kp_plan *plan, const char *owner, const struct kp_vservices *have,
		 struct kp_vservices *want);

/* The plan was carried out: 'state' becomes what it led to.  Empties the plan. */
void kp_plan_commit(struct kp_plan *plan, struct kp_state *state);

#endif
