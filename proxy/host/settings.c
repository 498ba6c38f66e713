/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads each file first: what is right already needs no permission to write (HS-3). */
#include "host/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kproxy/log.h"

#define CONNTRACK "/proc/sys/net/netfilter/nf_conntrack_"
#define HASH_SIZE "/sys/module/nf_conntrack/parameters/hashsize"
#define OOM_SCORE "/proc/self/oom_score_adj"

/* One attempt at everything. */
struct attempt {
	const char *root;
	struct kp_err *err; /* all that failed, in one line */
};

static int open_file(const char *root, const char *path, int flags)
{
	kp_autofree char *name = kp_xasprintf("%s%s", root, path);
	int fd = open(name, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int read_number(const char *root, const char *path, int64_t *ret)
{
	int fd = open_file(root, path, O_RDONLY);
	char text[32] = "", *end;
	ssize_t n;
	int r;

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	r = n < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return r;
	*ret = strtoll(text, &end, 10);
	return end == text ? -EINVAL : 0;
}

static int write_number(const char *root, const char *path, int64_t value)
{
	int fd = open_file(root, path, O_WRONLY | O_TRUNC);
	int r = 0;

	if (fd < 0)
		return fd;
	if (dprintf(fd, "%" PRId64 "\n", value) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int set_number(const char *root, const char *path, int64_t value)
{
	int64_t have;
	int r = read_number(root, path, &have);

	if (r < 0 || have == value)
		return r;
	r = write_number(root, path, value);
	if (r == 0)
		kp_log_info("host", "setting changed", "file=%s from=%" PRId64 " to=%" PRId64, path,
			    have, value);
	return r;
}

/* Failures are collected: one does not keep the others from being tried. */
static void note_failure(struct attempt *a, const char *path, int64_t value, int code)
{
	char before[sizeof(a->err->text)];
	int first = a->err->code;

	snprintf(before, sizeof(before), "%s", a->err->text);
	kp_err_errno(a->err, -code, "%s%scannot set %s to %" PRId64, before, first ? "; " : "",
		     path, value);
	if (first)
		a->err->code = first;
}

static void set(struct attempt *a, const char *path, int64_t value)
{
	int r = set_number(a->root, path, value);

	if (r < 0)
		note_failure(a, path, value, r);
}

static void set_seconds(struct attempt *a, const char *path, uint64_t ms)
{
	if (ms > 0)
		set(a, path, ms < 1000 ? 1 : (int64_t)(ms / 1000));
}

static bool is_writable(const char *root, const char *path)
{
	kp_autofree char *name = kp_xasprintf("%s%s", root, path);

	return access(name, W_OK) == 0;
}

/* The hash table is the whole machine's, whereas /sys may be writable in any network namespace.
 * nf_conntrack_max is writable in the initial one only, and so tells whether we are there. */
static void raise_hash_size(struct attempt *a, int64_t max)
{
	int64_t have;
	int r;

	if (!is_writable(a->root, CONNTRACK "max"))
		return;
	r = read_number(a->root, HASH_SIZE, &have);
	if (r == 0 && have >= max / 4)
		return;
	if (r == 0)
		r = set_number(a->root, HASH_SIZE, max / 4);
	if (r < 0)
		note_failure(a, HASH_SIZE, max / 4, r);
}

/* HS-1 */
static void set_max(struct attempt *a, const struct kp_host_settings *s, unsigned int n_cpus)
{
	int64_t max = (int64_t)s->conntrack_max_per_core * n_cpus;

	if (s->conntrack_max_per_core == 0)
		return;
	if (max < s->conntrack_min)
		max = s->conntrack_min;
	if (max > INT_MAX)
		max = INT_MAX;
	set(a, CONNTRACK "max", max);
	raise_hash_size(a, max);
}

/* HS-4.  Only lowering needs a privilege, and a process with another score works as well. */
static void set_oom_score(const char *root, int32_t score)
{
	int r = set_number(root, OOM_SCORE, score);

	if (r < 0)
		kp_log_info("host", "cannot set the OOM score, going on", "file=%s to=%d error=%s",
			    OOM_SCORE, score, kp_log_quote(strerror(-r)));
}

int kp_host_apply_in(const char *root, unsigned int n_cpus, const struct kp_host_settings *s,
		     struct kp_err *err)
{
	struct kp_err failures = KP_ERR_INIT;
	struct attempt a = {.root = root, .err = &failures};

	set_oom_score(root, s->oom_score_adj);
	set_max(&a, s, n_cpus);
	set_seconds(&a, CONNTRACK "tcp_timeout_established", s->tcp_established_ms);
	set_seconds(&a, CONNTRACK "tcp_timeout_close_wait", s->tcp_close_wait_ms);
	set_seconds(&a, CONNTRACK "udp_timeout", s->udp_ms);
	set_seconds(&a, CONNTRACK "udp_timeout_stream", s->udp_stream_ms);
	if (s->tcp_be_liberal)
		set(&a, CONNTRACK "tcp_be_liberal", 1);
	if (failures.code)
		*err = failures;
	return failures.code;
}
