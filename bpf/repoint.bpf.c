/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists the records of all connected UDP sockets, of all network namespaces, as an array of
 * struct kp_bpf_record. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/shared.h"

/* The parts of the kernel's types that are used; relocated against the kernel's BTF. */
struct seq_file;
struct bpf_map;
struct sock;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
} __attribute__((preserve_access_index));

SEC("iter/bpf_sk_storage_map")
int list_connected(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	const struct kp_bpf_record *record = ctx->value;

	if (record && record->is_connected)
		bpf_seq_write(ctx->meta->seq, record, sizeof(*record));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
