/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notices when someone else changes our tables. */
#ifndef KPROXY_NFT_WATCH_H
#define KPROXY_NFT_WATCH_H

#include <libmnl/libmnl.h>
#include <stdbool.h>

#include "kproxy/err.h"

/* Opens a socket that becomes readable when anyone but 'own_portid' changes the ruleset. */
int kp_nft_watch_open(unsigned int own_portid, struct mnl_socket **ret, struct kp_err *err);

/* Reads all that has come; true when it concerns our tables, or when messages were lost. */
bool kp_nft_watch_read(struct mnl_socket *socket);

#endif
