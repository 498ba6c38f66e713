/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deletes stale flows from the kernel, a step at a time, so that syncs do not wait for it. */
#ifndef KPROXY_CONNTRACK_CLEANER_H
#define KPROXY_CONNTRACK_CLEANER_H

#include "kproxy/plan.h"

struct kp_cleaner;

struct kp_cleaner *kp_cleaner_new(void);
void kp_cleaner_free(struct kp_cleaner *cleaner);

/* Notes which flows 'plan' left behind.  To be called when the plan was carried out, so that the
 * next datagram meets the new rules, and before it is committed. */
void kp_cleaner_note(struct kp_cleaner *cleaner, const struct kp_plan *plan);

/* Somebody had changed the rules, for a while that nobody knows, and they are again what 'state'
 * says: notes the flows that were not translated meanwhile. */
void kp_cleaner_note_repair(struct kp_cleaner *cleaner, const struct kp_state *state);

/* Asks to be told, at the end of each scan of the table, how many entries of each family were
 * deleted and how long it took. */
typedef void (*kp_cleaner_report)(void *arg, const size_t n_deleted[KP_N_FAMILIES],
				  int64_t took_us);
void kp_cleaner_observe(struct kp_cleaner *cleaner, kp_cleaner_report report, void *arg);

/* Does a part of the work, at most one scan of the table, and logs what goes wrong (CT-8).  True
 * when there is more to do. */
bool kp_cleaner_step(struct kp_cleaner *cleaner);

#endif
