/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "takeover/names.h"

#include <stddef.h>
#include <string.h>

#define IPSET_NAME_LEN 31 /* what is longer, kube-proxy cuts off */

static bool is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

bool kp_is_kube_proxy_chain(const char *name)
{
	static const char *const whole[] = {
		"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING",
		"KUBE-MARK-MASQ", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
		/* mode ipvs */
		"KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL",
		"KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER", NULL};
	/* A hash follows.  KUBE-XLB- is that of KUBE-EXT- before 1.24. */
	static const char *const prefixes[] = {"KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-SVL-",
					       "KUBE-FW-",  "KUBE-XLB-", NULL};

	for (const char *const *p = prefixes; *p; p++)
		if (strncmp(name, *p, strlen(*p)) == 0)
			return true;
	return is_one_of(name, whole);
}

bool kp_is_kube_proxy_ipset(const char *name)
{
	/* Behind "KUBE-", or "KUBE-6-" for IPv6.  Network policies have sets of other names. */
	static const char *const names[] = {"LOOP-BACK",
					    "CLUSTER-IP",
					    "EXTERNAL-IP",
					    "EXTERNAL-IP-LOCAL",
					    "LOAD-BALANCER",
					    "LOAD-BALANCER-LOCAL",
					    "LOAD-BALANCER-FW",
					    "LOAD-BALANCER-SOURCE-IP",
					    "LOAD-BALANCER-SOURCE-CIDR",
					    "NODE-PORT-TCP",
					    "NODE-PORT-LOCAL-TCP",
					    "NODE-PORT-UDP",
					    "NODE-PORT-LOCAL-UDP",
					    "NODE-PORT-SCTP-HASH",
					    "NODE-PORT-LOCAL-SCTP-HASH",
					    "HEALTH-CHECK-NODE-PORT",
					    "IPVS-IPS",
					    NULL};
	static const char *const prefixes[] = {"KUBE-", "KUBE-6-", NULL};

	for (const char *const *p = prefixes; *p; p++) {
		size_t len = strlen(*p);

		if (strncmp(name, *p, len) != 0)
			continue;
		for (const char *const *n = names; *n; n++)
			if (strncmp(name + len, *n, IPSET_NAME_LEN - len) == 0)
				return true;
	}
	return false;
}

bool kp_has_kube_proxy_chains(const char *table)
{
	static const char *const tables[] = {"nat", "filter", "mangle", NULL};

	return is_one_of(table, tables);
}
