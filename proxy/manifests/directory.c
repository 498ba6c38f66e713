/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Follows a directory through inotify and decides when to look at which file (files.h).
 *
 * inotify is used directly: libuv's fs events do not tell IN_CLOSE_WRITE, and only that says that a
 * file written in place is complete.
 *
 * Files that are closed by a writer or moved in are read at once.  What may be half of something
 * waits: a deletion for the file that replaces it or for the removal of the whole directory, a
 * modification for the end of the writing. */
#include "manifests/directory.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <uthash.h>

#include "kproxy/clock.h"
#include "kproxy/log.h"
#include "manifests/files.h"
#include "manifests/reader.h"

#define MODIFY_DELAY_MS 50
#define DELETE_DELAY_MS 20
#define SEARCH_INTERVAL_MS 100

/* A stream of deletions is waited out, but not for ever. */
#define DELETE_DELAY_MAX_MS 1000

#define WRITTEN_EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO)
#define GONE_EVENTS (IN_DELETE | IN_MOVED_FROM)
#define WRITING_EVENTS (IN_CREATE | IN_MODIFY)
#define LOST_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)
#define WATCHED_EVENTS \
	(WRITTEN_EVENTS | GONE_EVENTS | WRITING_EVENTS | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

/* A file that is to be looked at; the last event about it decides how and when. */
struct pending {
	UT_hash_handle hh;
	enum kp_look look;
	bool is_gone;	 /* due together with all that are gone */
	uint64_t due_ms; /* else */
	char name[];
};

struct kp_directory {
	char *path;
	struct kp_files *files;
	struct pending *pending;
	uint64_t first_gone_ms, last_gone_ms; /* 0: none is */

	uv_loop_t *loop; /* NULL: not followed */
	int inotify_fd;
	int watch; /* -1: the directory has disappeared */
	bool rescan;
	enum kp_look rescan_look;
	uv_poll_t poll;
	uv_timer_t look_timer, search_timer;
	unsigned int n_handles;
};

static int start_watch(struct kp_directory *d, struct kp_err *err);
static void start_handles(struct kp_directory *d);
static void on_readable(uv_poll_t *poll, int status, int events);
static void on_look_timer(uv_timer_t *timer);
static void on_search_timer(uv_timer_t *timer);
static void on_handle_closed(uv_handle_t *handle);
static void free_directory(struct kp_directory *d);

int kp_directory_open(const char *path, const char *node_name, struct kp_store *store,
		      uv_loop_t *loop, struct kp_directory **ret, struct kp_err *err)
{
	struct kp_directory *d = kp_xcalloc(1, sizeof(*d));
	int r = 0;

	d->path = kp_xstrdup(path);
	d->files = kp_files_new(path, node_name, store);
	d->loop = loop;
	d->inotify_fd = -1;
	d->watch = -1;
	/* Watched before it is read, so that nothing is missed between. */
	if (loop)
		r = start_watch(d, err);
	if (r == 0)
		r = kp_files_mark_all(d->files, KP_LOOK_IF_CHANGED, err);
	if (r < 0) {
		free_directory(d);
		return kp_err_wrap(err, "directory '%s'", path);
	}
	kp_files_run(d->files);
	if (loop)
		start_handles(d);
	*ret = d;
	return 0;
}

size_t kp_directory_n_errors(const struct kp_directory *d)
{
	return kp_files_n_errors(d->files);
}

void kp_directory_close(struct kp_directory *d)
{
	if (!d)
		return;
	if (!d->loop) {
		free_directory(d);
		return;
	}
	uv_close((uv_handle_t *)&d->poll, on_handle_closed);
	uv_close((uv_handle_t *)&d->look_timer, on_handle_closed);
	uv_close((uv_handle_t *)&d->search_timer, on_handle_closed);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct kp_directory *d = handle->data;

	if (--d->n_handles == 0)
		free_directory(d);
}

static void clear_pending(struct kp_directory *d)
{
	struct pending *p, *next;

	HASH_ITER (hh, d->pending, p, next) {
		HASH_DEL(d->pending, p);
		free(p);
	}
	d->first_gone_ms = d->last_gone_ms = 0;
}

static void free_directory(struct kp_directory *d)
{
	clear_pending(d);
	if (d->inotify_fd >= 0)
		close(d->inotify_fd);
	kp_files_free(d->files);
	free(d->path);
	free(d);
}

/* --- watching --- */

static int add_watch(struct kp_directory *d)
{
	d->watch = inotify_add_watch(d->inotify_fd, d->path, WATCHED_EVENTS | IN_ONLYDIR);
	return d->watch < 0 ? -errno : 0;
}

static int start_watch(struct kp_directory *d, struct kp_err *err)
{
	int r;

	d->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->inotify_fd < 0)
		return kp_err_errno(err, errno, "inotify_init1");
	r = add_watch(d);
	return r < 0 ? kp_err_errno(err, -r, "watch") : 0;
}

static void start_handles(struct kp_directory *d)
{
	uv_poll_init(d->loop, &d->poll, d->inotify_fd);
	uv_timer_init(d->loop, &d->look_timer);
	uv_timer_init(d->loop, &d->search_timer);
	d->poll.data = d->look_timer.data = d->search_timer.data = d;
	d->n_handles = 3;
	uv_poll_start(&d->poll, UV_READABLE, on_readable);
}

/* The objects stay until the directory is back and can be compared with them. */
static void lose_directory(struct kp_directory *d)
{
	kp_log_error("manifests", "directory has disappeared, keeping its objects", "path=%s",
		     kp_log_quote(d->path));
	/* Fails when the watch has gone with the directory; a moved one still has it. */
	inotify_rm_watch(d->inotify_fd, d->watch);
	d->watch = -1;
	d->rescan = false;
	clear_pending(d);
	uv_timer_stop(&d->look_timer);
	uv_timer_start(&d->search_timer, on_search_timer, SEARCH_INTERVAL_MS, SEARCH_INTERVAL_MS);
}

static void on_search_timer(uv_timer_t *timer)
{
	struct kp_directory *d = timer->data;

	if (add_watch(d) < 0)
		return;
	if (kp_files_mark_all(d->files, KP_LOOK_IF_CHANGED, NULL) < 0) {
		inotify_rm_watch(d->inotify_fd, d->watch);
		d->watch = -1;
		return;
	}
	kp_log_info("manifests", "directory is back", "path=%s", kp_log_quote(d->path));
	uv_timer_stop(&d->search_timer);
	if (kp_files_run(d->files) < 0)
		lose_directory(d);
}

/* --- looking --- */

static uint64_t due_of(const struct kp_directory *d, const struct pending *p)
{
	uint64_t last = d->last_gone_ms + DELETE_DELAY_MS;
	uint64_t limit = d->first_gone_ms + DELETE_DELAY_MAX_MS;

	if (!p->is_gone)
		return p->due_ms;
	return last < limit ? last : limit;
}

/* Hands what is due to the files, or all of it before a rescan, which would not know which of them
 * are being written. */
static void mark_due(struct kp_directory *d, uint64_t now)
{
	bool gone_remain = false;
	struct pending *p, *next;

	HASH_ITER (hh, d->pending, p, next) {
		if (!d->rescan && due_of(d, p) > now) {
			gone_remain |= p->is_gone;
			continue;
		}
		kp_files_mark(d->files, p->name, p->look);
		HASH_DEL(d->pending, p);
		free(p);
	}
	if (!gone_remain)
		d->first_gone_ms = d->last_gone_ms = 0;
}

static void start_look_timer(struct kp_directory *d)
{
	uint64_t first = UINT64_MAX, now = kp_clock_ms();

	for (const struct pending *p = d->pending; p; p = p->hh.next)
		if (due_of(d, p) < first)
			first = due_of(d, p);
	if (!d->pending) {
		uv_timer_stop(&d->look_timer);
		return;
	}
	uv_update_time(d->loop);
	uv_timer_start(&d->look_timer, on_look_timer, first > now ? first - now : 0, 0);
}

static int mark_all(struct kp_directory *d)
{
	struct kp_err err;
	int r = kp_files_mark_all(d->files, d->rescan_look, &err);

	if (r == -ENOENT || r == -ENOTDIR)
		return r;
	if (r < 0)
		kp_log_error("manifests", "directory not read, previous state kept",
			     "path=%s error=%s", kp_log_quote(d->path), kp_log_quote(err.text));
	return 0;
}

static void look(struct kp_directory *d)
{
	int r = 0;

	mark_due(d, kp_clock_ms());
	if (d->rescan)
		r = mark_all(d);
	d->rescan = false;
	d->rescan_look = KP_LOOK_IF_CHANGED;
	if (r == 0)
		r = kp_files_run(d->files);
	if (r < 0)
		lose_directory(d);
	else
		start_look_timer(d);
}

/* --- events --- */

static void wait_for(struct kp_directory *d, const char *name, enum kp_look look_how,
		     uint64_t due_ms, bool is_gone)
{
	size_t len = strlen(name);
	struct pending *p;

	HASH_FIND(hh, d->pending, name, len, p);
	if (!p) {
		p = kp_xcalloc(1, sizeof(*p) + len + 1);
		memcpy(p->name, name, len + 1);
		HASH_ADD_KEYPTR(hh, d->pending, p->name, len, p);
	}
	p->look = look_how;
	p->due_ms = due_ms;
	p->is_gone = is_gone;
}

static void on_file_event(struct kp_directory *d, const char *name, uint32_t mask, uint64_t now)
{
	struct pending *p;

	if (mask & WRITTEN_EVENTS) {
		wait_for(d, name, KP_LOOK_WRITTEN, now, false);
	} else if (mask & GONE_EVENTS) {
		if (d->first_gone_ms == 0)
			d->first_gone_ms = now;
		d->last_gone_ms = now;
		wait_for(d, name, KP_LOOK_IF_CHANGED, 0, true);
	} else if (mask & WRITING_EVENTS) {
		wait_for(d, name, KP_LOOK_OPEN, now + MODIFY_DELAY_MS, false);
	} else {
		/* Other attributes, often set between writing and moving: what is waiting is better
		 * informed. */
		HASH_FIND_STR(d->pending, name, p);
		if (!p)
			wait_for(d, name, KP_LOOK_IF_CHANGED, now + MODIFY_DELAY_MS, false);
	}
}

/* False when the directory has disappeared. */
static bool on_event(struct kp_directory *d, const struct inotify_event *event, uint64_t now)
{
	if (event->mask & IN_Q_OVERFLOW)
		d->rescan = true;
	if (event->wd != d->watch)
		return true; /* of a watch that we have given up */
	if (event->mask & LOST_EVENTS)
		return false;
	/* A ConfigMap volume switches all of its links at once through "..data". */
	if (event->len > 0 && strncmp(event->name, "..", 2) == 0)
		d->rescan = true;
	else if (event->len > 0 && kp_reader_wants(event->name))
		on_file_event(d, event->name, event->mask, now);
	return true;
}

/* Takes all events that are there before anything is looked at.  False when the directory has
 * disappeared. */
static bool drain_events(struct kp_directory *d)
{
	char buf[16 << 10] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool is_there = true;
	ssize_t n;

	while ((n = read(d->inotify_fd, buf, sizeof(buf))) > 0) {
		uint64_t now = kp_clock_ms();

		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *event = (const struct inotify_event *)p;

			is_there &= on_event(d, event, now);
			p += sizeof(*event) + event->len;
		}
	}
	return is_there;
}

static void drain_and_look(struct kp_directory *d)
{
	if (!drain_events(d))
		lose_directory(d);
	else if (d->watch >= 0)
		look(d);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct kp_directory *d = poll->data;

	(void)events;
	if (status < 0) {
		kp_log_error("manifests", "directory is not followed any more", "path=%s error=%s",
			     kp_log_quote(d->path), kp_log_quote(uv_strerror(status)));
		uv_poll_stop(poll);
		return;
	}
	drain_and_look(d);
}

/* The end of a directory may be in the queue behind the deletions that are due now. */
static void on_look_timer(uv_timer_t *timer)
{
	drain_and_look(timer->data);
}

void kp_directory_reread(struct kp_directory *d)
{
	d->rescan = true;
	d->rescan_look = KP_LOOK_AGAIN;
	drain_and_look(d);
}
