/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaded before the C library (LD_PRELOAD), lets the monotonic clock of a process run
 * KP_CLOCK_SPEED times as fast, and its waits for events end as much earlier. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define NS_PER_S 1000000000LL

static long long speed(void)
{
	static long long value;

	if (!value)
		value = atoll(getenv("KP_CLOCK_SPEED"));
	return value;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int (*real)(clockid_t, struct timespec *) =
		(int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	static long long start;
	long long ns;
	int r = real(clock, ret);

	if (r < 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE))
		return r;
	ns = ret->tv_sec * NS_PER_S + ret->tv_nsec;
	if (!start)
		start = ns;
	ns = start + (ns - start) * speed();
	ret->tv_sec = ns / NS_PER_S;
	ret->tv_nsec = ns % NS_PER_S;
	return 0;
}

/* Not to 0, which would not wait at all. */
static int shorten(int timeout_ms)
{
	return timeout_ms > 0 ? (timeout_ms + speed() - 1) / speed() : timeout_ms;
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms)
{
	int (*real)(int, struct epoll_event *, int, int) =
		(int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");

	return real(fd, events, n, shorten(timeout_ms));
}

int epoll_pwait(int fd, struct epoll_event *events, int n, int timeout_ms, const sigset_t *mask)
{
	int (*real)(int, struct epoll_event *, int, int,
		    const sigset_t *) = (int (*)(int, struct epoll_event *, int, int,
						 const sigset_t *))dlsym(RTLD_NEXT, "epoll_pwait");

	return real(fd, events, n, shorten(timeout_ms), mask);
}
