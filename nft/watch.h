/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notices when someone else changes our tables. */
#ifndef KPROXY_NFT_WATCH_H
#define KPROXY_NFT_WATCH_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "kproxy/err.h"

struct kp_nft_watch;

/* Opens a socket that becomes readable when anyone but the owner of the socket 'own' changes the
 * ruleset.  'own' is borrowed, to ask the kernel with. */
int kp_nft_watch_open(struct mnl_socket *own, struct kp_nft_watch **ret, struct kp_err *err);
void kp_nft_watch_close(struct kp_nft_watch *watch); /* accepts NULL */

/* Of the socket to wait for; it belongs to the watch. */
int kp_nft_watch_fd(const struct kp_nft_watch *watch);

/* Reads all that has come; true when it concerns our tables, or when messages were lost. */
bool kp_nft_watch_read(struct kp_nft_watch *watch);

/* Has to be called after each transaction of our own that the kernel accepted. */
void kp_nft_watch_note_own(struct kp_nft_watch *watch);

/* True when a transaction took place between the last two calls of which no message has come until
 * now: it may have concerned our tables.  Costs two system calls, whatever is installed; meant for
 * once a second. */
bool kp_nft_watch_missed(struct kp_nft_watch *watch);

#endif
