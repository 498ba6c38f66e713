/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/node_addrs.h"

#include <errno.h>
#include <ifaddrs.h>

static bool serves_node_ports(const struct kp_facts *facts, enum kp_family family,
			      const struct kp_addr *addr)
{
	if (kp_addr_is_loopback(family, addr))
		return false;
	for (size_t i = 0; i < facts->n_node_port_ranges; i++)
		if (kp_prefix_contains(&facts->node_port_ranges[i], family, addr))
			return true;
	return false;
}

static bool read_sockaddr(const struct sockaddr *sa, struct kp_prefix *ret)
{
	if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->family = sa->sa_family == AF_INET ? KP_IPV4 : KP_IPV6;
	ret->len = 8 * kp_family_addr_size(ret->family);
	memcpy(ret->addr.bytes,
	       ret->family == KP_IPV4 ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
				      : (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr,
	       kp_family_addr_size(ret->family));
	return true;
}

int kp_node_addrs(const struct kp_facts *facts, struct kp_prefix **ret, size_t *ret_n)
{
	struct ifaddrs *all;
	struct kp_prefix addr;

	*ret = NULL;
	*ret_n = 0;
	if (getifaddrs(&all) < 0)
		return -errno;
	for (struct ifaddrs *a = all; a; a = a->ifa_next)
		if (read_sockaddr(a->ifa_addr, &addr) &&
		    serves_node_ports(facts, addr.family, &addr.addr))
			kp_prefixes_add(ret, ret_n, &addr);
	freeifaddrs(all);
	return 0;
}
