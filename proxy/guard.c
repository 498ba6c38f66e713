/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kproxy/clock.h"
#include "kproxy/log.h"

enum {
	TRY_AGAIN_MS = 100,
	BACKLOG = 64
};

struct kp_guard {
	int fd;
	uv_poll_t poll;
};

/* Who has the name. */
struct holder {
	bool believed; /* it may be a kproxy */
	pid_t pid;     /* 0: not visible from this pid namespace, or not known */
};

/* The zero byte in front makes the name an abstract one. */
static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0kproxy"};
#define ADDRESS_SIZE (offsetof(struct sockaddr_un, sun_path) + sizeof("\0kproxy") - 1)

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* The socket, or -errno; -EADDRINUSE when another process has the name. */
static int take_name(void)
{
	int fd = new_socket(), r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, ADDRESS_SIZE) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* The kernel tells who listens; nothing needs to be said. */
static void ask_holder(struct holder *ret)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	int fd = new_socket();

	*ret = (struct holder){0};
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&address, ADDRESS_SIZE) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0)
		*ret = (struct holder){.believed = cred.uid == 0 || cred.uid == geteuid(),
				       .pid = cred.pid};
	close(fd);
}

static void wait_a_little(void)
{
	nanosleep(&(struct timespec){.tv_nsec = TRY_AGAIN_MS * 1000000L}, NULL);
}

/* Tries until 'deadline_ms'.  The socket, or -errno and in the case of -EADDRINUSE who has it. */
static int take_name_until(int64_t deadline_ms, struct holder *ret_holder)
{
	bool told = false;
	int fd;

	while ((fd = take_name()) == -EADDRINUSE) {
		int64_t left_ms = deadline_ms - kp_clock_ms();

		ask_holder(ret_holder);
		if (left_ms <= 0)
			break;
		if (ret_holder->believed && !told)
			kp_log_warn("main",
				    "another kproxy runs in this network namespace, waiting for it "
				    "to end",
				    "pid=%d wait_ms=%" PRId64, (int)ret_holder->pid, left_ms);
		told |= ret_holder->believed;
		wait_a_little();
	}
	return fd;
}

static int refuse(const struct holder *holder, struct kp_err *err)
{
	if (holder->pid == 0)
		return kp_err_set(err, EBUSY,
				  "another kproxy runs in this network namespace, in a container; "
				  "stop it first");
	return kp_err_set(err, EBUSY,
			  "another kproxy runs in this network namespace, with pid %d; stop it "
			  "first",
			  (int)holder->pid);
}

int kp_guard_take(int64_t wait_ms, struct kp_guard **ret, struct kp_err *err)
{
	struct holder holder = {0};
	int fd = take_name_until(kp_clock_ms() + wait_ms, &holder);

	*ret = NULL;
	if (fd == -EADDRINUSE && holder.believed)
		return refuse(&holder, err);
	if (fd < 0) {
		kp_log_warn("main", "cannot tell whether another kproxy runs here, going on",
			    "error=%s pid=%d", kp_log_quote(strerror(-fd)), (int)holder.pid);
		return 0;
	}
	*ret = kp_xcalloc(1, sizeof(**ret));
	(*ret)->fd = fd;
	return 0;
}

/* Whoever asked knows already. */
static void on_asked(uv_poll_t *poll, int status, int events)
{
	struct kp_guard *guard = poll->data;
	int fd = accept4(guard->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)status, (void)events;
	if (fd >= 0)
		close(fd);
}

void kp_guard_serve(struct kp_guard *guard, uv_loop_t *loop)
{
	if (!guard)
		return;
	uv_poll_init(loop, &guard->poll, guard->fd);
	guard->poll.data = guard;
	uv_poll_start(&guard->poll, UV_READABLE, on_asked);
}

void kp_guard_stop(struct kp_guard *guard)
{
	if (guard)
		uv_close((uv_handle_t *)&guard->poll, NULL);
}

void kp_guard_release(struct kp_guard *guard)
{
	if (!guard)
		return;
	close(guard->fd);
	free(guard);
}
