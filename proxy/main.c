/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wiring only: options, loop, modules, order of shutdown. */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "api/check.h"
#include "api/event_sender.h"
#include "api/kubeconfig.h"
#include "api/source.h"
#include "bpf/place.h"
#include "cmd/dump.h"
#include "cmd/takeover.h"
#include "greeting.h"
#include "guard.h"
#include "kproxy/events.h"
#include "kproxy/host.h"
#include "kproxy/log.h"
#include "kproxy/version.h"
#include "manifests/directory.h"
#include "monitor.h"
#include "sync.h"
#include "takeover/takeover.h"

/* Exit statuses, as the README tells them. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2
};

struct app {
	struct kp_options options;
	struct kp_guard *guard;
	const struct kp_backend_ops *ops;
	struct kp_backend *backend;
	struct kp_sync *sync;
	struct kp_tracker *tracker;
	struct kp_store *store;
	struct kp_directory *directory; /* the one or the other */
	struct kp_api *api;
	struct kp_err api_err;
	struct kp_event_sender *events; /* NULL: nobody to tell */
	struct kp_monitor *monitor;
	struct kp_file_watch *config_watch;
	int argc; /* to read the configuration again */
	char **argv;
	bool restart; /* with another configuration */
	uv_loop_t loop;
	uv_signal_t sigterm, sigint, sighup;
};

/* --- the source of objects --- */

static int configure_api(const struct kp_options *options, struct kp_api_config *ret,
			 struct kp_err *err)
{
	int r = 0;

	if (options->kubeconfig)
		r = kp_kubeconfig_load(options->kubeconfig, ret, err);
	else if (getenv("KUBERNETES_SERVICE_HOST") || !options->master)
		r = kp_api_config_in_cluster(KP_SERVICE_ACCOUNT_DIR, ret, err);
	if (r < 0 || !options->master)
		return r;
	ret->in_cluster = false;
	kp_api_config_set_server(ret, options->master);
	r = kp_api_config_check(ret, err);
	if (r < 0)
		kp_api_config_clear(ret);
	return r < 0 ? kp_err_wrap(err, "--master") : 0;
}

static int open_api(struct app *app, const struct kp_api_handler *handler, struct kp_err *err)
{
	const struct kp_api_options options = {.node_name = app->options.node_name,
					       .stream_lists = app->options.stream_lists,
					       .limit = {.per_s = app->options.api_qps,
							 .burst = app->options.api_burst},
					       .events = app->events};
	struct kp_api_config config = {0};
	int r;

	/* Only here: with manifests it would be 2 MB for nothing. */
	curl_global_init(CURL_GLOBAL_DEFAULT);
	r = configure_api(&app->options, &config, err);
	if (r < 0)
		return r;
	return kp_api_open(&config, &options, handler, app->store, &app->loop, &app->api, err);
}

static int reload_api(struct app *app, struct kp_err *err)
{
	struct kp_api_config config = {0};
	int r = configure_api(&app->options, &config, err);

	return r < 0 ? r : kp_api_reload(app->api, &config, err);
}

static int check_api(const struct kp_options *options, struct kp_err *err)
{
	struct kp_api_config config = {0};
	int r;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	r = configure_api(options, &config, err);
	if (r == 0)
		r = kp_api_check(&config, options->node_name, err);
	kp_api_config_clear(&config);
	return r;
}

static void close_source(struct app *app)
{
	kp_directory_close(KP_TAKE(app->directory));
	kp_api_close(KP_TAKE(app->api));
}

/* --- the daemon --- */

static void stop(struct app *app)
{
	kp_sync_stop(app->sync);
	close_source(app);
	kp_monitor_close(KP_TAKE(app->monitor));
	kp_file_watch_close(KP_TAKE(app->config_watch));
	kp_guard_stop(app->guard);
	uv_close((uv_handle_t *)&app->sigterm, NULL);
	uv_close((uv_handle_t *)&app->sigint, NULL);
	uv_close((uv_handle_t *)&app->sighup, NULL);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	kp_log_info("main", "stopping, rules stay in place", "signal=%d", signum);
	stop(handle->data);
}

/* Trusts nothing that was read before, neither from the source nor from the kernel. */
static void on_reload(uv_signal_t *handle, int signum)
{
	struct app *app = handle->data;
	struct kp_err err = KP_ERR_INIT;

	(void)signum;
	kp_log_info("main", "reading everything again", "signal=SIGHUP");
	if (app->directory)
		kp_directory_reread(app->directory);
	else if (reload_api(app, &err) < 0)
		kp_log_error("main", "configuration not usable, going on with the old one",
			     "error=%s", kp_log_quote(err.text));
	kp_sync_all(app->sync);
}

static void watch_signals(struct app *app)
{
	app->sigterm.data = app->sigint.data = app->sighup.data = app;
	uv_signal_init(&app->loop, &app->sigterm);
	uv_signal_init(&app->loop, &app->sigint);
	uv_signal_init(&app->loop, &app->sighup);
	uv_signal_start(&app->sigterm, on_signal, SIGTERM);
	uv_signal_start(&app->sigint, on_signal, SIGINT);
	uv_signal_start(&app->sighup, on_reload, SIGHUP);
}

/* CF-5.  Starting again with a file that is not valid would leave nobody at work. */
static void on_config_changed(void *arg)
{
	struct app *app = arg;
	struct kp_err err = KP_ERR_INIT;
	struct kp_options options;

	if (kp_options_parse(app->argc, app->argv, &options, &err) < 0) {
		kp_log_error("main",
			     "the new configuration is not valid, going on with the old one",
			     "error=%s", kp_log_quote(err.text));
		return;
	}
	kp_options_clear(&options);
	kp_log_info("main",
		    "the configuration file has changed, stopping to be started again with it",
		    "path=%s", kp_log_quote(app->options.config));
	app->restart = true;
	stop(app);
}

static void watch_config(struct app *app)
{
	struct kp_err err = KP_ERR_INIT;

	if (!app->options.config)
		return;
	if (kp_file_watch_open(app->options.config, &app->options.config_identity, &app->loop,
			       on_config_changed, app, &app->config_watch, &err) < 0)
		kp_log_warn("main", "changes of the configuration file will go unnoticed",
			    "error=%s", kp_log_quote(err.text));
}

static void on_daemon_ready(void *arg)
{
	struct app *app = arg;

	kp_log_info("main", "all objects are known", NULL);
	kp_sync_start(app->sync, &app->loop);
}

static void on_daemon_failed(void *arg, const struct kp_err *err)
{
	struct app *app = arg;

	app->api_err = *err;
	stop(app);
}

/* Nothing is synced before the source is complete: what it has not told yet would be removed. */
static int open_source(struct app *app, struct kp_err *err)
{
	const struct kp_api_handler handler = {
		.ready = on_daemon_ready, .failed = on_daemon_failed, .arg = app};
	int r;

	if (!app->options.manifests) {
		r = open_api(app, &handler, err);
		kp_monitor_watch_api(app->monitor, app->api);
		return r;
	}
	kp_log_info("main", "reading manifests", "directory=%s",
		    kp_log_quote(app->options.manifests));
	r = kp_directory_open(app->options.manifests, app->options.node_name, app->store,
			      &app->loop, &app->directory, err);
	if (r == 0)
		kp_sync_start(app->sync, &app->loop);
	return r;
}

/* Before the first event, so that none is missed. */
static void open_events(struct app *app)
{
	if (app->options.manifests)
		return;
	app->events = kp_event_sender_new(app->options.node_name);
	kp_event_node(KP_NORMAL, "Starting", "StartKubeProxy", "kproxy %s, mode %s", KPROXY_VERSION,
		      app->ops->name);
}

/* kube-proxy would exit (HS-3); but traffic flows without, and would not after that. */
static void apply_host_settings(const struct kp_host_settings *settings)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_host_apply(settings, &err) == 0)
		return;
	kp_log_warn("host", "settings of the host are not as wanted, going on", "error=%s hint=%s",
		    kp_log_quote(err.text),
		    kp_log_quote("set them on the host, run \"kproxy --init-only\" in a privileged "
				 "container, or give 0 to leave them alone (docs/host.md)"));
	kp_event_node(KP_WARNING, "FailedToSetHostSettings", "StartKubeProxy", "%s", err.text);
}

static int run_daemon(struct app *app, struct kp_err *err)
{
	int r;

	kp_greet_kernel(&app->options);
	uv_loop_init(&app->loop);
	open_events(app);
	apply_host_settings(&app->options.host);
	r = kp_monitor_open(&app->options, app->ops->name, &app->loop, app->sync, app->store,
			    app->tracker, &app->monitor, err);
	if (r == 0)
		r = open_source(app, err);
	if (r == 0) {
		watch_signals(app);
		watch_config(app);
		kp_guard_serve(app->guard, &app->loop);
	} else {
		kp_monitor_close(app->monitor);
	}
	uv_run(&app->loop, UV_RUN_DEFAULT);
	uv_loop_close(&app->loop);
	if (app->api_err.code) {
		*err = app->api_err;
		r = err->code;
	}
	return r;
}

/* --- once --- */

static void on_once_ready(void *arg)
{
	struct app *app = arg;

	close_source(app);
}

static void on_once_failed(void *arg, const struct kp_err *err)
{
	struct app *app = arg;

	app->api_err = *err;
	close_source(app);
}

static int read_api_once(struct app *app, struct kp_err *err)
{
	const struct kp_api_handler handler = {
		.ready = on_once_ready, .failed = on_once_failed, .arg = app};
	int r;

	uv_loop_init(&app->loop);
	r = open_api(app, &handler, err);
	uv_run(&app->loop, UV_RUN_DEFAULT);
	uv_loop_close(&app->loop);
	if (app->api_err.code) {
		*err = app->api_err;
		r = err->code;
	}
	return r;
}

static int read_manifests_once(struct app *app, size_t *ret_n_errors, struct kp_err *err)
{
	int r = kp_directory_open(app->options.manifests, app->options.node_name, app->store, NULL,
				  &app->directory, err);

	if (r < 0)
		return r;
	*ret_n_errors = kp_directory_n_errors(app->directory);
	close_source(app);
	return 0;
}

static int run_once(struct app *app, struct kp_err *err)
{
	size_t n_errors = 0;
	int r = app->options.manifests ? read_manifests_once(app, &n_errors, err)
				       : read_api_once(app, err);

	if (r < 0)
		return r;
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

static bool is_daemon(const struct kp_options *o)
{
	return !o->once && !o->dry_run && !o->check && !o->cleanup && !o->init_only && !o->help &&
	       !o->version && !o->write_config_to;
}

/* What changes rules does so alone.  A daemon waits, so that an upgrade can start it early. */
static int take_guard(struct app *app, struct kp_err *err)
{
	const struct kp_options *options = &app->options;

	if (options->dry_run)
		return 0;
	if (!is_daemon(options))
		return kp_guard_take(0, &app->guard, err);
	signal(SIGHUP, SIG_IGN); /* there is nothing yet to read again */
	return kp_guard_take(options->predecessor_wait_ms, &app->guard, err);
}

/* --- what others and earlier ones left --- */

/* One error does not keep the rest from going. */
static int clean_up(struct app *app, struct kp_err *err)
{
	struct kp_err ignored = KP_ERR_INIT;
	int r = app->ops->cleanup(app->backend, err), r2 = 0;

	if (!app->options.keep_kube_proxy_rules)
		r2 = kp_takeover_and_tell(KP_LEFT_ALL, r < 0 ? &ignored : err);
	return r < 0 ? r : r2;
}

/* Our rules are in place. */
static void on_first_sync(void *arg)
{
	struct kp_err err = KP_ERR_INIT;

	(void)arg;
	if (kp_takeover_and_tell(KP_LEFT_RULES, &err) < 0)
		kp_log_warn("takeover",
			    "rules of kube-proxy may be left; kproxy takeover --dry-run tells",
			    "error=%s", kp_log_quote(err.text));
}

static int run(struct app *app, struct kp_err *err)
{
	int r;

	if (app->options.check)
		return check_api(&app->options, err);
	r = take_guard(app, err);
	if (r < 0)
		return r;
	r = app->ops->open(&app->options.settings, &app->backend, err);
	if (r < 0)
		return r;
	/* Not earlier: where the kernel lets us do nothing, its error stands alone. */
	kp_notes_log(&app->options.notes);
	if (app->options.cleanup)
		return clean_up(app, err);
	/* Hooks that an earlier --mode=bpf left would not follow changes any more. */
	if (!app->options.bpf_mode && !app->options.dry_run)
		r = kp_bpf_remove_directory(app->options.settings.hooks.bpf_root, err);
	if (r < 0)
		return r;
	app->sync = kp_sync_new(&app->options, app->ops, app->backend);
	app->tracker = kp_tracker_new(kp_sync_wake, app->sync);
	app->store = kp_store_new(app->tracker);
	for (int f = 0; f < KP_N_FAMILIES; f++)
		kp_store_override_node_ip(app->store, f, &app->options.node_ip[f]);
	kp_sync_attach(app->sync, app->store, app->tracker);
	if (!app->options.keep_kube_proxy_rules)
		kp_sync_after_first(app->sync, on_first_sync, app);
	if (app->options.once || app->options.dry_run)
		return run_once(app, err);
	return run_daemon(app, err);
}

static void app_clear(struct app *app)
{
	kp_event_sender_free(app->events);
	kp_store_free(app->store);
	kp_tracker_free(app->tracker);
	kp_sync_free(app->sync);
	app->ops->close(app->backend);
	kp_guard_release(app->guard);
	kp_options_clear(&app->options);
}

/* What needs no backend. */
static int run_action(const struct kp_options *options, struct kp_err *err)
{
	if (options->help)
		kp_options_print_help();
	else if (options->version)
		puts("kproxy " KPROXY_VERSION);
	else if (options->init_only)
		return kp_host_apply(&options->host, err);
	else
		return kp_options_write(options, options->write_config_to, err);
	return 0;
}

int main(int argc, char **argv)
{
	struct kp_err err = KP_ERR_INIT;
	struct app app = {.argc = argc, .argv = argv};
	const struct kp_options *options = &app.options;
	int r;

	if (argc > 1 && strcmp(argv[1], "dump") == 0)
		return kp_cmd_dump(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "takeover") == 0)
		return kp_cmd_takeover(argc - 1, argv + 1);
	json_object_seed(0);
	if (kp_options_parse(argc, argv, &app.options, &err) < 0) {
		fprintf(stderr, "kproxy: %s (kproxy --help lists the flags)\n", err.text);
		return EXIT_USAGE;
	}
	if (is_daemon(options))
		kp_greet(options);
	if (options->write_config_to)
		kp_notes_log(&options->notes);
	app.ops = options->bpf_mode || options->cleanup ? &kp_hybrid_backend : &kp_nft_backend;
	signal(SIGPIPE, SIG_IGN);
	if (options->help || options->version || options->write_config_to || options->init_only)
		r = run_action(options, &err);
	else
		r = run(&app, &err);
	if (r < 0)
		kp_log_error("main", "failed", "error=%s", kp_log_quote(err.text));
	app_clear(&app);
	curl_global_cleanup();
	return r < 0 || app.restart ? EXIT_FAILED : EXIT_OK;
}
