/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP addresses, prefixes and transport protocols, as the whole program speaks of them. */
#ifndef KPROXY_ADDR_H
#define KPROXY_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kproxy/err.h"

/* The two families, in the order in which everything is indexed and printed. */
enum kp_family {
	KP_IPV4,
	KP_IPV6,
	KP_N_FAMILIES
};

/* An address in network byte order; IPv4 uses the first four bytes and the rest is zero, so that
 * addresses can be compared and hashed as memory. */
struct kp_addr {
	uint8_t bytes[16];
};

struct kp_prefix {
	struct kp_addr addr; /* host bits are zero */
	uint8_t family;	     /* enum kp_family */
	uint8_t len;	     /* bits */
};

/* What a server listens on. */
struct kp_addr_port {
	struct kp_addr addr;
	uint16_t port;	/* host byte order */
	uint8_t family; /* enum kp_family */
};

#define KP_ADDR_TEXT_SIZE 64 /* also holds "[address]:port" and "address/len" */

static inline size_t kp_family_addr_size(enum kp_family family)
{
	return family == KP_IPV4 ? 4 : 16;
}

/* "IPv4" or "IPv6". */
const char *kp_family_name(enum kp_family family);

static inline bool kp_addr_equal(const struct kp_addr *a, const struct kp_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool kp_addr_is_zero(const struct kp_addr *a)
{
	static const struct kp_addr zero;

	return kp_addr_equal(a, &zero);
}

/* 127.0.0.0/8 or ::1. */
bool kp_addr_is_loopback(enum kp_family family, const struct kp_addr *addr);

/* Parses an address as Kubernetes does: decimal octets, leading zeros allowed and decimal
 * (SV-7).  -EINVAL without a kp_err: the caller knows which field it was. */
int kp_addr_parse(const char *text, enum kp_family *ret_family, struct kp_addr *ret);

/* Parses "address:port", "[address]:port", or an address alone, which gets 'default_port';
 * -EINVAL. */
int kp_addr_port_parse(const char *text, uint16_t default_port, struct kp_addr_port *ret);

/* Parses "address/len" and clears the host bits; -EINVAL. */
int kp_prefix_parse(const char *text, struct kp_prefix *ret);

bool kp_prefix_contains(const struct kp_prefix *prefix, enum kp_family family,
			const struct kp_addr *addr);

/* The address in its canonical text form; writes into 'buf' and returns it. */
const char *kp_addr_text(enum kp_family family, const struct kp_addr *addr,
			 char buf[KP_ADDR_TEXT_SIZE]);

/* "192.0.2.1:80" or "[2001:db8::1]:80". */
const char *kp_addr_port_text(enum kp_family family, const struct kp_addr *addr, uint16_t port,
			      char buf[KP_ADDR_TEXT_SIZE]);

/* "10.96.0.0/16". */
const char *kp_prefix_text(const struct kp_prefix *prefix, char buf[KP_ADDR_TEXT_SIZE]);

/* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP for "TCP", "UDP", "SCTP"; 0 for anything else. */
uint8_t kp_proto_parse(const char *text);

/* "TCP", "UDP" or "SCTP". */
const char *kp_proto_name(uint8_t proto);

/* "tcp", "udp" or "sctp". */
const char *kp_proto_name_lower(uint8_t proto);

#endif
