/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "nft/read.h"

/* Room for the messages of a "flush ruleset" while we are busy: those about our tables are 350 kB.
 */
enum {
	BUFFER_SIZE = 512 * 1024 /* the kernel doubles it */
};

/* Each transaction makes the ruleset's generation one higher. */
struct kp_nft_watch {
	struct mnl_socket *socket, *own;
	uint32_t told; /* the generation after all transactions that we know of */
	uint32_t seen; /* the kernel's, when we asked last */
	struct kp_nft_damage damage;
};

/* Our own transactions have a message for each element; the kernel need not even queue them. */
static int ignore_own(struct mnl_socket *socket, unsigned int own_portid)
{
	struct sock_filter code[] = {
		/* Loads are in network byte order, the field is in the host's. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(own_portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_ATTACH_FILTER, &program,
			  sizeof(program));
}

int kp_nft_watch_open(struct mnl_socket *own, struct kp_nft_watch **ret, struct kp_err *err)
{
	struct kp_nft_watch *watch = kp_xcalloc(1, sizeof(*watch));
	int group = NFNLGRP_NFTABLES, size = BUFFER_SIZE, r = 0;

	watch->own = own;
	watch->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!watch->socket || ignore_own(watch->socket, mnl_socket_get_portid(own)) < 0 ||
	    mnl_socket_bind(watch->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(watch->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		r = kp_err_errno(err, errno, "watch the ruleset");
	else
		setsockopt(mnl_socket_get_fd(watch->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size,
			   sizeof(size));
	if (r == 0)
		r = kp_nft_read_generation(own, &watch->seen, err);
	if (r < 0) {
		kp_nft_watch_close(watch);
		return r;
	}
	watch->told = watch->seen;
	*ret = watch;
	return 0;
}

void kp_nft_watch_close(struct kp_nft_watch *watch)
{
	if (!watch)
		return;
	if (watch->socket)
		mnl_socket_close(watch->socket);
	kp_nft_damage_clear(&watch->damage);
	free(watch);
}

int kp_nft_watch_fd(const struct kp_nft_watch *watch)
{
	return mnl_socket_get_fd(watch->socket);
}

static void take(struct kp_nft_watch *watch, const struct nlmsghdr *nlh)
{
	if ((nlh->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
		watch->told++;
	else
		kp_nft_damage_note(&watch->damage, nlh);
}

/* News of generations were among the messages that were lost. */
static void count_anew(struct kp_nft_watch *watch)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_nft_read_generation(watch->own, &watch->seen, &err) == 0)
		watch->told = watch->seen;
}

enum kp_damage kp_nft_watch_read(struct kp_nft_watch *watch)
{
	static char buf[64 * 1024];
	bool lost = false;

	for (;;) {
		ssize_t n = recv(kp_nft_watch_fd(watch), buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int len = n;

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			break;
		lost |= n < 0 && errno == ENOBUFS;
		for (; n > 0 && mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			take(watch, nlh);
	}
	if (lost) {
		count_anew(watch);
		return KP_DAMAGE_UNKNOWN;
	}
	return kp_nft_damage_is_none(&watch->damage) ? KP_DAMAGE_NONE : KP_DAMAGE_KNOWN;
}

void kp_nft_watch_take_damage(struct kp_nft_watch *watch, struct kp_nft_damage *ret)
{
	kp_nft_damage_take(&watch->damage, ret);
}

void kp_nft_watch_note_own(struct kp_nft_watch *watch)
{
	watch->told++;
}

static bool is_later(uint32_t generation, uint32_t than)
{
	return (int32_t)(generation - than) > 0;
}

enum kp_damage kp_nft_watch_missed(struct kp_nft_watch *watch)
{
	struct kp_err err = KP_ERR_INIT;
	enum kp_damage damage = kp_nft_watch_read(watch);
	/* The kernel counts before it tells: only of what it had counted the last time, the message
	 * must have come. */
	bool missed = is_later(watch->seen, watch->told);

	if (kp_nft_read_generation(watch->own, &watch->seen, &err) < 0)
		return damage;
	/* Counted too much: a transaction that changed nothing, or one from before we asked first.
	 */
	if (missed || is_later(watch->told, watch->seen))
		watch->told = watch->seen;
	return missed ? KP_DAMAGE_UNKNOWN : damage;
}
