/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the YAML reader's values to 'struct kp_api_config', with errors that name the field:
 *
 *     kubeconfig '/etc/k': users[0].user.auth-provider: not supported, use exec */
#include "api/kubeconfig.h"

#include <errno.h>
#include <string.h>

#include "api/pem.h"
#include "decode/fields.h"
#include "manifests/single.h"

#define MAX_ITEMS 10000

/* What the parsing of one file needs all the way down. */
struct parser {
	const char *directory;
	struct kp_api_config *config;
	struct kp_err *err;
};

static int parse_cluster(const struct parser *p, const struct kp_field *cluster);
static int parse_user(const struct parser *p, const struct kp_field *user);
static int parse_impersonation(const struct parser *p, const struct kp_field *user);
static int parse_exec(const struct parser *p, const struct kp_field *exec,
		      const struct kp_field *cluster);

/* --- the file --- */

int kp_kubeconfig_load(const char *path, struct kp_api_config *ret, struct kp_err *err)
{
	const char *slash = strrchr(path, '/');
	kp_autofree char *directory = NULL;
	json_auto_t *json = NULL;
	int r;

	directory = slash ? kp_xasprintf("%.*s", (int)(slash - path), path) : kp_xstrdup(".");
	r = kp_single_load(path, NULL, NULL, &json, err);
	if (r == 0)
		r = kp_kubeconfig_parse(json, directory, ret, err);
	return r < 0 ? kp_err_wrap(err, "kubeconfig '%s'", path) : 0;
}

/* --- fields --- */

/* Copies a text; empty is as good as missing. */
static int copy_text(const struct parser *p, const struct kp_field *field, char **ret)
{
	const char *text = "";

	if (kp_field_string(field, &text, p->err) < 0)
		return -EINVAL;
	if (*text) {
		free(*ret);
		*ret = kp_xstrdup(text);
	}
	return 0;
}

/* Relative names are relative to the kubeconfig (CF-1). */
static char *resolve(const struct parser *p, const char *path)
{
	return *path == '/' ? kp_xstrdup(path) : kp_xasprintf("%s/%s", p->directory, path);
}

static int copy_path(const struct parser *p, const struct kp_field *field, char **ret)
{
	const char *text = "";

	if (kp_field_string(field, &text, p->err) < 0)
		return -EINVAL;
	if (*text)
		*ret = resolve(p, text);
	return 0;
}

static int copy_base64(const struct parser *p, const struct kp_field *field, char **ret)
{
	const char *text = "";
	struct kp_err err;

	if (kp_field_string(field, &text, p->err) < 0)
		return -EINVAL;
	if (*text && kp_base64_decode(text, ret, &err) < 0)
		return kp_field_fail(field, p->err, "%s", err.text);
	return 0;
}

/* 'name' and 'name'-data; the second wins. */
static int parse_pem(const struct parser *p, const struct kp_field *parent, const char *name,
		     const char *data_name, struct kp_pem_source *ret)
{
	const struct kp_field *path = KP_MEMBER(parent, name);
	const struct kp_field *data = KP_MEMBER(parent, data_name);

	if (copy_base64(p, data, &ret->data) < 0)
		return -EINVAL;
	return ret->data ? 0 : copy_path(p, path, &ret->path);
}

static const char *name_of(const struct kp_field *item)
{
	const char *name = json_string_value(json_object_get(item->json, "name"));

	return name ? name : "";
}

/* Finds the item with a name in a list of {name, ...}; it must be there exactly once. */
static int find_index(const struct parser *p, const struct kp_field *list, const char *name,
		      size_t *ret)
{
	size_t n, n_found = 0;

	if (kp_field_list(list, MAX_ITEMS, &n, p->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct kp_field *item = KP_ITEM(list, i);

		if (strcmp(name_of(item), name) != 0)
			continue;
		*ret = i;
		n_found++;
	}
	if (n_found != 1)
		return kp_field_fail(list, p->err,
				     n_found ? "'%.200s' is there twice" : "'%.200s' is missing",
				     name);
	return 0;
}

/* --- the current context --- */

static int parse_context(const struct parser *p, const struct kp_field *root, const char *context)
{
	const struct kp_field *contexts = KP_MEMBER(root, "contexts");
	const struct kp_field *clusters = KP_MEMBER(root, "clusters");
	const struct kp_field *users = KP_MEMBER(root, "users");
	const char *cluster_name = "", *user_name = "";
	const struct kp_field *item, *body, *user, *cluster;
	size_t index;

	if (find_index(p, contexts, context, &index) < 0)
		return -EINVAL;
	item = KP_ITEM(contexts, index);
	body = KP_MEMBER(item, "context");
	if (kp_field_string(KP_MEMBER(body, "cluster"), &cluster_name, p->err) < 0 ||
	    kp_field_string(KP_MEMBER(body, "user"), &user_name, p->err) < 0 ||
	    find_index(p, clusters, cluster_name, &index) < 0)
		return -EINVAL;
	item = KP_ITEM(clusters, index);
	cluster = KP_MEMBER(item, "cluster");
	if (parse_cluster(p, cluster) < 0)
		return -EINVAL;
	if (!*user_name)
		return 0;
	if (find_index(p, users, user_name, &index) < 0)
		return -EINVAL;
	item = KP_ITEM(users, index);
	user = KP_MEMBER(item, "user");
	if (parse_user(p, user) < 0 || parse_impersonation(p, user) < 0)
		return -EINVAL;
	return parse_exec(p, KP_MEMBER(user, "exec"), cluster);
}

int kp_kubeconfig_parse(const json_t *json, const char *directory, struct kp_api_config *ret,
			struct kp_err *err)
{
	struct kp_api_config config = {0};
	const struct parser p = {.directory = directory, .config = &config, .err = err};
	const struct kp_field *root = &(const struct kp_field){.json = json};
	const struct kp_field *current = KP_MEMBER(root, "current-context");
	const char *context = "";
	int r = kp_field_object(root, err);

	if (r == 0)
		r = kp_field_string(current, &context, err);
	if (r == 0 && !*context)
		r = kp_field_fail(current, err, "missing");
	if (r == 0)
		r = parse_context(&p, root, context);
	if (r == 0)
		r = kp_api_config_check(&config, err);
	if (r < 0) {
		kp_api_config_clear(&config);
		return r;
	}
	*ret = config;
	return 0;
}

static int parse_cluster(const struct parser *p, const struct kp_field *cluster)
{
	kp_autofree char *server = NULL;
	bool disable_compression; /* we never ask for it */

	if (kp_field_object(cluster, p->err) < 0 ||
	    copy_text(p, KP_MEMBER(cluster, "server"), &server) < 0)
		return -EINVAL;
	if (!server)
		return kp_field_fail(KP_MEMBER(cluster, "server"), p->err, "missing");
	kp_api_config_set_server(p->config, server);
	if (parse_pem(p, cluster, "certificate-authority", "certificate-authority-data",
		      &p->config->ca) < 0 ||
	    kp_field_bool(KP_MEMBER(cluster, "insecure-skip-tls-verify"), &p->config->insecure,
			  p->err) < 0 ||
	    copy_text(p, KP_MEMBER(cluster, "tls-server-name"), &p->config->tls_server_name) < 0 ||
	    copy_text(p, KP_MEMBER(cluster, "proxy-url"), &p->config->proxy_url) < 0 ||
	    kp_field_bool(KP_MEMBER(cluster, "disable-compression"), &disable_compression, p->err) <
		    0)
		return -EINVAL;
	return 0;
}

static int parse_user(const struct parser *p, const struct kp_field *user)
{
	const struct kp_field *provider = KP_MEMBER(user, "auth-provider");

	if (kp_field_object(user, p->err) < 0)
		return -EINVAL;
	if (provider->json)
		return kp_field_fail(provider, p->err, "not supported, use exec");
	if (parse_pem(p, user, "client-certificate", "client-certificate-data", &p->config->cert) <
		    0 ||
	    parse_pem(p, user, "client-key", "client-key-data", &p->config->key) < 0 ||
	    copy_text(p, KP_MEMBER(user, "token"), &p->config->token) < 0 ||
	    copy_path(p, KP_MEMBER(user, "tokenFile"), &p->config->token_path) < 0 ||
	    copy_text(p, KP_MEMBER(user, "username"), &p->config->username) < 0 ||
	    copy_text(p, KP_MEMBER(user, "password"), &p->config->password) < 0)
		return -EINVAL;
	return 0;
}

/* --- impersonation --- */

static void add_line(char ***list, char *line)
{
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	*list = kp_xrealloc(*list, (n + 2) * sizeof(**list));
	(*list)[n] = line;
	(*list)[n + 1] = NULL;
}

static int add_header(const struct parser *p, const struct kp_field *field, const char *name)
{
	const char *text = "";

	if (kp_field_string(field, &text, p->err) < 0)
		return -EINVAL;
	if (*text)
		add_line(&p->config->impersonate, kp_xasprintf("%s: %s", name, text));
	return 0;
}

static int add_headers(const struct parser *p, const struct kp_field *list, const char *name)
{
	size_t n;

	if (kp_field_list(list, MAX_ITEMS, &n, p->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (add_header(p, KP_ITEM(list, i), name) < 0)
			return -EINVAL;
	return 0;
}

/* The name of a header takes fewer bytes than a key; the server undoes the escapes. */
static char *extra_header(const char *key)
{
	char *name = kp_xmalloc(sizeof("Impersonate-Extra-") + 3 * strlen(key)), *p = name;

	for (p = stpcpy(p, "Impersonate-Extra-"); *key; key++) {
		unsigned char c = *key;

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-_.", c))
			*p++ = c;
		else
			p += sprintf(p, "%%%02X", c);
	}
	*p = 0;
	return name;
}

static int parse_impersonation(const struct parser *p, const struct kp_field *user)
{
	const struct kp_field *as = KP_MEMBER(user, "as");
	const struct kp_field *extra = KP_MEMBER(user, "as-user-extra");
	const char *key;
	json_t *values;
	int r = 0;

	if (add_header(p, as, "Impersonate-User") < 0 ||
	    add_header(p, KP_MEMBER(user, "as-uid"), "Impersonate-Uid") < 0 ||
	    add_headers(p, KP_MEMBER(user, "as-groups"), "Impersonate-Group") < 0 ||
	    kp_field_object(extra, p->err) < 0)
		return -EINVAL;
	json_object_foreach((json_t *)extra->json, key, values)
	{
		kp_autofree char *name = extra_header(key);

		if (r == 0)
			r = add_headers(p, KP_MEMBER(extra, key), name);
	}
	if (r == 0 && p->config->impersonate && !as->json)
		return kp_field_fail(as, p->err, "missing, but other as-... fields are there");
	return r;
}

/* --- exec --- */

static int parse_args(const struct parser *p, const struct kp_field *exec,
		      struct kp_exec_config *config)
{
	const struct kp_field *command = KP_MEMBER(exec, "command");
	const struct kp_field *args = KP_MEMBER(exec, "args");
	const char *text = "";
	size_t n;

	if (kp_field_string(command, &text, p->err) < 0)
		return -EINVAL;
	if (!*text)
		return kp_field_fail(command, p->err, "missing");
	add_line(&config->argv, strchr(text, '/') ? resolve(p, text) : kp_xstrdup(text));
	if (kp_field_list(args, MAX_ITEMS, &n, p->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		text = "";
		if (kp_field_string(KP_ITEM(args, i), &text, p->err) < 0)
			return -EINVAL;
		add_line(&config->argv, kp_xstrdup(text));
	}
	return 0;
}

static int parse_env(const struct parser *p, const struct kp_field *list,
		     struct kp_exec_config *config)
{
	size_t n;

	if (kp_field_list(list, MAX_ITEMS, &n, p->err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const struct kp_field *item = KP_ITEM(list, i);
		const char *name = "", *value = "";

		if (kp_field_object(item, p->err) < 0 ||
		    kp_field_string(KP_MEMBER(item, "name"), &name, p->err) < 0 ||
		    kp_field_string(KP_MEMBER(item, "value"), &value, p->err) < 0)
			return -EINVAL;
		if (!*name || strchr(name, '='))
			return kp_field_fail(item, p->err, "not the name of a variable");
		add_line(&config->env, kp_xasprintf("%s=%s", name, value));
	}
	return 0;
}

static int check_versions(const struct parser *p, const struct kp_field *exec,
			  struct kp_exec_config *config)
{
	const struct kp_field *version = KP_MEMBER(exec, "apiVersion");
	const struct kp_field *mode = KP_MEMBER(exec, "interactiveMode");
	const char *text = "";
	bool is_v1;

	if (copy_text(p, version, &config->api_version) < 0 ||
	    kp_field_string(mode, &text, p->err) < 0)
		return -EINVAL;
	is_v1 = config->api_version &&
		strcmp(config->api_version, "client.authentication.k8s.io/v1") == 0;
	if (!is_v1 && (!config->api_version ||
		       strcmp(config->api_version, "client.authentication.k8s.io/v1beta1") != 0))
		return kp_field_fail(
			version, p->err,
			"only client.authentication.k8s.io/v1 and v1beta1 are supported");
	if (is_v1 && !*text)
		return kp_field_fail(mode, p->err, "missing");
	if (strcmp(text, "Always") == 0)
		return kp_field_fail(mode, p->err,
				     "'Always' needs a terminal, which we do not have");
	if (*text && strcmp(text, "Never") != 0 && strcmp(text, "IfAvailable") != 0)
		return kp_field_fail(mode, p->err, "'%.64s' is not known", text);
	return 0;
}

/* What the plugin may want to know of the cluster (CF-8). */
static char *cluster_info(const struct parser *p, const struct kp_field *cluster)
{
	static const char *const names[] = {"server",
					    "tls-server-name",
					    "insecure-skip-tls-verify",
					    "certificate-authority-data",
					    "proxy-url",
					    "disable-compression"};
	const json_t *extensions = json_object_get(cluster->json, "extensions"), *item;
	json_auto_t *info = json_object();
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (KP_MEMBER(cluster, names[i])->json)
			json_object_set(info, names[i], json_object_get(cluster->json, names[i]));
	json_object_set_new(info, "server", json_string(p->config->server));
	json_array_foreach(extensions, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name"));

		if (name && strcmp(name, "client.authentication.k8s.io/exec") == 0)
			json_object_set(info, "config", json_object_get(item, "extension"));
	}
	return json_dumps(info, JSON_COMPACT);
}

static int parse_exec(const struct parser *p, const struct kp_field *exec,
		      const struct kp_field *cluster)
{
	struct kp_exec_config *config;
	bool provide_cluster_info = false;

	if (kp_field_object(exec, p->err) < 0)
		return -EINVAL;
	/* Explicit credentials switch the plugin off (CF-9). */
	if (!exec->json || kp_api_config_has_credentials(p->config))
		return 0;
	config = p->config->exec = kp_xcalloc(1, sizeof(*config));
	if (parse_args(p, exec, config) < 0 || parse_env(p, KP_MEMBER(exec, "env"), config) < 0 ||
	    check_versions(p, exec, config) < 0 ||
	    copy_text(p, KP_MEMBER(exec, "installHint"), &config->install_hint) < 0 ||
	    kp_field_bool(KP_MEMBER(exec, "provideClusterInfo"), &provide_cluster_info, p->err) < 0)
		return -EINVAL;
	if (provide_cluster_info && p->config->ca.path)
		return kp_field_fail(KP_MEMBER(exec, "provideClusterInfo"), p->err,
				     "only supported with certificate-authority-data");
	if (provide_cluster_info)
		config->cluster_info = cluster_info(p, cluster);
	return 0;
}
