/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notices when someone else changes our tables. */
#ifndef KPROXY_NFT_WATCH_H
#define KPROXY_NFT_WATCH_H

#include <libmnl/libmnl.h>

#include "kproxy/backend.h"
#include "nft/damage.h"

struct kp_nft_watch;

/* Opens a socket that becomes readable when anyone but the owner of the socket 'own' changes the
 * ruleset.  'own' is borrowed, to ask the kernel with. */
int kp_nft_watch_open(struct mnl_socket *own, struct kp_nft_watch **ret, struct kp_err *err);
void kp_nft_watch_close(struct kp_nft_watch *watch); /* accepts NULL */

/* Of the socket to wait for; it belongs to the watch. */
int kp_nft_watch_fd(const struct kp_nft_watch *watch);

/* Reads all that has come, and remembers what of our tables it concerns.  KP_DAMAGE_UNKNOWN:
 * messages were lost. */
enum kp_damage kp_nft_watch_read(struct kp_nft_watch *watch);

/* Moves what is remembered to '*ret'; to be called before the kernel is read, so that nothing is
 * overlooked. */
void kp_nft_watch_take_damage(struct kp_nft_watch *watch, struct kp_nft_damage *ret);

/* Has to be called after each transaction of our own that the kernel accepted. */
void kp_nft_watch_note_own(struct kp_nft_watch *watch);

/* The same, and KP_DAMAGE_UNKNOWN when a transaction took place between the last two calls of which
 * no message has come until now: it may have concerned our tables.  Costs two system calls,
 * whatever is installed; meant for once a second. */
enum kp_damage kp_nft_watch_missed(struct kp_nft_watch *watch);

#endif
