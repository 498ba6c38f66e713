/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The current objects, and the join of Services with their EndpointSlices.
 *
 * A source (manifests, API) puts and removes objects; whatever changes marks the tracker.  Slices
 * may come before their Service and stay after it (ES-9). */
#ifndef KPROXY_STORE_H
#define KPROXY_STORE_H

#include "kproxy/model.h"

struct kp_store;
struct kp_tracker;

/* One Service name with everything known about it. */
struct kp_store_service {
	const char *key;		  /* "namespace/name" */
	const struct kp_service *service; /* NULL: only slices so far */
	size_t n_slices;
	const struct kp_endpointslice *const *slices; /* sorted by name */
};

/* 'tracker' is borrowed and outlives the store. */
struct kp_store *kp_store_new(struct kp_tracker *tracker);
void kp_store_free(struct kp_store *store);

/* Takes over '*object' (cleared on return) and replaces what had its kind and name.  True when
 * something that we use has changed. */
bool kp_store_put(struct kp_store *store, struct kp_object *object);

/* Removes an object, if it is there.  'ns' is "" for cluster-wide kinds.  True when it was. */
bool kp_store_remove(struct kp_store *store, enum kp_kind kind, const char *ns, const char *name);

/* A complete list of a kind replaces what is there: begin, put each object, end.  What was neither
 * put nor kept between the two is then removed.  A list that does not come to its end removes
 * nothing, and the next one begins anew. */
void kp_store_begin_list(struct kp_store *store, enum kp_kind kind);
size_t kp_store_end_list(struct kp_store *store, enum kp_kind kind);

/* The list holds this object, although it could not be read: the known one stays. */
void kp_store_keep(struct kp_store *store, enum kp_kind kind, const char *ns, const char *name);

/* Looks a Service name up; false when neither a Service nor a slice has it.  '*ret' borrows, valid
 * until the store changes. */
bool kp_store_get(const struct kp_store *store, const char *key, struct kp_store_service *ret);

/* Our own Node, NULL until one is put, and when it is removed. */
const struct kp_node *kp_store_node(const struct kp_store *store);

/* The same, or the last one: we run on it still when its object is gone (ND-8).  NULL until one is
 * put. */
const struct kp_node *kp_store_last_node(const struct kp_store *store);

/* An address that counts in the place of the Node's of this family (ND-3).  Before the first Node
 * is put. */
void kp_store_override_node_ip(struct kp_store *store, enum kp_family family,
			       const struct kp_addr *addr);

/* The node's address; NULL while none is known, and for loopback, which reaches nobody (NP-4). */
const struct kp_addr *kp_store_node_ip(const struct kp_store *store, enum kp_family family);

/* Calls 'fn' for each service range (RJ-3). */
void kp_store_each_service_cidr(const struct kp_store *store,
				void (*fn)(void *arg, const struct kp_prefix *cidr), void *arg);

/* Number of objects of a kind. */
size_t kp_store_count(const struct kp_store *store, enum kp_kind kind);

/* Marks every Service in the tracker (our Node changed, a full sync is due). */
void kp_store_mark_all(const struct kp_store *store);

#endif
