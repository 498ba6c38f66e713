/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conntrack/cleaner.h"

#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "conntrack/table.h"
#include "kproxy/log.h"

struct kp_cleaner {
	struct kp_stale stale;
	struct kp_table *table; /* NULL: not opened yet */
	bool reading;		/* the table, for the flows that are selected */
	int64_t start_us;	/* when that began */
	size_t n_deleted;	/* entries, since then */
	bool failing;		/* and said so */
};

struct kp_cleaner *kp_cleaner_new(void)
{
	return kp_xcalloc(1, sizeof(struct kp_cleaner));
}

void kp_cleaner_free(struct kp_cleaner *cleaner)
{
	if (!cleaner)
		return;
	kp_stale_clear(&cleaner->stale);
	kp_table_close(cleaner->table);
	free(cleaner);
}

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

/* The node's own addresses that serve node ports; the caller frees the list. */
static struct kp_prefix *node_addrs(const struct kp_facts *facts, size_t *ret_n)
{
	struct kp_prefix *items = NULL, addr;
	struct ifaddrs *all = NULL;

	*ret_n = 0;
	if (getifaddrs(&all) < 0)
		kp_log_warn("conntrack", "cannot read the node's addresses, stale flows may stay",
			    "error=%s", kp_log_quote(strerror(errno)));
	for (struct ifaddrs *a = all; a; a = a->ifa_next)
		if (read_sockaddr(a->ifa_addr, &addr) &&
		    serves_node_ports(facts, addr.family, &addr.addr))
			kp_prefixes_add(&items, ret_n, &addr);
	freeifaddrs(all);
	return items;
}

void kp_cleaner_note(struct kp_cleaner *cleaner, const struct kp_plan *plan)
{
	kp_autofree struct kp_prefix *addrs = NULL;
	size_t n = 0;

	if (kp_stale_needs_node_addrs(plan))
		addrs = node_addrs(&plan->facts, &n);
	kp_stale_update(&cleaner->stale, plan, addrs, n);
}

/* Trying again at the next change is enough: the flows time out when their clients stop. */
static void give_up(struct kp_cleaner *cleaner, int error)
{
	if (!cleaner->failing)
		kp_log_warn("conntrack", "stale UDP flows stay until they time out",
			    "flows=%u error=%s", HASH_COUNT(cleaner->stale.flows),
			    kp_log_quote(strerror(-error)));
	kp_stale_clear(&cleaner->stale);
	cleaner->reading = false;
	cleaner->failing = true;
}

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void start_reading(struct kp_cleaner *cleaner)
{
	struct kp_flow_filter filter;
	int r = cleaner->table ? 0 : kp_table_open(&cleaner->table);

	kp_stale_select(&cleaner->stale, &filter);
	cleaner->start_us = now_us();
	cleaner->n_deleted = 0;
	if (r == 0)
		r = kp_table_read(cleaner->table, &filter);
	if (r < 0)
		give_up(cleaner, r);
	else
		cleaner->reading = true;
}

static void finish_reading(struct kp_cleaner *cleaner)
{
	kp_stale_remove_selected(&cleaner->stale);
	cleaner->reading = cleaner->failing = false;
	kp_log_debug("conntrack", "stale UDP flows deleted", "entries=%zu took_us=%" PRId64,
		     cleaner->n_deleted, now_us() - cleaner->start_us);
}

static void go_on_reading(struct kp_cleaner *cleaner)
{
	int r = kp_table_delete_next(cleaner->table, &cleaner->stale, &cleaner->n_deleted);

	if (r < 0)
		give_up(cleaner, r);
	else if (r == 0)
		finish_reading(cleaner);
}

bool kp_cleaner_step(struct kp_cleaner *cleaner)
{
	if (cleaner->reading)
		go_on_reading(cleaner);
	else if (cleaner->stale.flows)
		start_reading(cleaner);
	return cleaner->reading || cleaner->stale.flows;
}
