/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/addrs.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/shared.h"

struct entry {
	uint8_t key[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 reach;	 /* enum kp_bpf_reach */
};

struct entries {
	size_t n;
	struct entry *items;
};

static bool is_node_port_addr(const struct kp_facts *facts, enum kp_family family,
			      const struct kp_addr *addr)
{
	for (size_t i = 0; i < facts->n_node_port_ranges; i++)
		if (kp_prefix_contains(&facts->node_port_ranges[i], family, addr))
			return true;
	return false;
}

static void add(struct entries *entries, enum kp_family family, const struct kp_addr *addr)
{
	struct entry *e;

	entries->items = kp_xrealloc(entries->items, (entries->n + 1) * sizeof(*e));
	e = &entries->items[entries->n++];
	memset(e, 0, sizeof(*e));
	e->reach = kp_addr_is_loopback(family, addr) ? KP_BPF_REACH_NODE : KP_BPF_REACH_ALL;
	if (family == KP_IPV6) {
		memcpy(e->key, addr->bytes, 16);
		return;
	}
	e->key[10] = e->key[11] = 0xff;
	memcpy(e->key + 12, addr->bytes, 4);
}

static void add_interface(struct entries *entries, const struct kp_facts *facts,
			  const struct sockaddr *sa)
{
	struct kp_addr addr = {0};
	enum kp_family family;

	if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return;
	if (sa->sa_family == AF_INET) {
		family = KP_IPV4;
		memcpy(addr.bytes, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else {
		family = KP_IPV6;
		memcpy(addr.bytes, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	}
	if (is_node_port_addr(facts, family, &addr))
		add(entries, family, &addr);
}

static bool has(const struct entries *entries, const uint8_t key[16])
{
	for (size_t i = 0; i < entries->n; i++)
		if (memcmp(entries->items[i].key, key, 16) == 0)
			return true;
	return false;
}

/* The key after a deleted one is the first again, so the next one is found before. */
static void remove_others(int map_fd, const struct entries *keep)
{
	uint8_t key[16], next[16];
	bool more = bpf_map_get_next_key(map_fd, NULL, key) == 0;

	while (more) {
		more = bpf_map_get_next_key(map_fd, key, next) == 0;
		if (!has(keep, key))
			bpf_map_delete_elem(map_fd, key);
		memcpy(key, next, sizeof(key));
	}
}

int kp_bpf_addrs_sync(int map_fd, const struct kp_facts *facts, struct kp_err *err)
{
	struct entries entries = {0};
	struct ifaddrs *list;
	int r = 0;

	if (getifaddrs(&list) < 0)
		return kp_err_errno(err, errno, "read the addresses of the interfaces");
	for (const struct ifaddrs *a = list; a; a = a->ifa_next)
		add_interface(&entries, facts, a->ifa_addr);
	freeifaddrs(list);
	for (size_t i = 0; i < entries.n && r == 0; i++)
		r = bpf_map_update_elem(map_fd, entries.items[i].key, &entries.items[i].reach,
					BPF_ANY);
	if (r == 0)
		remove_others(map_fd, &entries);
	else
		r = kp_err_errno(err, -r, "add a node port address");
	free(entries.items);
	return r;
}

int kp_bpf_addrs_watch(void)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
				     .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), r;

	if (fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof(groups)) == 0)
		return fd < 0 ? -errno : fd;
	r = -errno;
	close(fd);
	return r;
}

bool kp_bpf_addrs_changed(int watch_fd)
{
	char buf[8192];
	bool changed = false;

	/* Messages that were lost count too. */
	while (recv(watch_fd, buf, sizeof(buf), 0) >= 0 || errno == ENOBUFS || errno == EINTR)
		changed = true;
	return changed;
}
