/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KPROXY_NODE_ADDRS_H
#define KPROXY_NODE_ADDRS_H

#include "kproxy/plan.h"

/* The node's own addresses that serve node ports (NP-1, NP-2), as prefixes of full length.  The
 * caller frees '*ret'; -errno, and then there are none. */
int kp_node_addrs(const struct kp_facts *facts, struct kp_prefix **ret, size_t *ret_n);

#endif
