/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A question to nftables and its answer, which is one message or a dump of many. */
#ifndef KPROXY_NFT_QUERY_H
#define KPROXY_NFT_QUERY_H

#include <libmnl/libmnl.h>
#include <stdint.h>

/* Begins a question in 'buf', to which the caller adds attributes.  'type' is one of
 * NFT_MSG_GET..., 'family' one of NFPROTO_... */
struct nlmsghdr *kp_nft_query_init(char *buf, uint16_t type, uint32_t family, uint16_t flags);

/* Asks, and calls 'each' for every message of the answer.  0 or -errno; -EINTR when the ruleset has
 * changed in the middle of a dump, which then has to be asked for again. */
int kp_nft_query(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t each, void *arg);

#endif
