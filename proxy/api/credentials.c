/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/credentials.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/exec_plugin.h"
#include "api/pem.h"
#include "kproxy/clock.h"
#include "kproxy/log.h"

#define MAX_FILE_SIZE ((size_t)1 << 20)

enum {
	TOKEN_PERIOD_MS = 60000,
	FILES_PERIOD_MS = 300000,
	EXEC_EARLY_S = 30,
	EXEC_RETRY_MS = 10000,
};

/* A file's content with the time of its reading. */
struct watched {
	char *text;
	uint64_t read_ms; /* 0: never, or not any more */
	bool failed;	  /* it was logged */
};

struct kp_credentials {
	const struct kp_api_config *config;
	uv_loop_t *loop;
	void (*ready)(void *arg);
	void *arg;
	struct watched token, ca, cert, key;
	unsigned int age; /* counts changes of the token or the plugin's answer */
	char *header;	  /* "Authorization: ..." */

	struct kp_exec_run *run;
	struct kp_exec_answer answer;
	bool has_answer, rejected;
	uint64_t failed_ms; /* when the plugin failed last, 0: it has not */
	struct kp_err exec_err;
};

static int prepare_files(struct kp_credentials *c, struct kp_err *err);
static bool refresh_token(struct kp_credentials *c, uint64_t period_ms, struct kp_err *err);

static uint64_t now_ms(void)
{
	return kp_clock_ms() + 1; /* 0 is "never" */
}

int kp_credentials_open(const struct kp_api_config *config, uv_loop_t *loop,
			void (*ready)(void *arg), void *arg, struct kp_credentials **ret,
			struct kp_err *err)
{
	struct kp_credentials *c = kp_xcalloc(1, sizeof(*c));
	int r;

	c->config = config;
	c->loop = loop;
	c->ready = ready;
	c->arg = arg;
	r = prepare_files(c, err);
	if (r == 0 && config->token_path && !refresh_token(c, 0, err) && !config->token)
		r = err->code;
	if (r < 0) {
		kp_credentials_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

static void watched_clear(struct watched *watched)
{
	kp_wipe(watched->text);
	*watched = (struct watched){0};
}

void kp_credentials_close(struct kp_credentials *c)
{
	if (!c)
		return;
	kp_exec_cancel(c->run);
	watched_clear(&c->token);
	watched_clear(&c->ca);
	watched_clear(&c->cert);
	watched_clear(&c->key);
	kp_wipe(c->header);
	kp_exec_answer_clear(&c->answer);
	free(c);
}

/* --- files --- */

static int read_fd(int fd, char **ret, struct kp_err *err)
{
	char *text = kp_xmalloc(MAX_FILE_SIZE + 1);
	size_t size = 0;
	ssize_t n;

	while ((n = read(fd, text + size, MAX_FILE_SIZE + 1 - size)) > 0)
		size += n;
	if (n == 0 && size <= MAX_FILE_SIZE && !memchr(text, 0, size)) {
		*ret = kp_xrealloc(text, size + 1);
		(*ret)[size] = 0;
		return 0;
	}
	explicit_bzero(text, size);
	free(text);
	if (n < 0)
		return kp_err_errno(err, errno, "read");
	return kp_err_set(err, EINVAL, "larger than 1 MiB, or not text");
}

/* The path is opened anew each time: a mounted Secret changes by switching a link (CF-6). */
static int read_text(const char *path, char **ret, struct kp_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		r = kp_err_errno(err, errno, "open");
	else
		r = read_fd(fd, ret, err);
	if (fd >= 0)
		close(fd);
	return r < 0 ? kp_err_wrap(err, "'%s'", path) : 0;
}

static bool is_due(const struct watched *watched, uint64_t period_ms)
{
	return watched->read_ms == 0 || now_ms() >= watched->read_ms + period_ms;
}

/* Reads a file if it is time to.  Returns the new text, to be checked, or NULL. */
static char *read_if_due(struct watched *watched, const struct kp_pem_source *source,
			 struct kp_err *err)
{
	char *text = NULL;

	if (source->data) {
		text = watched->text ? NULL : kp_xstrdup(source->data);
	} else if (source->path && is_due(watched, FILES_PERIOD_MS)) {
		watched->read_ms = now_ms();
		read_text(source->path, &text, err);
	}
	return text;
}

static void replace(struct watched *watched, char *text)
{
	kp_wipe(watched->text);
	watched->text = text;
	watched->failed = false;
}

/* Without an older state to go on with it is an error, else it is logged once. */
static int keep_old(struct watched *watched, const char *what, struct kp_err *err)
{
	if (!watched->text)
		return kp_err_wrap(err, "%s", what);
	if (!watched->failed)
		kp_log_warn("api", "not usable, keeping the old one", "what=%s error=%s",
			    kp_log_quote(what), kp_log_quote(err->text));
	watched->failed = true;
	return 0;
}

static int prepare_ca(struct kp_credentials *c, struct kp_err *err)
{
	char *text = read_if_due(&c->ca, &c->config->ca, err);

	if (text && kp_pem_check_certificates(text, err) == 0)
		replace(&c->ca, KP_TAKE(text));
	free(text);
	return err->code ? keep_old(&c->ca, "certificate-authority", err) : 0;
}

/* Both halves change together or not at all. */
static int prepare_cert(struct kp_credentials *c, struct kp_err *err)
{
	char *cert = read_if_due(&c->cert, &c->config->cert, err);
	char *key = read_if_due(&c->key, &c->config->key, err);

	if (!err->code && (cert || key) &&
	    kp_pem_check_key(cert ? cert : c->cert.text, key ? key : c->key.text, err) == 0) {
		if (cert)
			replace(&c->cert, KP_TAKE(cert));
		if (key)
			replace(&c->key, KP_TAKE(key));
	}
	free(cert);
	kp_wipe(key);
	return err->code ? keep_old(&c->cert, "client certificate", err) : 0;
}

static int prepare_files(struct kp_credentials *c, struct kp_err *err)
{
	struct kp_err ca_err = KP_ERR_INIT, cert_err = KP_ERR_INIT;

	if (prepare_ca(c, &ca_err) < 0) {
		*err = ca_err;
		return err->code;
	}
	if (prepare_cert(c, &cert_err) < 0) {
		*err = cert_err;
		return err->code;
	}
	return 0;
}

void kp_credentials_distrust_files(struct kp_credentials *c)
{
	c->ca.read_ms = c->cert.read_ms = c->key.read_ms = 0;
}

/* --- the token file --- */

static void trim(char *text)
{
	size_t len = strlen(text), start = strspn(text, " \t\r\n");

	while (len > start && isspace((unsigned char)text[len - 1]))
		len--;
	memmove(text, text + start, len - start);
	text[len - start] = 0;
}

static int check_token(const char *token, struct kp_err *err)
{
	if (!*token)
		return kp_err_set(err, EINVAL, "the token file is empty");
	for (const char *p = token; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return kp_err_set(err, EINVAL, "control character in the token file");
	return 0;
}

/* Reads the token again when it is older than 'period_ms'.  True when there is a token in use. */
static bool refresh_token(struct kp_credentials *c, uint64_t period_ms, struct kp_err *err)
{
	kp_autofree char *text = NULL;
	struct kp_err why = KP_ERR_INIT;

	if (!is_due(&c->token, period_ms))
		return c->token.text;
	c->token.read_ms = now_ms();
	if (read_text(c->config->token_path, &text, &why) == 0) {
		trim(text);
		check_token(text, &why);
	}
	if (!why.code && (!c->token.text || strcmp(c->token.text, text) != 0))
		c->age++;
	if (!why.code)
		replace(&c->token, KP_TAKE(text));
	else if (keep_old(&c->token, "token file", &why) < 0)
		*err = why;
	return c->token.text;
}

/* --- the plugin --- */

static void on_exec_done(void *arg, struct kp_exec_answer *answer, const struct kp_err *err)
{
	struct kp_credentials *c = arg;

	c->run = NULL;
	c->rejected = false;
	c->failed_ms = answer ? 0 : now_ms();
	if (answer) {
		struct kp_exec_answer old = c->answer;

		c->age++;
		c->answer = *answer;
		*answer = old;
		c->has_answer = true;
	} else {
		c->exec_err = *err;
	}
	c->ready(c->arg);
}

static bool answer_is_good(const struct kp_credentials *c)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return c->has_answer && !c->rejected &&
	       (!c->answer.expires_s || now.tv_sec < c->answer.expires_s - EXEC_EARLY_S);
}

static enum kp_credentials_state prepare_exec(struct kp_credentials *c, struct kp_err *err)
{
	if (c->run)
		return KP_CREDENTIALS_WAIT;
	if (answer_is_good(c))
		return KP_CREDENTIALS_READY;
	if (c->failed_ms && now_ms() < c->failed_ms + EXEC_RETRY_MS) {
		*err = c->exec_err;
		return KP_CREDENTIALS_NONE;
	}
	if (kp_exec_start(c->config->exec, c->loop, on_exec_done, c, &c->run, err) == 0)
		return KP_CREDENTIALS_WAIT;
	c->failed_ms = now_ms();
	c->exec_err = *err;
	return KP_CREDENTIALS_NONE;
}

/* --- requests --- */

enum kp_credentials_state kp_credentials_prepare(struct kp_credentials *c, struct kp_err *err)
{
	if (prepare_files(c, err) < 0)
		return KP_CREDENTIALS_NONE;
	if (c->config->token_path && !refresh_token(c, TOKEN_PERIOD_MS, err) && !c->config->token)
		return KP_CREDENTIALS_NONE;
	return c->config->exec ? prepare_exec(c, err) : KP_CREDENTIALS_READY;
}

static const char *current_token(const struct kp_credentials *c)
{
	if (c->config->exec)
		return c->answer.token;
	return c->token.text ? c->token.text : c->config->token;
}

unsigned int kp_credentials_age(const struct kp_credentials *c)
{
	return c->age;
}

bool kp_credentials_renew(struct kp_credentials *c, unsigned int age)
{
	struct kp_err ignored = KP_ERR_INIT;

	if (age == c->age && c->config->exec)
		c->rejected = true;
	else if (age == c->age && c->config->token_path)
		refresh_token(c, 0, &ignored);
	return age != c->age || c->rejected;
}

static char *build_authorization(const struct kp_credentials *c)
{
	kp_autofree char *pair = NULL, *encoded = NULL;
	const char *token = current_token(c);

	if (token)
		return kp_xasprintf("Authorization: Bearer %s", token);
	if (!c->config->username)
		return NULL;
	pair = kp_xasprintf("%s:%s", c->config->username, c->config->password);
	encoded = kp_base64_encode(pair);
	explicit_bzero(pair, strlen(pair));
	return kp_xasprintf("Authorization: Basic %s", encoded);
}

const char *kp_credentials_authorization(const struct kp_credentials *credentials)
{
	struct kp_credentials *c = (struct kp_credentials *)credentials;

	if (!kp_api_config_is_tls(c->config))
		return NULL;
	kp_wipe(c->header);
	c->header = build_authorization(c);
	return c->header;
}

const char *kp_credentials_ca(const struct kp_credentials *c)
{
	return c->ca.text;
}

const char *kp_credentials_cert(const struct kp_credentials *c)
{
	return c->config->exec ? c->answer.cert : c->cert.text;
}

const char *kp_credentials_key(const struct kp_credentials *c)
{
	return c->config->exec ? c->answer.key : c->key.text;
}
