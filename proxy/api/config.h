/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the API server is and who we are to it, as a kubeconfig or a pod tells. */
#ifndef KPROXY_API_CONFIG_H
#define KPROXY_API_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "kproxy/err.h"

/* Certificates or a key: given inline, or read from a file again and again. */
struct kp_pem_source {
	char *data; /* PEM, NULL: none; wins over the file */
	char *path; /* NULL: none */
};

/* A program that makes credentials (client.authentication.k8s.io). */
struct kp_exec_config {
	char **argv; /* ends with NULL */
	char **env;  /* "NAME=value", ends with NULL; added to ours */
	char *api_version;
	char *install_hint; /* may be NULL */
	char *cluster_info; /* JSON for spec.cluster, NULL: not wanted */
};

struct kp_api_config {
	char *server; /* "https://host:port/prefix", without a slash at the end */
	struct kp_pem_source ca;
	bool insecure;	       /* the server's certificate is not checked */
	char *tls_server_name; /* NULL: the host of 'server' */
	char *proxy_url;       /* NULL: as the environment says */

	struct kp_pem_source cert, key;
	char *token;
	char *token_path;
	char *username, *password;
	struct kp_exec_config *exec;
	char **impersonate; /* complete header lines, ends with NULL; NULL: none */

	bool in_cluster;
};

/* Wipes what is secret. */
void kp_api_config_clear(struct kp_api_config *config);

/* Checks what belongs together, whatever the source: the URL, both halves of a certificate, secrets
 * that cannot stand in a header (CF-4). */
int kp_api_config_check(const struct kp_api_config *config, struct kp_err *err);

/* Requests go over TLS; without it no credentials are sent (CF-3). */
bool kp_api_config_is_tls(const struct kp_api_config *config);

/* Some credentials are given. */
bool kp_api_config_has_credentials(const struct kp_api_config *config);

/* Replaces the server's URL (--master); the name in its certificate is the new URL's. */
void kp_api_config_set_server(struct kp_api_config *config, const char *url);

/* The configuration of a pod: its environment and its ServiceAccount's files in 'directory'. */
#define KP_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
int kp_api_config_in_cluster(const char *directory, struct kp_api_config *ret, struct kp_err *err);

/* Frees a text after overwriting it. */
void kp_wipe(char *secret);

#endif
