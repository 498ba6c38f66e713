/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of other processes, borrowed for a moment with pidfd_getfd(). */
#ifndef KPROXY_BPF_BORROW_H
#define KPROXY_BPF_BORROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kp_bpf_wanted {
	uint64_t cookie; /* SO_COOKIE */
	uint32_t pid;	 /* who had it last */
	bool done;
};

/* Calls 'fn' with a descriptor of each socket that is found, until it returns true; the descriptor
 * is closed after.  'wanted' is sorted by cookie; 'i' is the index there.  Looks into the named
 * processes first, and into all others only for what is missing: a socket may have been inherited
 * or passed on.  Returns how many are done. */
size_t kp_bpf_borrow(struct kp_bpf_wanted *wanted, size_t n,
		     bool (*fn)(void *arg, size_t i, int fd), void *arg);

#endif
