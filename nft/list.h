/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our tables in nft's own words, for people: kproxy dump -o nft. */
#ifndef KPROXY_NFT_LIST_H
#define KPROXY_NFT_LIST_H

#include <libmnl/libmnl.h>
#include <stdio.h>

#include "nft/element.h"

/* Prints the tables that exist as "nft list table" does. */
int kp_nft_list_tables(struct mnl_socket *socket, FILE *out, struct kp_err *err);

/* Prints the elements that belong to these virtual services, one line each, as "nft" takes them
 * back: add element ip kproxy services { ... }.  'installed' is sorted and what the kernel has. */
void kp_nft_list_vservices(const char *owner, const struct kp_vservices *vs,
			   const struct kp_nft_elements *installed, FILE *out);

#endif
