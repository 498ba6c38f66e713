/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conntrack/cleaner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "conntrack/table.h"
#include "kproxy/clock.h"
#include "kproxy/log.h"
#include "util/node_addrs.h"

struct kp_cleaner {
	struct kp_stale stale;
	struct kp_table *table;		 /* NULL: not opened yet */
	bool reading;			 /* the table, for the flows that are selected */
	int64_t start_us;		 /* when that began */
	size_t n_deleted[KP_N_FAMILIES]; /* entries, since then */
	bool failing;			 /* and said so */
	kp_cleaner_report report;	 /* may be NULL */
	void *report_arg;
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

void kp_cleaner_observe(struct kp_cleaner *cleaner, kp_cleaner_report report, void *arg)
{
	cleaner->report = report;
	cleaner->report_arg = arg;
}

/* Without them, flows to node ports stay until they time out. */
static struct kp_prefix *node_addrs(const struct kp_facts *facts, size_t *ret_n)
{
	struct kp_prefix *items = NULL;
	int r = kp_node_addrs(facts, &items, ret_n);

	if (r < 0)
		kp_log_warn("conntrack", "cannot read the node's addresses, stale flows may stay",
			    "error=%s", kp_log_quote(strerror(-r)));
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

void kp_cleaner_note_repair(struct kp_cleaner *cleaner, const struct kp_state *state)
{
	size_t n = 0;
	kp_autofree struct kp_prefix *addrs = node_addrs(&state->facts, &n);

	kp_stale_add_unserved(&cleaner->stale, state, addrs, n);
}

/* Trying again at the next change is enough: the flows time out when their clients stop. */
static void give_up(struct kp_cleaner *cleaner, int error)
{
	if (!cleaner->failing)
		kp_log_warn("conntrack", "stale flows stay until they time out",
			    "flows=%u error=%s", HASH_COUNT(cleaner->stale.flows),
			    kp_log_quote(strerror(-error)));
	kp_stale_clear(&cleaner->stale);
	cleaner->reading = false;
	cleaner->failing = true;
}

static void start_reading(struct kp_cleaner *cleaner)
{
	struct kp_flow_filter filter;
	int r = cleaner->table ? 0 : kp_table_open(&cleaner->table);

	kp_stale_select(&cleaner->stale, &filter);
	cleaner->start_us = kp_clock_us();
	memset(cleaner->n_deleted, 0, sizeof(cleaner->n_deleted));
	if (r == 0)
		r = kp_table_read(cleaner->table, &filter);
	if (r < 0)
		give_up(cleaner, r);
	else
		cleaner->reading = true;
}

static void finish_reading(struct kp_cleaner *cleaner)
{
	int64_t took_us = kp_clock_us() - cleaner->start_us;

	kp_stale_remove_selected(&cleaner->stale);
	cleaner->reading = cleaner->failing = false;
	kp_log_debug("conntrack", "stale flows deleted", "entries=%zu took_us=%" PRId64,
		     cleaner->n_deleted[KP_IPV4] + cleaner->n_deleted[KP_IPV6], took_us);
	if (cleaner->report)
		cleaner->report(cleaner->report_arg, cleaner->n_deleted, took_us);
}

static void go_on_reading(struct kp_cleaner *cleaner)
{
	int r = kp_table_delete_next(cleaner->table, &cleaner->stale, cleaner->n_deleted);

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
