/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hands out ranges of an array.  A range that was given back is not handed out again for a second:
 * a program that runs at that moment may still read it.  Programs run for microseconds.  Pure. */
#ifndef KPROXY_BPF_RANGES_H
#define KPROXY_BPF_RANGES_H

#include <stdint.h>

struct kp_bpf_ranges;

#define KP_BPF_QUARANTINE_US 1000000

struct kp_bpf_ranges *kp_bpf_ranges_new(uint32_t n_cells);
void kp_bpf_ranges_free(struct kp_bpf_ranges *ranges);

/* How many cells a range of 'n' gets: a power of two. */
uint32_t kp_bpf_ranges_round(uint32_t n);

/* Takes a range with room for 'n' > 0 cells.  -ENOSPC when none is free, or none that was out of
 * use for long enough. */
int kp_bpf_ranges_take(struct kp_bpf_ranges *ranges, uint32_t n, int64_t now_us,
		       uint32_t *ret_first);

/* Gives back what was taken with the same 'n'. */
void kp_bpf_ranges_give(struct kp_bpf_ranges *ranges, uint32_t first, uint32_t n, int64_t now_us);

#endif
