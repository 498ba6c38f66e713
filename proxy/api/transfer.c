/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/transfer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "api/credentials.h"
#include "kproxy/version.h"

enum {
	CONNECT_TIMEOUT_MS = 10000,
	BUFFER_SIZE = 64 << 10
};

static void add_header(struct kp_transfer *t, const char *line)
{
	t->headers = curl_slist_append(t->headers, line);
	if (!t->headers)
		abort();
}

static void set_body(struct kp_transfer *t, const struct kp_transfer_ask *ask)
{
	kp_autofree char *type = NULL;

	if (!ask->method)
		return;
	type = kp_xasprintf("Content-Type: %s", ask->type);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, ask->body);
	curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, ask->method);
	add_header(t, type);
	/* A large body would wait for a "100 Continue" first. */
	add_header(t, "Expect:");
}

static void set_headers(struct kp_transfer *t, const struct kp_api_config *config,
			const struct kp_credentials *credentials)
{
	const char *authorization = kp_credentials_authorization(credentials);
	char user_agent[128];
	struct utsname name = {0};

	uname(&name);
	snprintf(user_agent, sizeof(user_agent), "kproxy/%s (linux/%s)", KPROXY_VERSION,
		 name.machine);
	curl_easy_setopt(t->easy, CURLOPT_USERAGENT, user_agent);
	add_header(t, "Accept: application/json");
	if (authorization)
		add_header(t, authorization);
	if (kp_api_config_is_tls(config))
		for (char **p = config->impersonate; p && *p; p++)
			add_header(t, *p);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void set_blob(CURL *easy, CURLoption option, const char *text)
{
	struct curl_blob blob = {
		.data = (void *)text, .len = strlen(text), .flags = CURL_BLOB_COPY};

	curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct kp_api_config *config,
		    const struct kp_credentials *credentials)
{
	const char *ca = kp_credentials_ca(credentials);
	const char *cert = kp_credentials_cert(credentials);

	curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, config->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, config->insecure ? 0L : 2L);
	if (ca) {
		set_blob(easy, CURLOPT_CAINFO_BLOB, ca);
		/* Else all of /etc/ssl/certs would be trusted as well. */
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (cert) {
		set_blob(easy, CURLOPT_SSLCERT_BLOB, cert);
		set_blob(easy, CURLOPT_SSLKEY_BLOB, kp_credentials_key(credentials));
		curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
		curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
	}
}

static const char *environment(const char *lower, const char *upper)
{
	const char *value = getenv(lower);

	if (!value || !*value)
		value = getenv(upper);
	return value ? value : "";
}

/* All is always set, so that libcurl does not read the environment by rules of its own. */
static void set_proxy(CURL *easy, const struct kp_api_config *config)
{
	const char *proxy = config->proxy_url, *except = "";

	if (!proxy) {
		proxy = kp_api_config_is_tls(config) ? environment("https_proxy", "HTTPS_PROXY")
						     : environment("http_proxy", "HTTP_PROXY");
		except = environment("no_proxy", "NO_PROXY");
	}
	curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, except);
	/* The proxy resolves the name, as with Go's socks5. */
	if (strncasecmp(proxy, "socks5://", 9) == 0)
		curl_easy_setopt(easy, CURLOPT_PROXYTYPE, CURLPROXY_SOCKS5_HOSTNAME);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_http(struct kp_transfer *t, const struct kp_api_config *config)
{
	CURL *easy = t->easy;

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
			 kp_api_config_is_tls(config) ? "https" : "http");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED);
	/* HTTP/2 comes with TLS only.  When it is allowed without, libcurl 7.88 lets requests wait
	 * for the connection under way, and does not start them when it turns out to be an HTTP/1.1
	 * connection with a watch on it. */
	if (!kp_api_config_is_tls(config)) {
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
		return;
	}
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
	/* Waits to see whether the connection under way can be shared. */
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
}

/* The URL; or one with the name that the certificate has, connected to where the server is. */
static void set_url(struct kp_transfer *t, const struct kp_api_config *config, const char *path)
{
	const char *host = strstr(config->server, "://") + 3, *colon;
	int len = strcspn(host, "/"), name_len = len;
	kp_autofree char *url = NULL, *connect_to = NULL, *host_header = NULL;

	if (!config->tls_server_name || !kp_api_config_is_tls(config)) {
		url = kp_xasprintf("%s%s", config->server, path);
		curl_easy_setopt(t->easy, CURLOPT_URL, url);
		return;
	}
	for (colon = host + len; colon > host && *colon != ':' && *colon != ']'; colon--)
		;
	if (*colon == ':')
		name_len = colon - host;
	url = kp_xasprintf("https://%s%s%s", config->tls_server_name, host + name_len, path);
	connect_to = kp_xasprintf("::%.*s%s", len, host, name_len == len ? ":443" : "");
	host_header = kp_xasprintf("Host: %.*s", len, host);
	curl_easy_setopt(t->easy, CURLOPT_URL, url);
	t->connect_to = curl_slist_append(NULL, connect_to);
	curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to);
	add_header(t, host_header);
}

void kp_transfer_make(struct kp_transfer *t, const struct kp_api_config *config,
		      const struct kp_credentials *credentials, const struct kp_transfer_ask *ask)
{
	t->easy = curl_easy_init();
	if (!t->easy)
		abort();
	set_http(t, config);
	set_proxy(t->easy, config);
	set_tls(t->easy, config, credentials);
	set_url(t, config, ask->path);
	set_body(t, ask);
	set_headers(t, config, credentials);
}

void kp_transfer_clear(struct kp_transfer *t)
{
	for (struct curl_slist *h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->connect_to);
	*t = (struct kp_transfer){0};
}
