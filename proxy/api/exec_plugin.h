/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a credential plugin and reads its answer (CF-8, CF-9). */
#ifndef KPROXY_EXEC_PLUGIN_H
#define KPROXY_EXEC_PLUGIN_H

#include <jansson.h>
#include <uv.h>

#include "api/config.h"

/* What a plugin has answered; a token, or a certificate with its key, or both. */
struct kp_exec_answer {
	char *token, *cert, *key;
	int64_t expires_s; /* Unix time, 0: not told */
};

void kp_exec_answer_clear(struct kp_exec_answer *answer);

/* Parses an ExecCredential.  Pure. */
int kp_exec_answer_parse(const char *text, size_t size, const char *api_version,
			 struct kp_exec_answer *ret, struct kp_err *err);

/* Called once at the end of a run: 'answer' is NULL when it failed, else the callee may take its
 * texts. */
typedef void kp_exec_done_fn(void *arg, struct kp_exec_answer *answer, const struct kp_err *err);

struct kp_exec_run;

/* Starts the plugin; its standard error goes to the log.  It is killed after 60 s. */
int kp_exec_start(const struct kp_exec_config *config, uv_loop_t *loop, kp_exec_done_fn *done,
		  void *arg, struct kp_exec_run **ret, struct kp_err *err);

/* Kills a run whose end nobody wants to know any more. */
void kp_exec_cancel(struct kp_exec_run *run);

#endif
