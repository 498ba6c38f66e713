/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

void kp_wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static void wipe_list(char **list)
{
	for (char **p = list; p && *p; p++)
		kp_wipe(*p);
	free(list);
}

static void exec_config_free(struct kp_exec_config *exec)
{
	if (!exec)
		return;
	wipe_list(exec->argv);
	wipe_list(exec->env);
	free(exec->api_version);
	free(exec->install_hint);
	free(exec->cluster_info);
	free(exec);
}

void kp_api_config_clear(struct kp_api_config *c)
{
	free(c->server);
	free(c->ca.data);
	free(c->ca.path);
	free(c->tls_server_name);
	kp_wipe(c->proxy_url);
	free(c->cert.data);
	free(c->cert.path);
	kp_wipe(c->key.data);
	free(c->key.path);
	kp_wipe(c->token);
	free(c->token_path);
	free(c->username);
	kp_wipe(c->password);
	exec_config_free(c->exec);
	wipe_list(c->impersonate);
	*c = (struct kp_api_config){0};
}

bool kp_api_config_is_tls(const struct kp_api_config *c)
{
	return strncasecmp(c->server, "https://", 8) == 0;
}

static bool is_set(const struct kp_pem_source *pem)
{
	return pem->data || pem->path;
}

bool kp_api_config_has_credentials(const struct kp_api_config *c)
{
	return c->token || c->token_path || c->username || c->exec || is_set(&c->cert);
}

/* Bytes that would end a header line, or hide in one. */
static bool fits_header(const char *text)
{
	for (; text && *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static int check_server(const char *server, struct kp_err *err)
{
	const char *host;

	if (!server || !*server)
		return kp_err_set(err, EINVAL, "server: missing");
	if (strncasecmp(server, "https://", 8) == 0)
		host = server + 8;
	else if (strncasecmp(server, "http://", 7) == 0)
		host = server + 7;
	else
		return kp_err_set(err, EINVAL,
				  "server: '%.200s' does not start with https:// or http://",
				  server);
	if (!*host || strchr("/:?#", *host))
		return kp_err_set(err, EINVAL, "server: '%.200s' has no host", server);
	if (strpbrk(host, "@ \t\"<>\\") || !fits_header(host))
		return kp_err_set(err, EINVAL, "server: not a valid URL, or one with a user name");
	return 0;
}

static int check_proxy(const char *url, struct kp_err *err)
{
	if (url && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0 &&
	    strncasecmp(url, "socks5://", 9) != 0)
		return kp_err_set(err, EINVAL,
				  "proxy-url: only http, https and socks5 are supported");
	return fits_header(url) ? 0 : kp_err_set(err, EINVAL, "proxy-url: control character");
}

int kp_api_config_check(const struct kp_api_config *c, struct kp_err *err)
{
	if (check_server(c->server, err) < 0 || check_proxy(c->proxy_url, err) < 0)
		return err->code;
	if (c->insecure && is_set(&c->ca))
		return kp_err_set(err, EINVAL,
				  "insecure-skip-tls-verify together with a certificate-authority");
	if (is_set(&c->cert) != is_set(&c->key))
		return kp_err_set(err, EINVAL, "client-certificate and client-key: one is missing");
	if ((c->username || c->password) && (c->token || c->token_path))
		return kp_err_set(err, EINVAL, "username and password together with a token");
	if (!c->username != !c->password)
		return kp_err_set(err, EINVAL, "username and password: one is missing");
	if (!fits_header(c->token) || !fits_header(c->username) || !fits_header(c->password))
		return kp_err_set(err, EINVAL, "token, username or password: control character");
	for (char **p = c->impersonate; p && *p; p++)
		if (!fits_header(*p))
			return kp_err_set(err, EINVAL, "impersonation: control character");
	return 0;
}

void kp_api_config_set_server(struct kp_api_config *c, const char *url)
{
	size_t len = strcspn(url, "?#");

	while (len > 0 && url[len - 1] == '/')
		len--;
	free(c->server);
	c->server = kp_xasprintf("%.*s", (int)len, url);
	free(KP_TAKE(c->tls_server_name));
}

int kp_api_config_in_cluster(const char *directory, struct kp_api_config *ret, struct kp_err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	struct kp_api_config c = {.in_cluster = true};

	if (!host || !*host || !port || !*port)
		return kp_err_set(err, ENOENT,
				  "not in a pod (KUBERNETES_SERVICE_HOST is not set); give "
				  "--kubeconfig=FILE");
	c.server = kp_xasprintf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host,
				port);
	c.ca.path = kp_xasprintf("%s/ca.crt", directory);
	c.token_path = kp_xasprintf("%s/token", directory);
	if (kp_api_config_check(&c, err) < 0) {
		kp_api_config_clear(&c);
		return kp_err_wrap(err, "configuration of the pod");
	}
	*ret = c;
	return 0;
}
