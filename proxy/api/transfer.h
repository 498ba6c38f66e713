/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How libcurl has to be told to ask the API server: TLS, proxy, headers. */
#ifndef KPROXY_TRANSFER_H
#define KPROXY_TRANSFER_H

#include <curl/curl.h>

#include "api/config.h"

struct kp_credentials;

struct kp_transfer {
	CURL *easy; /* NULL: not made */
	struct curl_slist *headers, *connect_to;
	char error[CURL_ERROR_SIZE]; /* "" or libcurl's words for what failed */
};

/* What is asked; borrowed. */
struct kp_transfer_ask {
	const char *path;	 /* and query, behind the server's URL */
	const char *method;	 /* NULL: GET */
	const char *body, *type; /* of another method; kept until the transfer is cleared */
};

/* Makes a request.  The callbacks are the caller's to set.  Nothing is compressed (RF-30), and no
 * redirect is followed: that would carry the token along. */
void kp_transfer_make(struct kp_transfer *transfer, const struct kp_api_config *config,
		      const struct kp_credentials *credentials, const struct kp_transfer_ask *ask);

/* Wipes what is secret. */
void kp_transfer_clear(struct kp_transfer *transfer);

#endif
