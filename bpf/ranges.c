/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stack of free ranges for each power of two; what was never used lies behind 'end'.  A larger
 * range is split when no other is left, and never joined again: bigger maps, which are filled from
 * nothing, put an end to that. */
#include "bpf/ranges.h"

#include <errno.h>
#include <stdlib.h>

#include "kproxy/err.h"

enum {
	N_ORDERS = 32
};

struct stack {
	size_t n, cap;
	uint32_t *items;
};

struct waiting {
	uint32_t first;
	unsigned int order;
	int64_t until_us;
};

struct kp_bpf_ranges {
	uint32_t n_cells, end;
	struct stack free[N_ORDERS];
	/* Oldest first: [head, tail) of 'waiting'. */
	size_t head, tail, cap;
	struct waiting *waiting;
};

struct kp_bpf_ranges *kp_bpf_ranges_new(uint32_t n_cells)
{
	struct kp_bpf_ranges *ranges = kp_xcalloc(1, sizeof(*ranges));

	ranges->n_cells = n_cells;
	return ranges;
}

void kp_bpf_ranges_free(struct kp_bpf_ranges *ranges)
{
	if (!ranges)
		return;
	for (int i = 0; i < N_ORDERS; i++)
		free(ranges->free[i].items);
	free(ranges->waiting);
	free(ranges);
}

static unsigned int order_of(uint32_t n)
{
	unsigned int order = 0;

	while (1U << order < n)
		order++;
	return order;
}

uint32_t kp_bpf_ranges_round(uint32_t n)
{
	return n ? 1U << order_of(n) : 0;
}

static void push(struct stack *stack, uint32_t first)
{
	if (stack->n == stack->cap) {
		stack->cap = stack->cap ? 2 * stack->cap : 16;
		stack->items = kp_xrealloc(stack->items, stack->cap * sizeof(*stack->items));
	}
	stack->items[stack->n++] = first;
}

static void release(struct kp_bpf_ranges *ranges, int64_t now_us)
{
	while (ranges->head < ranges->tail && ranges->waiting[ranges->head].until_us <= now_us) {
		const struct waiting *w = &ranges->waiting[ranges->head++];

		push(&ranges->free[w->order], w->first);
	}
	if (ranges->head == ranges->tail)
		ranges->head = ranges->tail = 0;
}

/* Keeps the first part of the smallest larger range; the other halves become free. */
static int split(struct kp_bpf_ranges *ranges, unsigned int order, uint32_t *ret_first)
{
	unsigned int larger = order + 1;

	while (larger < N_ORDERS && ranges->free[larger].n == 0)
		larger++;
	if (larger == N_ORDERS)
		return -ENOSPC;
	*ret_first = ranges->free[larger].items[--ranges->free[larger].n];
	while (larger-- > order)
		push(&ranges->free[larger], *ret_first + (1U << larger));
	return 0;
}

int kp_bpf_ranges_take(struct kp_bpf_ranges *ranges, uint32_t n, int64_t now_us,
		       uint32_t *ret_first)
{
	unsigned int order = order_of(n);
	struct stack *stack = &ranges->free[order];

	release(ranges, now_us);
	if (stack->n > 0) {
		*ret_first = stack->items[--stack->n];
		return 0;
	}
	if (ranges->n_cells - ranges->end >= 1U << order) {
		*ret_first = ranges->end;
		ranges->end += 1U << order;
		return 0;
	}
	return split(ranges, order, ret_first);
}

/* Moves what waits to the front, or makes room for more. */
static void make_room(struct kp_bpf_ranges *ranges)
{
	size_t n = ranges->tail - ranges->head;

	if (ranges->tail < ranges->cap)
		return;
	if (ranges->head >= n && n > 0) {
		for (size_t i = 0; i < n; i++)
			ranges->waiting[i] = ranges->waiting[ranges->head + i];
		ranges->head = 0;
		ranges->tail = n;
		return;
	}
	ranges->cap = ranges->cap ? 2 * ranges->cap : 16;
	ranges->waiting = kp_xrealloc(ranges->waiting, ranges->cap * sizeof(*ranges->waiting));
}

void kp_bpf_ranges_give(struct kp_bpf_ranges *ranges, uint32_t first, uint32_t n, int64_t now_us)
{
	make_room(ranges);
	ranges->waiting[ranges->tail++] = (struct waiting){
		.first = first, .order = order_of(n), .until_us = now_us + KP_BPF_QUARANTINE_US};
}
