/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Kubernetes objects that matter here, reduced to the fields that are used.
 *
 * Decoders make them (decode.h), the store keeps them (store.h), kp_desired_build() reads them.
 * Nothing behind the desired state knows these types.  Rule ids are those of docs/conformance.md.
 */
#ifndef KPROXY_MODEL_H
#define KPROXY_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "kproxy/addr.h"
#include "kproxy/name.h"

enum kp_kind {
	KP_KIND_SERVICE,
	KP_KIND_ENDPOINTSLICE,
	KP_KIND_NODE,
	KP_KIND_SERVICECIDR,
	KP_N_KINDS,
};

/* "Service", "EndpointSlice", ... */
const char *kp_kind_name(enum kp_kind kind);

struct kp_service_port {
	const char *name;   /* shared; may be empty, never NULL */
	uint8_t proto;	    /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP */
	uint16_t port;	    /* host byte order, never 0 */
	uint16_t node_port; /* host byte order, 0 = none */
};

/* A list of addresses of either family. */
struct kp_addr_list {
	size_t n;
	struct kp_family_addr {
		struct kp_addr addr;
		uint8_t family; /* enum kp_family */
	} * items;
};

struct kp_prefix_list {
	size_t n;
	struct kp_prefix *items;
};

/* Service v1.  Headless and ExternalName Services, and those that carry an opt-out label, are
 * never kept (SV-2, IN-5). */
struct kp_service {
	const char *ns; /* shared */
	char *name;
	int64_t created_s; /* creationTimestamp, Unix time; 0 = unknown */
	char uid[37];	   /* "" = unknown; names the Service to people and is not compared */
	struct kp_addr cluster_ip[KP_N_FAMILIES]; /* zero = none of this family (SV-3) */
	struct kp_addr_list external_ips;
	struct kp_addr_list vips;	     /* status.loadBalancer, ipMode VIP (SV-5) */
	struct kp_prefix_list source_ranges; /* FW-1..6 */
	bool external_local, internal_local; /* SV-8 */
	bool needs_health_port;		     /* SV-8 */
	uint16_t health_check_node_port;     /* host byte order, 0 = none */
	uint32_t sticky_timeout_s;	     /* session affinity ClientIP, 0 = none */
	size_t n_ports;
	struct kp_service_port *ports;
};

struct kp_endpoint {
	struct kp_addr addr;
	bool ready, serving, terminating;
	bool local;		/* nodeName is our own node (ES-6) */
	bool has_node_hints;	/* hints.forNodes is not empty */
	bool hinted_here;	/* hints.forNodes lists our own node */
	const char *zone_hints; /* hints.forZones with commas between, shared; NULL = none */
};

struct kp_slice_port {
	const char *name; /* shared; may be empty, never NULL */
	uint8_t proto;
	uint16_t port; /* host byte order, never 0 */
};

/* EndpointSlice discovery.k8s.io/v1 of address type IPv4 or IPv6, with a Service name. */
struct kp_endpointslice {
	const char *ns; /* shared */
	char *name;
	char *service; /* label kubernetes.io/service-name, never empty (ES-1) */
	/* What happened last to the endpoints (ES-11), Unix time; 0 = unknown.  It tells how long a
	 * change took and is no change itself: not compared. */
	int64_t trigger_us;
	uint8_t family;
	size_t n_ports;
	struct kp_slice_port *ports;
	size_t n_endpoints;
	struct kp_endpoint *endpoints;
};

/* Node v1; only our own is kept. */
struct kp_node {
	char *name;
	char *zone;			  /* label topology.kubernetes.io/zone, "" = none */
	struct kp_addr ip[KP_N_FAMILIES]; /* primary address per family, zero = none (ND-2) */
	struct kp_prefix pod_cidr[KP_N_FAMILIES]; /* spec.podCIDRs, first per family */
	bool has_pod_cidr[KP_N_FAMILIES];
	bool eligible; /* ND-6 */
};

/* ServiceCIDR networking.k8s.io/v1. */
struct kp_servicecidr {
	char *name;
	struct kp_prefix_list cidrs;
};

/* One object of any kind; owns what it points to. */
struct kp_object {
	enum kp_kind kind;
	union {
		struct kp_service *service;
		struct kp_endpointslice *slice;
		struct kp_node *node;
		struct kp_servicecidr *cidr;
		void *any;
	};
};

/* All accept NULL and half-built objects. */
void kp_service_free(struct kp_service *service);
void kp_endpointslice_free(struct kp_endpointslice *slice);
void kp_node_free(struct kp_node *node);
void kp_servicecidr_free(struct kp_servicecidr *cidr);
void kp_object_clear(struct kp_object *object);

/* True when nothing that we use differs (ES-12, SY-6). */
bool kp_object_equal(const struct kp_object *a, const struct kp_object *b);

#endif
