/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks that are attached, seen from outside, without a daemon: what their maps say of a
 * frontend, and whether that is what nft says. */
#ifndef KPROXY_BPF_INSPECT_H
#define KPROXY_BPF_INSPECT_H

#include "kproxy/plan.h"

struct kp_bpf_view;

enum kp_bpf_layer {
	KP_BPF_LAYER_HOOKS,  /* sockets of the node are translated */
	KP_BPF_LAYER_NFT,    /* passed to nft, with a reason */
	KP_BPF_LAYER_DIFFERS /* the hooks know another set of endpoints than nft, or should know
				none */
};

/* Opens the maps pinned below the bpf file system 'root'; NULL when there are no hooks. */
struct kp_bpf_view *kp_bpf_view_open(const char *root);
void kp_bpf_view_close(struct kp_bpf_view *view); /* accepts NULL */

/* Who serves a frontend.  '*ret_reason' tells why it is nft; else it is NULL. */
enum kp_bpf_layer kp_bpf_view_get(const struct kp_bpf_view *view, const struct kp_vservice *v,
				  const struct kp_frontend *f, const char **ret_reason);

#endif
