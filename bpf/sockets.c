/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/sockets.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/borrow.h"
#include "repoint.skel.h"

struct kp_bpf_sockets {
	struct repoint_bpf *skel;
	struct bpf_link *link;
};

struct stale {
	struct kp_bpf_wanted socket;
	struct kp_bpf_peer frontend;
};

struct stale_list {
	size_t n, cap;
	struct stale *items;
};

int kp_bpf_sockets_open(int records_fd, struct kp_bpf_sockets **ret, struct kp_err *err)
{
	struct kp_bpf_sockets *s = kp_xcalloc(1, sizeof(*s));
	union bpf_iter_link_info info = {.map.map_fd = records_fd};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	int r;

	s->skel = repoint_bpf__open_and_load();
	if (!s->skel) {
		r = kp_err_errno(err, errno, "load the BPF iterator over sockets");
		kp_bpf_sockets_close(s);
		return r;
	}
	s->link = bpf_program__attach_iter(s->skel->progs.list_connected, &opts);
	if (!s->link) {
		r = kp_err_errno(err, errno, "attach the BPF iterator over sockets");
		kp_bpf_sockets_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void kp_bpf_sockets_close(struct kp_bpf_sockets *s)
{
	if (!s)
		return;
	bpf_link__destroy(s->link);
	repoint_bpf__destroy(s->skel);
	free(s);
}

static void add(struct stale_list *list, const struct kp_bpf_record *record)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 16;
		list->items = kp_xrealloc(list->items, list->cap * sizeof(*list->items));
	}
	list->items[list->n++] =
		(struct stale){.socket = {.cookie = record->cookie, .pid = record->pid},
			       .frontend = record->pairs[0].frontend};
}

/* One read() of the iterator returns whole records, or what remains of one. */
static int list_stale(struct kp_bpf_sockets *s, kp_bpf_is_stale_fn *is_stale, void *arg,
		      struct stale_list *ret, struct kp_err *err)
{
	struct kp_bpf_record records[64];
	int fd = bpf_iter_create(bpf_link__fd(s->link));
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return kp_err_errno(err, -fd, "list connected sockets");
	while ((n = read(fd, (char *)records + size, sizeof(records) - size)) > 0) {
		size_t n_whole = (size + n) / sizeof(records[0]);

		for (size_t i = 0; i < n_whole; i++)
			if (is_stale(arg, &records[i]))
				add(ret, &records[i]);
		size = (size + n) % sizeof(records[0]);
		memmove(records, records + n_whole, size);
	}
	if (n < 0)
		kp_err_errno(err, errno, "list connected sockets");
	close(fd);
	return n < 0 ? err->code : 0;
}

/* Its peer in our own words; the hooks tell the frontend as such. */
static bool read_peer(int fd, sa_family_t *ret_family, struct kp_bpf_peer *ret)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} now;
	socklen_t size = sizeof(now);

	memset(ret, 0, sizeof(*ret));
	if (getpeername(fd, (struct sockaddr *)&now, &size) < 0)
		return false;
	*ret_family = now.any.ss_family;
	if (now.any.ss_family == AF_INET) {
		ret->addr[2] = htonl(0xffff);
		ret->addr[3] = now.in.sin_addr.s_addr;
		ret->port = now.in.sin_port;
	} else {
		memcpy(ret->addr, &now.in6.sin6_addr, sizeof(ret->addr));
		ret->port = now.in6.sin6_port;
	}
	return true;
}

static bool same_peer(const struct kp_bpf_peer *a, const struct kp_bpf_peer *b)
{
	return a->port == b->port && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* An IPv6 socket connected to an IPv4 frontend takes the mapped address.  What its program has
 * disconnected or connected elsewhere since it was listed is not ours to move. */
static bool connect_again(void *arg, size_t i, int fd)
{
	const struct stale *stale = &((const struct stale_list *)arg)->items[i];
	const struct kp_bpf_peer *p = &stale->frontend;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = p->port};
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = p->port, .sin_addr.s_addr = p->addr[3]};
	struct kp_bpf_peer now;
	sa_family_t family;

	memcpy(&in6.sin6_addr, p->addr, sizeof(in6.sin6_addr));
	if (!read_peer(fd, &family, &now) || !same_peer(&now, p))
		return true;
	if (family == AF_INET)
		return connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
	return connect(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
}

static int compare_stale(const void *va, const void *vb)
{
	const struct stale *a = va, *b = vb;

	return a->socket.cookie < b->socket.cookie ? -1 : a->socket.cookie > b->socket.cookie;
}

int kp_bpf_sockets_repoint(struct kp_bpf_sockets *s, kp_bpf_is_stale_fn *is_stale, void *arg,
			   struct kp_bpf_repointed *ret, struct kp_err *err)
{
	struct stale_list list = {0};
	struct kp_bpf_wanted *wanted;
	int r = list_stale(s, is_stale, arg, &list, err);

	if (list.n > 1)
		qsort(list.items, list.n, sizeof(*list.items), compare_stale);
	wanted = kp_xcalloc(list.n + 1, sizeof(*wanted));
	for (size_t i = 0; i < list.n; i++)
		wanted[i] = list.items[i].socket;
	*ret = (struct kp_bpf_repointed){
		.n_stale = list.n, .n_moved = kp_bpf_borrow(wanted, list.n, connect_again, &list)};
	free(wanted);
	free(list.items);
	return r;
}
