/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The credentials and trusted certificates of the moment: read again when they change on disk, made
 * anew by a plugin.
 *
 * Whatever cannot be read leaves the last good state in use and is logged once. */
#ifndef KPROXY_CREDENTIALS_H
#define KPROXY_CREDENTIALS_H

#include <uv.h>

#include "api/config.h"

struct kp_credentials;

/* Calls 'ready' when a plugin's run, for which requests had to wait, has ended.  'config' is
 * borrowed.  Fails when something that the configuration names cannot be used at all. */
int kp_credentials_open(const struct kp_api_config *config, uv_loop_t *loop,
			void (*ready)(void *arg), void *arg, struct kp_credentials **ret,
			struct kp_err *err);
void kp_credentials_close(struct kp_credentials *credentials);

enum kp_credentials_state {
	KP_CREDENTIALS_READY,
	KP_CREDENTIALS_WAIT, /* for 'ready' */
	KP_CREDENTIALS_NONE, /* 'err' says why */
};

/* Brings everything up to date before a request. */
enum kp_credentials_state kp_credentials_prepare(struct kp_credentials *credentials,
						 struct kp_err *err);

/* Counts the changes of the token or plugin's answer. */
unsigned int kp_credentials_age(const struct kp_credentials *credentials);

/* The server has refused those of that age (401).  True when there are others now, or a plugin will
 * make some. */
bool kp_credentials_renew(struct kp_credentials *credentials, unsigned int age);

/* There is no connection, perhaps because of a certificate: the files are read again before the
 * next request (CF-7). */
void kp_credentials_distrust_files(struct kp_credentials *credentials);

/* All borrowed until the next call; NULL: none. */
const char *kp_credentials_authorization(const struct kp_credentials *credentials);
const char *kp_credentials_ca(const struct kp_credentials *credentials);
const char *kp_credentials_cert(const struct kp_credentials *credentials);
const char *kp_credentials_key(const struct kp_credentials *credentials);

#endif
