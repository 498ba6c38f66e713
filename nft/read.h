/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads our table from the kernel. */
#ifndef KPROXY_NFT_READ_H
#define KPROXY_NFT_READ_H

#include <libmnl/libmnl.h>

#include "nft/element.h"
#include "nft/rules.h"

/* The ruleset's generation: it changes with every transaction of anyone. */
int kp_nft_read_generation(struct mnl_socket *socket, uint32_t *ret, struct kp_err *err);

struct kp_nft_table {
	bool exists;
	uint32_t flags; /* such as dormant */
	uint32_t owner; /* the netlink port of the socket that owns it, 0 = nobody */
};

int kp_nft_read_table(struct mnl_socket *socket, enum kp_family family, struct kp_nft_table *ret,
		      struct kp_err *err);

/* What there is of a family's table. */
struct kp_nft_found {
	struct kp_nft_table table;
	struct {
		bool is_there, is_right;
	} sets[KP_N_SETS]; /* is_right: the type is */
	char **other_sets; /* names of those that are not ours */
	size_t n_other_sets;
	struct kp_nft_chains chains; /* with their rules */
};

int kp_nft_read_structure(struct mnl_socket *socket, enum kp_family family,
			  struct kp_nft_found *ret, struct kp_err *err);
void kp_nft_found_clear(struct kp_nft_found *found);

/* Calls 'fn' for each element of one set, which takes over its comment.  A call with NULL comes
 * first, and again when a change cut the reading off and it begins anew. */
int kp_nft_read_each(struct mnl_socket *socket, enum kp_family family, enum kp_nft_set_id set,
		     void (*fn)(void *arg, const struct kp_nft_element *e), void *arg,
		     struct kp_err *err);

/* Appends the elements of one set. */
int kp_nft_read_elements(struct mnl_socket *socket, enum kp_family family, enum kp_nft_set_id set,
			 struct kp_nft_elements *ret, struct kp_err *err);

/* Appends the element with this key, when it is there.  Not for sets of intervals. */
int kp_nft_read_element(struct mnl_socket *socket, const struct kp_nft_element *key,
			struct kp_nft_elements *ret, struct kp_err *err);

/* Calls 'fn' for each element of ours that a message is about, which takes over its comment. */
void kp_nft_read_message(const struct nlmsghdr *nlh, enum kp_family family,
			 void (*fn)(void *arg, const struct kp_nft_element *e), void *arg);

#endif
