/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --mode=bpf: nft, complete, and the socket hooks on top of it.
 *
 * nft is changed first: what the hooks do not translate, it does.  Whatever fails in the hooks,
 * they are removed and nft goes on alone until the next full plan, which is asked for after a while
 * when they had worked before; with --strict it is an error. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "bpf/addrs.h"
#include "bpf/backend.h"
#include "bpf/place.h"
#include "bpf/privileges.h"
#include "kproxy/events.h"
#include "kproxy/log.h"

enum {
	LOOK_MS = 50,
	RETRY_LOOKS = 600 /* 30 s */
};

struct kp_backend {
	struct kp_hook_settings settings;
	struct kp_backend *nft;
	struct kp_bpf *bpf;
	bool hooked; /* the hooks are attached and in step */
	bool lost;   /* they were, before an error */
	int watch_fd, timer_fd, addrs_fd;
	unsigned int n_looks; /* since the last try to have all hooks back */
};

static void hybrid_close(struct kp_backend *be)
{
	if (!be)
		return;
	if (be->addrs_fd >= 0)
		close(be->addrs_fd);
	if (be->timer_fd >= 0)
		close(be->timer_fd);
	if (be->watch_fd >= 0)
		close(be->watch_fd);
	kp_bpf_close(be->bpf);
	kp_nft_backend.close(be->nft);
	free(be);
}

static int go_on_without(struct kp_backend *be, struct kp_err *err)
{
	struct kp_err ignored = KP_ERR_INIT;

	be->lost |= be->hooked;
	be->hooked = false;
	be->n_looks = 0;
	kp_bpf_close(KP_TAKE(be->bpf));
	kp_bpf_remove_directory(be->settings.bpf_root, &ignored);
	if (be->settings.strict)
		return kp_err_wrap(err, "socket hooks");
	kp_log_warn("bpf", "no socket hooks, all traffic goes through nft", "error=%s",
		    kp_log_quote(err->text));
	kp_event_node(KP_WARNING, "SocketHooksUnavailable", "Sync",
		      "all traffic goes through nft: %s", err->text);
	return 0;
}

static int hybrid_open(const struct kp_settings *settings, struct kp_backend **ret,
		       struct kp_err *err)
{
	struct kp_backend *be = kp_xcalloc(1, sizeof(*be));
	int r = kp_nft_backend.open(settings, &be->nft, err);

	be->settings = settings->hooks;
	be->watch_fd = be->timer_fd = be->addrs_fd = -1;
	/* Sources can be rewritten by nft only; those of the node are right by themselves. */
	be->settings.node_only |= settings->masquerade_all;
	if (r < 0) {
		hybrid_close(be);
		return r;
	}
	*ret = be;
	return 0;
}

static void hybrid_configure(struct kp_backend *be, const struct kp_settings *settings)
{
	kp_nft_backend.configure(be->nft, settings);
}

static int hybrid_readback(struct kp_backend *be, struct kp_state *ret, struct kp_err *err)
{
	return kp_nft_backend.readback(be->nft, ret, err);
}

static int hybrid_list(struct kp_backend *be, const char *owner, FILE *out, struct kp_err *err)
{
	return kp_nft_backend.list(be->nft, owner, out, err);
}

static void report_attached(const struct kp_hook_settings *settings)
{
	char missing[KP_PRIVILEGES_SIZE];

	kp_log_info("bpf", "socket hooks attached", "scope=%s udp=%s",
		    settings->node_only ? "node" : "all", settings->udp ? "on" : "off");
	if (settings->udp && kp_privileges_missing_for_sockets(missing))
		kp_log_warn("bpf",
			    "connected UDP sockets will stay with endpoints that are gone; give "
			    "the process what it lacks, or --bpf-udp=off",
			    "missing=%s", kp_log_quote(missing));
}

static int apply_hooks(struct kp_backend *be, const struct kp_plan *plan,
		       struct kp_apply_stats *stats, struct kp_err *err)
{
	int r = 0;

	if (!plan->full && !be->hooked)
		return 0;
	if (!be->bpf)
		r = kp_bpf_open(&be->settings, &be->bpf, err);
	if (r == 0)
		r = kp_bpf_apply(be->bpf, plan, stats, err);
	if (r < 0)
		return go_on_without(be, err);
	if (!be->hooked)
		report_attached(&be->settings);
	be->hooked = true;
	be->lost = false;
	return 0;
}

static int hybrid_apply(struct kp_backend *be, const struct kp_plan *plan,
			struct kp_apply_stats *stats, struct kp_err *err)
{
	int r = kp_nft_backend.apply(be->nft, plan, stats, err);

	return r < 0 ? r : apply_hooks(be, plan, stats, err);
}

static int hybrid_rebuild(struct kp_backend *be, const struct kp_plan *plan,
			  struct kp_apply_stats *stats, struct kp_err *err)
{
	int r = kp_nft_backend.rebuild(be->nft, plan, stats, err);

	return r < 0 ? r : apply_hooks(be, plan, stats, err);
}

/* The hooks are put right by a full plan only. */
static int hybrid_repair(struct kp_backend *be, const struct kp_state *state,
			 struct kp_apply_stats *stats, struct kp_err *err)
{
	return kp_nft_backend.repair(be->nft, state, stats, err);
}

static int start_timer(struct kp_backend *be)
{
	const struct timespec every = {.tv_nsec = LOOK_MS * 1000000};
	const struct itimerspec spec = {.it_value = every, .it_interval = every};

	be->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return be->timer_fd < 0 ? -1 : timerfd_settime(be->timer_fd, 0, &spec, NULL);
}

static int watch_all(struct kp_backend *be, int nft_fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	be->addrs_fd = kp_bpf_addrs_watch();
	if (be->addrs_fd < 0)
		return be->addrs_fd;
	be->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (be->watch_fd < 0 || start_timer(be) < 0 ||
	    epoll_ctl(be->watch_fd, EPOLL_CTL_ADD, nft_fd, &event) < 0 ||
	    epoll_ctl(be->watch_fd, EPOLL_CTL_ADD, be->addrs_fd, &event) < 0 ||
	    epoll_ctl(be->watch_fd, EPOLL_CTL_ADD, be->timer_fd, &event) < 0)
		return -errno;
	return 0;
}

/* nft tells of changes.  Nothing tells that a link was detached or a pin removed, so that these are
 * looked at now and then. */
static int hybrid_watch(struct kp_backend *be, int *ret_fd, struct kp_err *err)
{
	int nft_fd, r = kp_nft_backend.watch(be->nft, &nft_fd, err);

	if (r < 0)
		return r;
	r = watch_all(be, nft_fd);
	if (r < 0)
		return kp_err_errno(err, -r, "watch the socket hooks");
	*ret_fd = be->watch_fd;
	return 0;
}

/* What failed after it had worked may work again: perhaps there was no memory. */
static bool should_retry(struct kp_backend *be)
{
	bool overfull = be->hooked && kp_bpf_is_overfull(be->bpf);

	if ((!be->lost && !overfull) || ++be->n_looks < RETRY_LOOKS)
		return false;
	be->n_looks = 0;
	return be->lost || kp_bpf_can_grow(be->bpf);
}

static enum kp_damage hybrid_was_changed(struct kp_backend *be)
{
	enum kp_damage damage = kp_nft_backend.was_changed(be->nft);
	uint64_t n_ticks;

	if (kp_bpf_addrs_changed(be->addrs_fd) && be->hooked)
		kp_bpf_follow_addrs(be->bpf);
	if (read(be->timer_fd, &n_ticks, sizeof(n_ticks)) < 0)
		return damage;
	if ((be->hooked && !kp_bpf_is_in_place(be->bpf)) || should_retry(be))
		return KP_DAMAGE_UNKNOWN;
	return damage;
}

static enum kp_damage hybrid_missed_change(struct kp_backend *be)
{
	return kp_nft_backend.missed_change(be->nft);
}

/* Hooks first: without them nft serves everything, but without nft the hooks would not. */
static int hybrid_cleanup(struct kp_backend *be, struct kp_err *err)
{
	int r = kp_bpf_remove_directory(be->settings.bpf_root, err);

	return r < 0 ? r : kp_nft_backend.cleanup(be->nft, err);
}

const struct kp_backend_ops kp_hybrid_backend = {
	.name = "bpf",
	.open = hybrid_open,
	.configure = hybrid_configure,
	.readback = hybrid_readback,
	.list = hybrid_list,
	.apply = hybrid_apply,
	.rebuild = hybrid_rebuild,
	.repair = hybrid_repair,
	.watch = hybrid_watch,
	.was_changed = hybrid_was_changed,
	.missed_change = hybrid_missed_change,
	.cleanup = hybrid_cleanup,
	.close = hybrid_close,
};
