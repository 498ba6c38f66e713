/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The frontends of one family, in the memory that the programs read.
 *
 * What a program sees is right at every moment: a set of IPv4 endpoints changes by one store for
 * each endpoint that differs and one for their number; a set of IPv6 endpoints is written
 * elsewhere, and one store leads there.  Knows the layout, but no system call: the memory and the
 * services map are the caller's. */
#ifndef KPROXY_BPF_TABLE_H
#define KPROXY_BPF_TABLE_H

#include "bpf/shared.h"
#include "kproxy/plan.h"

/* What a client dials, as the daemon speaks of it. */
struct kp_bpf_dial {
	struct kp_addr addr; /* zero for a node port */
	uint16_t port;	     /* host byte order */
	uint8_t proto;
	uint8_t scope; /* enum kp_bpf_scope */
};
_Static_assert(sizeof(struct kp_bpf_dial) == 20, "compared and hashed as memory");

struct kp_bpf_dial kp_bpf_dial_of(const struct kp_vservice *v, const struct kp_frontend *f);

/* Writes the key of the services map: a union kp_bpf_key4 or a struct kp_bpf_key6. */
void kp_bpf_key_of(enum kp_family family, const struct kp_bpf_dial *dial, void *ret);

/* The services map.  'key' is a union kp_bpf_key4 or a struct kp_bpf_key6; 0 or -errno. */
struct kp_bpf_services_ops {
	int (*put)(void *arg, const void *key, uint32_t index);
	int (*remove)(void *arg, const void *key);
};

struct kp_bpf_memory {
	uint32_t n_frontends, n_endpoints;
	void *frontends; /* zeroed; struct kp_bpf_frontend4 or 6 */
	void *endpoints; /* union kp_bpf_endpoint4 or struct kp_bpf_endpoint6 */
	const struct kp_bpf_services_ops *ops;
	void *arg;
};

struct kp_bpf_table;

struct kp_bpf_table *kp_bpf_table_new(enum kp_family family, const struct kp_bpf_memory *memory);
void kp_bpf_table_free(struct kp_bpf_table *table);

/* Makes a frontend, or changes its endpoints.  'serving' is sorted, copied, and for
 * kp_bpf_table_find() only.  -ENOSPC: there is no room, and everything is as it was. */
int kp_bpf_table_put(struct kp_bpf_table *table, const struct kp_bpf_dial *dial,
		     const struct kp_endpoint_set *endpoints, const struct kp_endpoint_set *serving,
		     int64_t now_us);

/* Removes a frontend; none is no error. */
int kp_bpf_table_remove(struct kp_bpf_table *table, const struct kp_bpf_dial *dial, int64_t now_us);

/* Whether a client of this frontend may stay at this endpoint: at all that serve, whatever policy,
 * topology and termination say to new clients (CT-3). */
enum kp_bpf_membership {
	KP_BPF_MEMBER,
	KP_BPF_NO_MEMBER, /* there are other endpoints */
	KP_BPF_UNKNOWN	  /* no such frontend, or it has no endpoints */
};
enum kp_bpf_membership kp_bpf_table_find(const struct kp_bpf_table *table,
					 const struct kp_bpf_dial *dial,
					 const struct kp_target *endpoint);

/* Puts all frontends of 'from' into 'to', which is empty. */
int kp_bpf_table_copy(const struct kp_bpf_table *from, struct kp_bpf_table *to, int64_t now_us);

#endif
