/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One netlink transaction: collected in memory, sent with one sendmsg(), every answer read.  The
 * kernel carries all of it out, or nothing. */
#ifndef KPROXY_NFT_TRANSACTION_H
#define KPROXY_NFT_TRANSACTION_H

#include <libmnl/libmnl.h>

#include "kproxy/backend.h"
#include "nft/element.h"
#include "nft/rules.h"

struct kp_nft_transaction;

struct kp_nft_transaction *kp_nft_transaction_new(void);
void kp_nft_transaction_free(struct kp_nft_transaction *t);

/* The transaction fails with -ERESTART when the kernel's ruleset has another generation by then;
 * called before anything is added. */
void kp_nft_transaction_set_generation(struct kp_nft_transaction *t, uint32_t generation);

/* 'flags' as in layout.h.  The same with flags of owner and persistence adopts a table whose owner
 * has gone. */
void kp_nft_add_table(struct kp_nft_transaction *t, enum kp_family family, uint32_t flags);
void kp_nft_delete_table(struct kp_nft_transaction *t, enum kp_family family);
void kp_nft_add_set(struct kp_nft_transaction *t, enum kp_family family, enum kp_nft_set_id set);
void kp_nft_delete_set(struct kp_nft_transaction *t, enum kp_family family, const char *name);
void kp_nft_add_chain(struct kp_nft_transaction *t, enum kp_family family,
		      const struct kp_nft_chain *chain);
/* Removes a chain's rules. */
void kp_nft_flush_chain(struct kp_nft_transaction *t, enum kp_family family, const char *chain);
void kp_nft_delete_chain(struct kp_nft_transaction *t, enum kp_family family, const char *chain);
void kp_nft_add_rule(struct kp_nft_transaction *t, const struct nftnl_rule *rule);

/* Elements of one set that follow each other travel in one message. */
void kp_nft_add_element(struct kp_nft_transaction *t, const struct kp_nft_element *e);
void kp_nft_delete_element(struct kp_nft_transaction *t, const struct kp_nft_element *e);

/* For what is not in our table: begins a message, to which the caller adds attributes, and puts it
 * into the transaction. */
struct nlmsghdr *kp_nft_transaction_begin(struct kp_nft_transaction *t, uint16_t type,
					  enum kp_family family);
void kp_nft_transaction_put(struct kp_nft_transaction *t, const struct nlmsghdr *message);

size_t kp_nft_transaction_n_ops(const struct kp_nft_transaction *t);

/* Sends it and reads the answers; 'culprit' receives the element that the kernel
 * refused (set and key only) when '*has_culprit' is true after an error. */
int kp_nft_transaction_commit(struct kp_nft_transaction *t, struct mnl_socket *socket,
			      struct kp_apply_stats *stats, struct kp_nft_element *culprit,
			      bool *has_culprit, struct kp_err *err);

#endif
