/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's settings (HS-1 ... HS-4), in a tree of our own: the machine's are never touched. */
#include "host/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNTRACK "/proc/sys/net/netfilter/nf_conntrack_"
#define HASH_SIZE "/sys/module/nf_conntrack/parameters/hashsize"
#define OOM_SCORE "/proc/self/oom_score_adj"

static char root[] = "/tmp/kproxy-host-XXXXXX";

static void path_of(const char *file, char ret[256])
{
	snprintf(ret, 256, "%s%s", root, file);
}

static void put(const char *file, const char *text)
{
	char path[256];
	FILE *out;

	path_of(file, path);
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		mkdir(path, 0755);
	}
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static long get(const char *file)
{
	char path[256];
	long value = -1;
	FILE *in;

	path_of(file, path);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(fscanf(in, "%ld", &value), 1);
	fclose(in);
	return value;
}

/* Something that cannot be written, whoever we are. */
static void put_unwritable(const char *file)
{
	char path[256];

	path_of(file, path);
	unlink(path);
	assert_int_equal(symlink("/proc/version", path), 0);
}

static int make_tree(void **state)
{
	(void)state;
	strcpy(root, "/tmp/kproxy-host-XXXXXX");
	assert_non_null(mkdtemp(root));
	put(CONNTRACK "max", "65536\n");
	put(CONNTRACK "tcp_timeout_established", "432000\n");
	put(CONNTRACK "tcp_timeout_close_wait", "60\n");
	put(CONNTRACK "udp_timeout", "30\n");
	put(CONNTRACK "udp_timeout_stream", "120\n");
	put(CONNTRACK "tcp_be_liberal", "0\n");
	put(HASH_SIZE, "16384\n");
	put(OOM_SCORE, "0\n");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int remove_tree(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int apply(const struct kp_host_settings *settings, unsigned int n_cpus, struct kp_err *err)
{
	*err = (struct kp_err)KP_ERR_INIT;
	return kp_host_apply_in(root, n_cpus, settings, err);
}

static void test_host_sets_what_differs(void **state)
{
	const struct kp_host_settings settings = {.oom_score_adj = -999,
						  .conntrack_max_per_core = 32768,
						  .conntrack_min = 131072,
						  .tcp_established_ms = 86400000,
						  .tcp_close_wait_ms = 3600000,
						  .udp_ms = 500,
						  .udp_stream_ms = 300999,
						  .tcp_be_liberal = true};
	struct kp_err err;

	(void)state;
	assert_int_equal(apply(&settings, 8, &err), 0);
	assert_int_equal(get(OOM_SCORE), -999);
	assert_int_equal(get(CONNTRACK "max"), 262144);
	assert_int_equal(get(HASH_SIZE), 65536);
	assert_int_equal(get(CONNTRACK "tcp_timeout_established"), 86400);
	assert_int_equal(get(CONNTRACK "tcp_timeout_close_wait"), 3600);
	assert_int_equal(get(CONNTRACK "udp_timeout"), 1);
	assert_int_equal(get(CONNTRACK "udp_timeout_stream"), 300);
	assert_int_equal(get(CONNTRACK "tcp_be_liberal"), 1);
}

static void test_host_has_a_floor_and_never_shrinks_the_hash_table(void **state)
{
	const struct kp_host_settings settings = {.conntrack_max_per_core = 32768,
						  .conntrack_min = 131072};
	struct kp_err err;

	(void)state;
	put(HASH_SIZE, "50000\n");
	assert_int_equal(apply(&settings, 2, &err), 0);
	assert_int_equal(get(CONNTRACK "max"), 131072);
	assert_int_equal(get(HASH_SIZE), 50000);
}

static void test_host_zero_leaves_alone(void **state)
{
	const struct kp_host_settings settings = {.conntrack_min = 131072};
	struct kp_err err;

	(void)state;
	assert_int_equal(apply(&settings, 8, &err), 0);
	assert_int_equal(get(CONNTRACK "max"), 65536);
	assert_int_equal(get(HASH_SIZE), 16384);
	assert_int_equal(get(CONNTRACK "tcp_timeout_established"), 432000);
	assert_int_equal(get(CONNTRACK "tcp_be_liberal"), 0);
}

static void test_host_does_not_overflow(void **state)
{
	const struct kp_host_settings settings = {.conntrack_max_per_core = UINT32_MAX};
	struct kp_err err;

	(void)state;
	assert_int_equal(apply(&settings, 1024, &err), 0);
	assert_int_equal(get(CONNTRACK "max"), INT32_MAX);
}

static void test_host_right_values_need_no_permission(void **state)
{
	const struct kp_host_settings settings = {.tcp_close_wait_ms = 60000};
	char path[256];
	struct stat before, after;
	struct kp_err err;

	(void)state;
	path_of(CONNTRACK "tcp_timeout_close_wait", path);
	assert_int_equal(
		utimensat(AT_FDCWD, path, (struct timespec[]){{.tv_sec = 1}, {.tv_sec = 1}}, 0), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(apply(&settings, 1, &err), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mtime, before.st_mtime);
}

static void test_host_goes_on_and_names_each_file_that_fails(void **state)
{
	const struct kp_host_settings settings = {.conntrack_max_per_core = 100000,
						  .tcp_established_ms = 86400000,
						  .udp_ms = 40000,
						  .tcp_be_liberal = true};
	char path[256];
	struct kp_err err;

	(void)state;
	path_of(CONNTRACK "max", path);
	unlink(path);
	put_unwritable(CONNTRACK "udp_timeout");
	assert_int_equal(apply(&settings, 1, &err), -ENOENT);
	assert_non_null(strstr(err.text, "cannot set " CONNTRACK "max to 100000: No such file"));
	assert_non_null(strstr(err.text, "; cannot set " CONNTRACK "udp_timeout to 40: "));
	assert_int_equal(get(CONNTRACK "tcp_timeout_established"), 86400);
	assert_int_equal(get(CONNTRACK "tcp_be_liberal"), 1);
	assert_int_equal(get(HASH_SIZE), 16384);
}

static void test_host_hash_table_of_a_read_only_sys(void **state)
{
	const struct kp_host_settings settings = {.conntrack_max_per_core = 100000};
	char path[256];
	struct kp_err err;

	(void)state;
	path_of(HASH_SIZE, path);
	unlink(path);
	assert_int_equal(apply(&settings, 1, &err), -ENOENT);
	assert_string_equal(err.text,
			    "cannot set " HASH_SIZE " to 25000: No such file or directory");
	assert_int_equal(get(CONNTRACK "max"), 100000);
}

static void test_host_score_is_best_effort(void **state)
{
	const struct kp_host_settings settings = {.oom_score_adj = -999};
	char path[256];
	struct kp_err err;

	(void)state;
	path_of(OOM_SCORE, path);
	unlink(path);
	assert_int_equal(apply(&settings, 1, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_host_sets_what_differs, make_tree,
						remove_tree),
		cmocka_unit_test_setup_teardown(
			test_host_has_a_floor_and_never_shrinks_the_hash_table, make_tree,
			remove_tree),
		cmocka_unit_test_setup_teardown(test_host_zero_leaves_alone, make_tree,
						remove_tree),
		cmocka_unit_test_setup_teardown(test_host_does_not_overflow, make_tree,
						remove_tree),
		cmocka_unit_test_setup_teardown(test_host_right_values_need_no_permission,
						make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(test_host_goes_on_and_names_each_file_that_fails,
						make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(test_host_hash_table_of_a_read_only_sys, make_tree,
						remove_tree),
		cmocka_unit_test_setup_teardown(test_host_score_is_best_effort, make_tree,
						remove_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
