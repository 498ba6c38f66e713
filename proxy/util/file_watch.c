/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two directories are followed: the one that has the path, where links are switched, and the one
 * that has the file itself, where it may be written in place. */
#include "util/file_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LOOK_MS = 100
};

struct kp_file_watch {
	char *path;
	struct kp_file_identity known;
	void (*changed)(void *arg);
	void *arg;
	uv_fs_event_t events[2];
	uv_timer_t look;
	unsigned int n_handles;
};

bool kp_file_identify(const char *path, struct kp_file_identity *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (stat(path, &st) < 0)
		return false;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->size = st.st_size;
	ret->written_s = st.st_mtim.tv_sec;
	ret->written_ns = st.st_mtim.tv_nsec;
	return true;
}

static void on_look(uv_timer_t *timer);

/* Whatever happened in the directory: a look at the file tells.  Soon, but not at each event, and
 * even where they never end. */
static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
	struct kp_file_watch *watch = handle->data;

	(void)name;
	(void)events;
	(void)status;
	if (!uv_is_active((const uv_handle_t *)&watch->look))
		uv_timer_start(&watch->look, on_look, LOOK_MS, 0);
}

static int follow(uv_fs_event_t *handle, const char *file, struct kp_err *err)
{
	kp_autofree char *directory = kp_xstrdup(file);
	char *slash = strrchr(directory, '/');
	int r;

	if (!slash)
		strcpy(directory, ".");
	else
		slash[slash == directory] = 0;
	r = uv_fs_event_start(handle, on_event, directory, 0);
	return r < 0 ? kp_err_set(err, -r, "watch '%s': %s", directory, uv_strerror(r)) : 0;
}

/* Where the file itself lies; that may be where the path is. */
static int follow_target(struct kp_file_watch *watch, struct kp_err *err)
{
	kp_autofree char *target = realpath(watch->path, NULL);

	if (!target)
		return kp_err_errno(err, errno, "'%s'", watch->path);
	uv_fs_event_stop(&watch->events[1]);
	return follow(&watch->events[1], target, err);
}

static void on_look(uv_timer_t *timer)
{
	struct kp_file_watch *watch = timer->data;
	struct kp_file_identity now;

	if (!kp_file_identify(watch->path, &now) || memcmp(&now, &watch->known, sizeof(now)) == 0)
		return;
	watch->known = now;
	follow_target(watch, NULL);
	watch->changed(watch->arg);
}

static void on_closed(uv_handle_t *handle)
{
	struct kp_file_watch *watch = handle->data;

	if (--watch->n_handles > 0)
		return;
	free(watch->path);
	free(watch);
}

int kp_file_watch_open(const char *path, const struct kp_file_identity *known, uv_loop_t *loop,
		       void (*changed)(void *arg), void *arg, struct kp_file_watch **ret,
		       struct kp_err *err)
{
	struct kp_file_watch *watch = kp_xcalloc(1, sizeof(*watch));
	int r;

	watch->path = kp_xstrdup(path);
	watch->known = *known;
	watch->changed = changed;
	watch->arg = arg;
	uv_timer_init(loop, &watch->look);
	uv_fs_event_init(loop, &watch->events[0]);
	uv_fs_event_init(loop, &watch->events[1]);
	watch->n_handles = 3;
	watch->look.data = watch->events[0].data = watch->events[1].data = watch;
	r = follow(&watch->events[0], path, err);
	if (r == 0)
		r = follow_target(watch, err);
	if (r < 0) {
		kp_file_watch_close(watch);
		return r;
	}
	/* It may have changed before it was watched. */
	uv_timer_start(&watch->look, on_look, 0, 0);
	*ret = watch;
	return 0;
}

void kp_file_watch_close(struct kp_file_watch *watch)
{
	if (!watch)
		return;
	uv_close((uv_handle_t *)&watch->look, on_closed);
	uv_close((uv_handle_t *)&watch->events[0], on_closed);
	uv_close((uv_handle_t *)&watch->events[1], on_closed);
}
