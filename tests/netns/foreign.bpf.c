/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Somebody else's programs on connect(). */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/connect4")
int allow(struct bpf_sock_addr *ctx)
{
	return 1;
}

/* Nobody gets to port 81. */
SEC("cgroup/connect4")
int deny(struct bpf_sock_addr *ctx)
{
	return ctx->user_port != bpf_htons(81);
}

char LICENSE[] SEC("license") = "GPL";
