/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/borrow.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kproxy/err.h"

struct search {
	struct kp_bpf_wanted *wanted;
	size_t n, n_done;
	bool (*fn)(void *arg, size_t i, int fd);
	void *arg;
};

static int compare_cookies(const void *va, const void *vb)
{
	const struct kp_bpf_wanted *a = va, *b = vb;

	return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

static void offer(struct search *search, int fd)
{
	struct kp_bpf_wanted key = {0}, *found;
	socklen_t size = sizeof(key.cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &key.cookie, &size) < 0)
		return;
	found = bsearch(&key, search->wanted, search->n, sizeof(key), compare_cookies);
	if (!found || found->done)
		return;
	found->done = search->fn(search->arg, found - search->wanted, fd);
	search->n_done += found->done;
}

static bool is_socket(int dir_fd, const char *name)
{
	static const char prefix[] = "socket:";
	char target[sizeof(prefix)];
	ssize_t len = readlinkat(dir_fd, name, target, sizeof(target));

	return len >= (ssize_t)strlen(prefix) && memcmp(target, prefix, strlen(prefix)) == 0;
}

/* glibc 2.36 has no wrapper for pidfd_getfd(). */
static void search_process(struct search *search, int pid)
{
	kp_autofree char *path = kp_xasprintf("/proc/%d/fd", pid);
	const struct dirent *entry;
	DIR *dir = opendir(path);
	int pidfd;

	if (!dir)
		return;
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	while (pidfd >= 0 && search->n_done < search->n && (entry = readdir(dir))) {
		int fd;

		if (!is_socket(dirfd(dir), entry->d_name))
			continue;
		fd = syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
		if (fd < 0)
			continue;
		offer(search, fd);
		close(fd);
	}
	if (pidfd >= 0)
		close(pidfd);
	closedir(dir);
}

static int compare_pids(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return a < b ? -1 : a > b;
}

static void search_named(struct search *search)
{
	uint32_t *pids = kp_xcalloc(search->n, sizeof(*pids));

	for (size_t i = 0; i < search->n; i++)
		pids[i] = search->wanted[i].pid;
	qsort(pids, search->n, sizeof(*pids), compare_pids);
	for (size_t i = 0; i < search->n; i++)
		if (i == 0 || pids[i] != pids[i - 1])
			search_process(search, pids[i]);
	free(pids);
}

static void search_all(struct search *search)
{
	const struct dirent *entry;
	DIR *dir = opendir("/proc");

	if (!dir)
		return;
	while (search->n_done < search->n && (entry = readdir(dir)))
		if (atoi(entry->d_name) > 0)
			search_process(search, atoi(entry->d_name));
	closedir(dir);
}

size_t kp_bpf_borrow(struct kp_bpf_wanted *wanted, size_t n,
		     bool (*fn)(void *arg, size_t i, int fd), void *arg)
{
	struct search search = {.wanted = wanted, .n = n, .fn = fn, .arg = arg};

	if (n == 0)
		return 0;
	search_named(&search);
	if (search.n_done < n)
		search_all(&search);
	return search.n_done;
}
