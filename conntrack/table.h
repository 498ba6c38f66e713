/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's connection tracking table, over netlink. */
#ifndef KPROXY_CONNTRACK_TABLE_H
#define KPROXY_CONNTRACK_TABLE_H

#include "conntrack/stale.h"

struct kp_table;

/* Opens the netlink interface; -errno.  The cleaner knows what failing means, so there is no
 * kp_err. */
int kp_table_open(struct kp_table **ret);
void kp_table_close(struct kp_table *table); /* accepts NULL */

/* What the kernel is capable of; asks it. */
enum kp_table_support {
	KP_TABLE_MISSING,    /* no connection tracking over netlink */
	KP_TABLE_UNFILTERED, /* before 5.8 */
	KP_TABLE_FILTERED
};
enum kp_table_support kp_table_probe(void);

/* Begins to read the entries that a filter lets pass, of TCP and SCTP only those without an answer.
 * The kernel filters, within this call and the next ones.
 *
 * A kernel may know less of filters and send more: before 5.15 it does not look at
 * 'translated_only' and answers, before 5.8 at nothing. */
int kp_table_read(struct kp_table *table, const struct kp_flow_filter *filter);

/* Reads the next entries, about a hundred, and deletes those that are in 'stale', exactly, but no
 * connection of TCP or SCTP that was answered; adds their number to 'n_deleted' of their family.
 * Returns 1 when there are more, 0 at the end, -errno. */
int kp_table_delete_next(struct kp_table *table, const struct kp_stale *stale,
			 size_t n_deleted[KP_N_FAMILIES]);

#endif
