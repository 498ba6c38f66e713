/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wiring only: options, loop, modules, order of shutdown. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "cmd/dump.h"
#include "kproxy/log.h"
#include "kproxy/version.h"
#include "manifests/directory.h"
#include "monitor.h"
#include "sync.h"

/* Exit statuses, as the README tells them. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2
};

struct app {
	struct kp_options options;
	struct kp_backend *backend;
	struct kp_sync *sync;
	struct kp_tracker *tracker;
	struct kp_store *store;
	struct kp_directory *directory;
	struct kp_monitor *monitor;
	uv_loop_t loop;
	uv_signal_t sigterm, sigint;
};

static void on_signal(uv_signal_t *handle, int signum)
{
	struct app *app = handle->data;

	kp_log_info("main", "stopping, rules stay in place", "signal=%d", signum);
	kp_sync_stop(app->sync);
	kp_directory_close(app->directory);
	app->directory = NULL;
	kp_monitor_close(KP_TAKE(app->monitor));
	uv_close((uv_handle_t *)&app->sigterm, NULL);
	uv_close((uv_handle_t *)&app->sigint, NULL);
}

static void watch_signals(struct app *app)
{
	app->sigterm.data = app->sigint.data = app;
	uv_signal_init(&app->loop, &app->sigterm);
	uv_signal_init(&app->loop, &app->sigint);
	uv_signal_start(&app->sigterm, on_signal, SIGTERM);
	uv_signal_start(&app->sigint, on_signal, SIGINT);
}

static int run_daemon(struct app *app, struct kp_err *err)
{
	int r;

	uv_loop_init(&app->loop);
	r = kp_monitor_open(&app->options, kp_nft_backend.name, &app->loop, app->sync, app->store,
			    app->tracker, &app->monitor, err);
	if (r == 0)
		r = kp_directory_open(app->options.manifests, app->options.node_name, app->store,
				      &app->loop, &app->directory, err);
	if (r == 0) {
		watch_signals(app);
		kp_sync_start(app->sync, &app->loop);
	} else {
		kp_monitor_close(app->monitor);
	}
	uv_run(&app->loop, UV_RUN_DEFAULT);
	uv_loop_close(&app->loop);
	return r;
}

static int run_once(struct app *app, struct kp_err *err)
{
	size_t n_errors;
	int r = kp_directory_open(app->options.manifests, app->options.node_name, app->store, NULL,
				  &app->directory, err);

	if (r < 0)
		return r;
	n_errors = kp_directory_n_errors(app->directory);
	kp_directory_close(app->directory);
	if (app->options.dry_run)
		return kp_sync_print_plan(app->sync, stdout, err);
	r = kp_sync_now(app->sync);
	if (r < 0)
		return kp_err_set(err, -r, "the sync failed");
	n_errors += kp_sync_n_conflicts(app->sync);
	if (n_errors > 0)
		return kp_err_set(err, EINVAL,
				  "synced, but not all objects are served; the errors above tell "
				  "which");
	return 0;
}

static int run(struct app *app, struct kp_err *err)
{
	int r = kp_nft_backend.open(&app->options.settings, &app->backend, err);

	if (r < 0)
		return r;
	if (app->options.cleanup)
		return kp_nft_backend.cleanup(app->backend, err);
	if (!app->options.manifests)
		return kp_err_set(err, EINVAL, "no source of objects; give --manifests=DIR");
	app->sync = kp_sync_new(&app->options, &kp_nft_backend, app->backend);
	app->tracker = kp_tracker_new(kp_sync_wake, app->sync);
	app->store = kp_store_new(app->tracker);
	kp_sync_attach(app->sync, app->store, app->tracker);
	if (app->options.once || app->options.dry_run)
		return run_once(app, err);
	return run_daemon(app, err);
}

static void app_clear(struct app *app)
{
	kp_store_free(app->store);
	kp_tracker_free(app->tracker);
	kp_sync_free(app->sync);
	kp_nft_backend.close(app->backend);
}

int main(int argc, char **argv)
{
	struct kp_err err = KP_ERR_INIT;
	struct app app = {0};
	int r;

	if (argc > 1 && strcmp(argv[1], "dump") == 0)
		return kp_cmd_dump(argc - 1, argv + 1);
	if (kp_options_parse(argc, argv, &app.options, &err) < 0) {
		fprintf(stderr, "kproxy: %s (kproxy --help lists the flags)\n", err.text);
		return EXIT_USAGE;
	}
	if (app.options.help) {
		kp_options_print_help();
		return EXIT_OK;
	}
	if (app.options.version) {
		puts("kproxy " KPROXY_VERSION);
		return EXIT_OK;
	}
	r = run(&app, &err);
	if (r < 0)
		kp_log_error("main", "failed", "error=%s", kp_log_quote(err.text));
	app_clear(&app);
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}
