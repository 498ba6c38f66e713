/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kubeconfig may say, and what is refused by name. */
#include "api/kubeconfig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/exec_plugin.h"

struct fixture {
	struct kp_api_config config;
	struct kp_err err;
};

static int setup(void **state)
{
	*state = kp_xcalloc(1, sizeof(struct fixture));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_api_config_clear(&f->config);
	free(f);
	return 0;
}

/* Parses a kubeconfig with these members of its cluster and user, given without braces. */
static int parse(struct fixture *f, const char *cluster, const char *user)
{
	kp_autofree char *text = kp_xasprintf(
		"{\"current-context\":\"a\",\"contexts\":[{\"name\":\"z\",\"context\":{}},"
		"{\"name\":\"a\",\"context\":{\"cluster\":\"b\",\"user\":\"c\"}}],"
		"\"clusters\":[{\"name\":\"x\",\"cluster\":{\"server\":7}},"
		"{\"name\":\"b\",\"cluster\":{%s}}],"
		"\"users\":[{\"name\":\"c\",\"user\":{%s}}]}",
		cluster, user);
	json_auto_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	kp_api_config_clear(&f->config);
	f->err = (struct kp_err)KP_ERR_INIT;
	return kp_kubeconfig_parse(json, "/dir", &f->config, &f->err);
}

#define HTTPS "\"server\":\"https://h:6443\""

static void assert_refused(struct fixture *f, const char *cluster, const char *user,
			   const char *reason)
{
	assert_int_equal(parse(f, cluster, user), -EINVAL);
	if (!strstr(f->err.text, reason))
		fail_msg("'%s' does not say '%s'", f->err.text, reason);
	assert_null(f->config.server);
}

static void test_kubeconfig_takes_the_current_context(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		parse(f, "\"server\":\"https://h:6443/prefix//?x#y\",\"tls-server-name\":\"n\"",
		      "\"token\":\"t\""),
		0);
	assert_string_equal(f->config.server, "https://h:6443/prefix");
	assert_string_equal(f->config.tls_server_name, "n");
	assert_string_equal(f->config.token, "t");
}

static void test_kubeconfig_resolves_paths_from_its_own_directory(void **state) /* CF-1 */
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, HTTPS ",\"certificate-authority\":\"ca.crt\"",
			       "\"tokenFile\":\"/abs/token\",\"client-certificate\":\"sub/c\","
			       "\"client-key\":\"sub/k\""),
			 0);
	assert_string_equal(f->config.ca.path, "/dir/ca.crt");
	assert_string_equal(f->config.token_path, "/abs/token");
	assert_string_equal(f->config.cert.path, "/dir/sub/c");
}

static void test_kubeconfig_prefers_inline_data(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f,
			       HTTPS ",\"certificate-authority\":\"x\","
				     "\"certificate-authority-data\":\"aGVs\\nbG8=\"",
			       ""),
			 0);
	assert_string_equal(f->config.ca.data, "hello");
	assert_null(f->config.ca.path);
	assert_refused(f, HTTPS ",\"certificate-authority-data\":\"%%\"", "", "not base64");
}

static void test_kubeconfig_names_what_is_wrong(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "", "", "clusters[1].cluster.server: missing");
	assert_refused(f, "\"server\":\"h:6443\"", "", "does not start with https://");
	assert_refused(f, "\"server\":\"https://:80\"", "", "has no host");
	assert_refused(f, "\"server\":\"https://u:p@h\"", "", "user name");
	assert_refused(f,
		       HTTPS ",\"insecure-skip-tls-verify\":true,\"certificate-authority\":\"x\"",
		       "", "insecure-skip-tls-verify together with");
	assert_refused(f, HTTPS ",\"insecure-skip-tls-verify\":\"yes\"", "",
		       "clusters[1].cluster.insecure-skip-tls-verify: expected true or false");
	assert_refused(f, HTTPS ",\"proxy-url\":\"ftp://x\"", "", "only http, https and socks5");
	assert_refused(f, HTTPS, "\"auth-provider\":{\"name\":\"gcp\"}",
		       "users[0].user.auth-provider: not supported, use exec");
	assert_refused(f, HTTPS, "\"client-certificate\":\"x\"", "one is missing");
	assert_refused(f, HTTPS, "\"username\":\"x\"", "one is missing");
	assert_refused(f, HTTPS, "\"username\":\"x\",\"password\":\"y\",\"token\":\"z\"",
		       "together with a token");
	assert_refused(f, HTTPS, "\"token\":7", "users[0].user.token: expected a string");
	assert_refused(f, HTTPS, "\"as-groups\":[\"g\"]", "users[0].user.as: missing");
}

static void test_kubeconfig_keeps_secrets_out_of_errors(void **state) /* CF-4 */
{
	struct fixture *f = *state;

	assert_refused(f, HTTPS, "\"token\":\"secret\\nX-Evil: 1\"", "control character");
	assert_null(strstr(f->err.text, "secret"));
	assert_refused(f, HTTPS, "\"username\":\"u\",\"password\":\"secret\\r\"",
		       "control character");
	assert_null(strstr(f->err.text, "secret"));
}

static void test_kubeconfig_refuses_missing_and_double_names(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"current-context\":\"a\"}",
		"{\"current-context\":\"a\",\"contexts\":[{\"name\":\"a\",\"context\":{}}]}",
		"{\"current-context\":\"a\",\"contexts\":[{\"name\":\"a\"},{\"name\":\"a\"}]}",
		"{\"current-context\":\"a\",\"contexts\":{}}",
		"[]",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_auto_t *json = json_loads(texts[i], 0, NULL);

		assert_int_equal(kp_kubeconfig_parse(json, "/dir", &f->config, &f->err), -EINVAL);
	}
}

static void test_kubeconfig_makes_impersonation_headers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, HTTPS,
			       "\"as\":\"u\",\"as-uid\":\"1\",\"as-groups\":[\"g\",\"h\"],"
			       "\"as-user-extra\":{\"a/B\":[\"x\"]}"),
			 0);
	assert_string_equal(f->config.impersonate[0], "Impersonate-User: u");
	assert_string_equal(f->config.impersonate[1], "Impersonate-Uid: 1");
	assert_string_equal(f->config.impersonate[2], "Impersonate-Group: g");
	assert_string_equal(f->config.impersonate[3], "Impersonate-Group: h");
	assert_string_equal(f->config.impersonate[4], "Impersonate-Extra-a%2F%42: x");
	assert_null(f->config.impersonate[5]);
}

#define V1 "\"apiVersion\":\"client.authentication.k8s.io/v1\""

static void test_kubeconfig_reads_exec(void **state) /* CF-8 */
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, HTTPS,
			       "\"exec\":{\"command\":\"./p\",\"args\":[\"a b\"]," V1
			       ",\"interactiveMode\":\"IfAvailable\",\"provideClusterInfo\":true,"
			       "\"env\":[{\"name\":\"N\",\"value\":\"v\"}]}"),
			 0);
	assert_string_equal(f->config.exec->argv[0], "/dir/./p");
	assert_string_equal(f->config.exec->argv[1], "a b");
	assert_null(f->config.exec->argv[2]);
	assert_string_equal(f->config.exec->env[0], "N=v");
	assert_string_equal(f->config.exec->cluster_info, "{\"server\":\"https://h:6443\"}");
	/* Explicit credentials win (CF-9). */
	assert_int_equal(parse(f, HTTPS, "\"token\":\"t\",\"exec\":{\"command\":\"p\"}"), 0);
	assert_null(f->config.exec);
	assert_refused(f, HTTPS, "\"exec\":{}", "exec.command: missing");
	assert_refused(f, HTTPS, "\"exec\":{\"command\":\"p\"}", "exec.apiVersion: only");
	assert_refused(f, HTTPS, "\"exec\":{\"command\":\"p\"," V1 "}", "interactiveMode: missing");
	assert_refused(f, HTTPS,
		       "\"exec\":{\"command\":\"p\"," V1 ",\"interactiveMode\":\"Always\"}",
		       "needs a terminal");
}

static void test_kubeconfig_is_read_from_yaml(void **state)
{
	static const char text[] = "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
				   "contexts:\n- {name: a, context: {cluster: b, user: c}}\n"
				   "clusters:\n- name: b\n  cluster: {server: 'https://h'}\n"
				   "users:\n- name: c\n  user: {token: 0123}\n";
	struct fixture *f = *state;
	char path[] = "/tmp/kproxy-test-XXXXXX";
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(kp_kubeconfig_load(path, &f->config, &f->err), 0);
	unlink(path);
	assert_string_equal(f->config.token, "0123"); /* CF-2 */
	assert_int_equal(kp_kubeconfig_load(path, &f->config, &f->err), -ENOENT);
	assert_non_null(strstr(f->err.text, path));
}

static void test_in_cluster_needs_its_environment(void **state) /* 2.3 */
{
	struct fixture *f = *state;

	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_int_equal(kp_api_config_in_cluster("/sa", &f->config, &f->err), -ENOENT);
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kp_api_config_in_cluster("/sa", &f->config, &f->err), 0);
	assert_string_equal(f->config.server, "https://[fd00::1]:443");
	assert_string_equal(f->config.token_path, "/sa/token");
	assert_string_equal(f->config.ca.path, "/sa/ca.crt");
}

static int parse_answer(const char *text, struct kp_exec_answer *answer, struct kp_err *err)
{
	return kp_exec_answer_parse(text, strlen(text), "client.authentication.k8s.io/v1", answer,
				    err);
}

static void test_exec_answer(void **state) /* CF-9 */
{
	static const char *const bad[] = {
		"",
		"{secret",
		"{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"status\":{}}",
		"{" V1 ",\"status\":{}}",
		"{" V1 ",\"status\":{\"clientCertificateData\":\"secret\"}}",
		"{" V1 ",\"status\":{\"token\":\"secret\\n\"}}",
		"{" V1 ",\"status\":{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}}",
	};
	struct kp_exec_answer answer = {0};
	struct kp_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse_answer(bad[i], &answer, &err), -EINVAL);
		assert_null(strstr(err.text, "secret"));
	}
	assert_int_equal(parse_answer("{" V1 ",\"status\":{\"token\":\"t\","
				      "\"expirationTimestamp\":\"1970-01-02T00:00:01Z\"}}",
				      &answer, &err),
			 0);
	assert_string_equal(answer.token, "t");
	assert_int_equal(answer.expires_s, 86401);
	kp_exec_answer_clear(&answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_kubeconfig_takes_the_current_context),
		TEST(test_kubeconfig_resolves_paths_from_its_own_directory),
		TEST(test_kubeconfig_prefers_inline_data),
		TEST(test_kubeconfig_names_what_is_wrong),
		TEST(test_kubeconfig_keeps_secrets_out_of_errors),
		TEST(test_kubeconfig_refuses_missing_and_double_names),
		TEST(test_kubeconfig_makes_impersonation_headers),
		TEST(test_kubeconfig_reads_exec),
		TEST(test_kubeconfig_is_read_from_yaml),
		TEST(test_in_cluster_needs_its_environment),
		TEST(test_exec_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
