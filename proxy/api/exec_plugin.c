/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/exec_plugin.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "decode/fields.h"
#include "kproxy/log.h"

enum {
	TIMEOUT_MS = 60000,
	STDERR_MAX = 1000,
	N_HANDLES = 4
};
#define STDOUT_MAX ((size_t)1 << 20)

struct kp_exec_run {
	const struct kp_exec_config *config;
	kp_exec_done_fn *done; /* NULL: cancelled */
	void *arg;
	uv_process_t process;
	uv_pipe_t out, errors;
	uv_timer_t timer;
	unsigned int n_open; /* handles */
	bool exited, out_ended, timed_out;
	int64_t status;
	int signal;
	char *text;
	size_t size;
	char log[STDERR_MAX + 1];
	size_t log_len;
	char read_buf[4096];
};

void kp_exec_answer_clear(struct kp_exec_answer *answer)
{
	kp_wipe(answer->token);
	free(answer->cert);
	kp_wipe(answer->key);
	*answer = (struct kp_exec_answer){0};
}

/* --- the answer --- */

/* RFC 3339 as Kubernetes writes it, in UTC; 0 when it is something else. */
static int64_t parse_time(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return end && strcmp(end, "Z") == 0 ? timegm(&tm) : 0;
}

static int copy(const struct kp_field *field, char **ret, struct kp_err *err)
{
	const char *text = "";

	if (kp_field_string(field, &text, err) < 0)
		return -EINVAL;
	if (*text)
		*ret = kp_xstrdup(text);
	return 0;
}

static int parse_status(const struct kp_field *root, struct kp_exec_answer *a, struct kp_err *err)
{
	const struct kp_field *status = KP_MEMBER(root, "status");
	const struct kp_field *expires = KP_MEMBER(status, "expirationTimestamp");
	const char *time = "";

	if (kp_field_object(status, err) < 0 ||
	    copy(KP_MEMBER(status, "token"), &a->token, err) < 0 ||
	    copy(KP_MEMBER(status, "clientCertificateData"), &a->cert, err) < 0 ||
	    copy(KP_MEMBER(status, "clientKeyData"), &a->key, err) < 0 ||
	    kp_field_string(expires, &time, err) < 0)
		return -EINVAL;
	if (*time && !(a->expires_s = parse_time(time)))
		return kp_field_fail(expires, err, "not a time of the form 2006-01-02T15:04:05Z");
	if (!a->cert != !a->key)
		return kp_field_fail(status, err, "only one half of certificate and key");
	if (!a->token && !a->cert)
		return kp_field_fail(status, err, "neither a token nor a certificate");
	for (const char *p = a->token; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return kp_field_fail(status, err, "control character in the token");
	return 0;
}

int kp_exec_answer_parse(const char *text, size_t size, const char *api_version,
			 struct kp_exec_answer *ret, struct kp_err *err)
{
	json_error_t error;
	json_auto_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	const struct kp_field *root = &(const struct kp_field){.json = json};
	const struct kp_field *version_field = KP_MEMBER(root, "apiVersion");
	struct kp_exec_answer answer = {0};
	const char *version = "";

	/* Without the parser's message: it quotes what it stumbled over. */
	if (!json)
		return kp_err_set(err, EINVAL, "the answer is not JSON (line %d)", error.line);
	if (kp_field_object(root, err) < 0 || kp_field_string(version_field, &version, err) < 0)
		return -EINVAL;
	if (strcmp(version, api_version) != 0)
		return kp_field_fail(version_field, err, "expected %s", api_version);
	if (parse_status(root, &answer, err) < 0) {
		kp_exec_answer_clear(&answer);
		return -EINVAL;
	}
	*ret = answer;
	return 0;
}

/* --- the process --- */

static void on_closed(uv_handle_t *handle)
{
	struct kp_exec_run *run = handle->data;

	if (--run->n_open > 0)
		return;
	if (run->text)
		explicit_bzero(run->text, run->size);
	explicit_bzero(run->read_buf, sizeof(run->read_buf));
	free(run->text);
	free(run);
}

static void close_all(struct kp_exec_run *run)
{
	uv_close((uv_handle_t *)&run->process, on_closed);
	uv_close((uv_handle_t *)&run->out, on_closed);
	uv_close((uv_handle_t *)&run->errors, on_closed);
	uv_close((uv_handle_t *)&run->timer, on_closed);
}

static int judge(const struct kp_exec_run *run, struct kp_exec_answer *ret, struct kp_err *err)
{
	if (run->timed_out)
		return kp_err_set(err, ETIMEDOUT, "no answer after %d s", TIMEOUT_MS / 1000);
	if (run->signal)
		return kp_err_set(err, EIO, "ended by signal %d", run->signal);
	if (run->status != 0)
		return kp_err_set(err, EIO, "exit status %d", (int)run->status);
	if (run->size >= STDOUT_MAX)
		return kp_err_set(err, EFBIG, "the answer is larger than 1 MiB");
	return kp_exec_answer_parse(run->text ? run->text : "", run->size, run->config->api_version,
				    ret, err);
}

static void end_run(struct kp_exec_run *run)
{
	struct kp_exec_answer answer = {0};
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (!run->exited || !run->out_ended || !run->done)
		return;
	if (run->log_len > 0)
		kp_log_warn("api", "credential plugin wrote to standard error",
			    "command=%s text=%s", kp_log_quote(run->config->argv[0]),
			    kp_log_quote(run->log));
	r = judge(run, &answer, &err);
	if (r < 0)
		kp_err_wrap(&err, "credential plugin '%s'", run->config->argv[0]);
	close_all(run);
	run->done(run->arg, r < 0 ? NULL : &answer, &err);
	kp_exec_answer_clear(&answer);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal)
{
	struct kp_exec_run *run = process->data;

	run->exited = true;
	run->status = status;
	run->signal = signal;
	/* A child of the plugin may hold the pipe open for ever. */
	if (run->timed_out)
		run->out_ended = true;
	end_run(run);
}

static void on_timeout(uv_timer_t *timer)
{
	struct kp_exec_run *run = timer->data;

	run->timed_out = run->out_ended = true;
	if (run->exited)
		end_run(run);
	else
		uv_process_kill(&run->process, SIGKILL);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
	struct kp_exec_run *run = handle->data;

	(void)size;
	*ret = uv_buf_init(run->read_buf, sizeof(run->read_buf));
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct kp_exec_run *run = stream->data;

	if (n < 0) {
		uv_read_stop(stream);
		run->out_ended = true;
		end_run(run);
		return;
	}
	/* What is too much is read all the same, so that the plugin can end. */
	if ((size_t)n > STDOUT_MAX - run->size)
		n = STDOUT_MAX - run->size;
	run->text = kp_xrealloc(run->text, run->size + n);
	memcpy(run->text + run->size, buf->base, n);
	run->size += n;
}

static void on_error_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct kp_exec_run *run = stream->data;
	size_t room = STDERR_MAX - run->log_len;

	if (n < 0) {
		uv_read_stop(stream);
		return;
	}
	if ((size_t)n > room)
		n = room;
	memcpy(run->log + run->log_len, buf->base, n);
	run->log_len += n;
}

/* --- starting --- */

static char *exec_info(const struct kp_exec_config *config)
{
	return kp_xasprintf("KUBERNETES_EXEC_INFO={\"apiVersion\":\"%s\",\"kind\":"
			    "\"ExecCredential\",\"spec\":{\"interactive\":false%s%s}}",
			    config->api_version, config->cluster_info ? ",\"cluster\":" : "",
			    config->cluster_info ? config->cluster_info : "");
}

/* Ours without what the plugin's own variables replace; the array is the caller's. */
static char **build_env(const struct kp_exec_config *config, char *info)
{
	size_t n = 2;
	char **env;

	for (char **p = environ; *p; p++)
		n++;
	for (char **p = config->env; p && *p; p++)
		n++;
	env = kp_xcalloc(n, sizeof(*env));
	n = 0;
	/* getenv() takes the first of several. */
	env[n++] = info;
	for (char **p = config->env; p && *p; p++)
		env[n++] = *p;
	for (char **p = environ; *p; p++)
		env[n++] = *p;
	return env;
}

static int spawn(struct kp_exec_run *run)
{
	kp_autofree char *info = exec_info(run->config);
	char **env = build_env(run->config, info);
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		 .data.stream = (uv_stream_t *)&run->out},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		 .data.stream = (uv_stream_t *)&run->errors},
	};
	const uv_process_options_t options = {
		.exit_cb = on_process_exit,
		.file = run->config->argv[0],
		.args = run->config->argv,
		.env = env,
		.stdio_count = 3,
		.stdio = stdio,
	};
	int r = uv_spawn(run->out.loop, &run->process, &options);

	free(env);
	return r;
}

int kp_exec_start(const struct kp_exec_config *config, uv_loop_t *loop, kp_exec_done_fn *done,
		  void *arg, struct kp_exec_run **ret, struct kp_err *err)
{
	struct kp_exec_run *run = kp_xcalloc(1, sizeof(*run));
	int r;

	run->config = config;
	run->n_open = N_HANDLES;
	uv_pipe_init(loop, &run->out, 0);
	uv_pipe_init(loop, &run->errors, 0);
	uv_timer_init(loop, &run->timer);
	run->process.data = run->out.data = run->errors.data = run->timer.data = run;
	r = spawn(run);
	if (r < 0) {
		close_all(run);
		return kp_err_set(err, -r, "credential plugin '%s': %s%s%s", config->argv[0],
				  uv_strerror(r), config->install_hint ? "; " : "",
				  config->install_hint ? config->install_hint : "");
	}
	run->done = done;
	run->arg = arg;
	uv_timer_start(&run->timer, on_timeout, TIMEOUT_MS, 0);
	uv_read_start((uv_stream_t *)&run->out, give_buffer, on_output);
	uv_read_start((uv_stream_t *)&run->errors, give_buffer, on_error_output);
	*ret = run;
	return 0;
}

void kp_exec_cancel(struct kp_exec_run *run)
{
	if (!run)
		return;
	run->done = NULL;
	if (!run->exited)
		uv_process_kill(&run->process, SIGKILL);
	close_all(run);
}
