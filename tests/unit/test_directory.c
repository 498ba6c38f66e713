/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following a directory of manifests: a real directory and a real loop.  Nothing here sleeps for a
 * guessed time; what must happen is waited for, up to a deadline. */
#include "manifests/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kproxy/log.h"
#include "model/store.h"
#include "track/tracker.h"

#define DEADLINE_MS 20000

struct fixture {
	char root[64];
	char dir[96]; /* root/d: may be removed and come back */
	uv_loop_t loop;
	struct kp_tracker *tracker;
	struct kp_store *store;
	struct kp_directory *directory;
	int log_fd, stderr_fd;
};

#define SERVICE(name, ip) \
	"apiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {clusterIP: " ip "}\n"
#define AND "---\n"
#define BAD(name) \
	"apiVersion: v1\nkind: Service\nmetadata: {name: " name "}\nspec: {clusterIP: x}\n"

/* --- fixture --- */

static int setup(void **state)
{
	struct fixture *f = kp_xcalloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/kproxy-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(f->dir, sizeof(f->dir), "%s/d", f->root);
	assert_int_equal(mkdir(f->dir, 0755), 0);
	uv_loop_init(&f->loop);
	f->tracker = kp_tracker_new(NULL, NULL);
	f->store = kp_store_new(f->tracker);

	/* The log goes to a file of its own, to be counted. */
	f->log_fd = memfd_create("log", MFD_CLOEXEC);
	f->stderr_fd = dup(STDERR_FILENO);
	dup2(f->log_fd, STDERR_FILENO);
	kp_log_set_level(KP_LOG_INFO);
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_directory_close(f->directory);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	kp_store_free(f->store);
	kp_tracker_free(f->tracker);
	dup2(f->stderr_fd, STDERR_FILENO);
	close(f->stderr_fd);
	close(f->log_fd);
	remove_tree(f->root);
	free(f);
	return 0;
}

/* --- files --- */

static const char *path_of(struct fixture *f, const char *name)
{
	static char path[2][256];
	static unsigned int next;
	char *buf = path[next++ % 2];

	snprintf(buf, sizeof(path[0]), "%s/%s", f->dir, name);
	return buf;
}

static int open_file(struct fixture *f, const char *name, int flags)
{
	int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	return fd;
}

static void write_text(int fd, const char *text)
{
	size_t size = strlen(text);

	assert_int_equal(write(fd, text, size), size);
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
	int fd = open_file(f, name, O_TRUNC);

	write_text(fd, text);
	close(fd);
}

static void rename_file(struct fixture *f, const char *from, const char *to)
{
	assert_int_equal(rename(path_of(f, from), path_of(f, to)), 0);
}

static void replace_file(struct fixture *f, const char *name, const char *text)
{
	write_file(f, ".new", text);
	rename_file(f, ".new", name);
}

static void remove_file(struct fixture *f, const char *name)
{
	assert_int_equal(unlink(path_of(f, name)), 0);
}

/* --- waiting and looking --- */

static void open_directory(struct fixture *f)
{
	struct kp_err err;

	if (kp_directory_open(f->dir, "node-1", f->store, &f->loop, &f->directory, &err) < 0)
		fail_msg("%s", err.text);
}

/* The last byte of the Service's IPv4 cluster IP, 0 when there is no such Service. */
static int service_ip(struct fixture *f, const char *name)
{
	struct kp_store_service found;
	char key[64];

	snprintf(key, sizeof(key), "default/%s", name);
	if (!kp_store_get(f->store, key, &found) || !found.service)
		return 0;
	return found.service->cluster_ip[KP_IPV4].bytes[3];
}

/* How many lines of the log hold 'part'. */
static unsigned int count_log(struct fixture *f, const char *part)
{
	char *log, *line, *rest;
	unsigned int n = 0;
	struct stat st;

	assert_int_equal(fstat(f->log_fd, &st), 0);
	log = kp_xcalloc(1, st.st_size + 1);
	assert_int_equal(pread(f->log_fd, log, st.st_size, 0), st.st_size);
	for (line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		n += strstr(line, part) != NULL;
	free(log);
	return n;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

/* Runs the loop until 'name' has the cluster IP 'ip' and the log has 'n' lines with 'part'. */
static void wait_for_both(struct fixture *f, const char *name, int ip, unsigned int n,
			  const char *part)
{
	uint64_t start = uv_hrtime();
	uv_timer_t tick;

	uv_timer_init(&f->loop, &tick);
	uv_timer_start(&tick, on_tick, 5, 5);
	while (service_ip(f, name) != ip || (part && count_log(f, part) < n)) {
		if (uv_hrtime() - start > DEADLINE_MS * UINT64_C(1000000))
			fail_msg("%s has ip %d, not %d; '%s' is logged %u times, not %u", name,
				 service_ip(f, name), ip, part ? part : "",
				 part ? count_log(f, part) : 0, n);
		uv_run(&f->loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void wait_for_ip(struct fixture *f, const char *name, int ip)
{
	wait_for_both(f, name, ip, 0, NULL);
}

static void wait_for_log(struct fixture *f, unsigned int n, const char *part)
{
	wait_for_both(f, "none-such", 0, n, part);
}

/* Whatever takes effect at once has done so when a later change, of a file that sorts last, has. */
static void settle(struct fixture *f)
{
	static int ip;
	char text[256];

	ip = ip % 200 + 1;
	snprintf(text, sizeof(text), SERVICE("zz", "10.0.99.%d"), ip);
	replace_file(f, "zz.yaml", text);
	wait_for_ip(f, "zz", ip);
}

#define assert_logged(f, n, part) assert_int_equal(count_log(f, part), n)

/* --- reading --- */

static void test_directory_reads_yaml_and_json(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a1", "10.0.0.1") AND SERVICE("a2", "10.0.0.2"));
	write_file(f, "b.yml", SERVICE("b", "10.0.0.3"));
	write_file(f, "c.json",
		   "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":"
		   "\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"c\"},\"spec\":"
		   "{\"clusterIP\":\"10.0.0.4\"}}]}");
	open_directory(f);
	assert_int_equal(service_ip(f, "a1"), 1);
	assert_int_equal(service_ip(f, "a2"), 2);
	assert_int_equal(service_ip(f, "b"), 3);
	assert_int_equal(service_ip(f, "c"), 4);
	assert_int_equal(kp_directory_n_errors(f->directory), 0);
	assert_logged(f, 0, "manifests");
}

static void test_directory_reads_without_a_loop(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	assert_int_equal(kp_directory_open(f->dir, "node-1", f->store, NULL, &f->directory, &err),
			 0);
	assert_int_equal(service_ip(f, "a"), 1);
	kp_directory_close(f->directory);
	f->directory = NULL;
	assert_int_equal(service_ip(f, "a"), 1);
}

static void test_directory_that_is_missing_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;
	char expected[256];

	rmdir(f->dir);
	assert_int_equal(kp_directory_open(f->dir, "node-1", f->store, &f->loop, &f->directory,
					   &err),
			 -ENOENT);
	snprintf(expected, sizeof(expected), "directory '%s': watch: No such file or directory",
		 f->dir);
	assert_string_equal(err.text, expected);
	assert_int_equal(kp_directory_open(f->dir, "node-1", f->store, NULL, &f->directory, &err),
			 -ENOENT);
}

static void test_directory_ignores_other_files(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.txt", SERVICE("a", "10.0.0.1"));
	write_file(f, ".b.yaml", SERVICE("b", "10.0.0.1"));
	write_file(f, "c.yaml~", SERVICE("c", "10.0.0.1"));
	assert_int_equal(mkdir(path_of(f, "d.yaml"), 0755), 0);
	assert_int_equal(mkfifo(path_of(f, "e.yaml"), 0644), 0);
	assert_int_equal(symlink("/dev/zero", path_of(f, "f.yaml")), 0);
	open_directory(f);
	assert_int_equal(kp_store_count(f->store, KP_KIND_SERVICE), 0);
	assert_int_equal(kp_directory_n_errors(f->directory), 0);
}

static void test_directory_bad_object_costs_only_itself(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml",
		   SERVICE("a", "10.0.0.1") AND BAD("b") AND
		   "kind: 7\n" AND "just text\n" AND "{broken\n" AND SERVICE("c", "10.0.0.3"));
	open_directory(f);
	assert_int_equal(service_ip(f, "a"), 1);
	assert_int_equal(service_ip(f, "c"), 3);
	assert_int_equal(kp_directory_n_errors(f->directory), 4);
	assert_logged(f, 4, "level=error module=manifests");
	assert_logged(f, 1,
		      "msg=\"object ignored, previous state kept\" file=\"a.yaml\" document=2 "
		      "object=1 line=6 name=\"Service default/b\" "
		      "error=\"spec.clusterIP: 'x' is not a plain IP address\"");
	assert_logged(f, 1, "document=3 object=1 line=11 error=\"kind: expected a string");
	assert_logged(f, 1, "document=4 object=1 line=13 error=\"expected an object, got a string");
	assert_logged(f, 1,
		      "msg=\"rest of the document ignored, previous state kept\" file=\"a.yaml\" "
		      "document=5 line=16");
}

static void test_directory_huge_annotation_costs_only_its_object(void **state)
{
	const size_t size = 10 << 20;
	struct fixture *f = *state;
	char *text = kp_xmalloc(size + 1);
	int fd = open_file(f, "a.yaml", O_TRUNC);

	memset(text, 'x', size);
	text[size] = 0;
	write_text(fd, SERVICE("a", "10.0.0.1") AND "metadata: {annotations: {big: ");
	write_text(fd, text);
	write_text(fd, "}}\n" AND SERVICE("c", "10.0.0.3"));
	close(fd);
	free(text);
	open_directory(f);
	assert_int_equal(service_ip(f, "a"), 1);
	assert_int_equal(service_ip(f, "c"), 3);
	assert_logged(f, 1, "level=error");
	assert_logged(f, 1, "document=2 object=1 line=6 error=\"larger than 3 MiB\"");
}

static void test_directory_refuses_files_that_are_too_large(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", "");
	assert_int_equal(truncate(path_of(f, "a.yaml"), ((off_t)256 << 20) + 1), 0);
	open_directory(f);
	assert_logged(f, 1, "file=\"a.yaml\" error=\"larger than 256 MiB\"");
}

static void test_directory_truncated_json_keeps_what_was_there(void **state)
{
	struct fixture *f = *state;
	const char *item = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":"
			   "\"%s\"},\"spec\":{\"clusterIP\":\"10.0.0.%d\"}}";
	char a[256], b[256], text[1024];

	snprintf(a, sizeof(a), item, "a", 1);
	snprintf(b, sizeof(b), item, "b", 2);
	snprintf(text, sizeof(text), "{\"items\":[%s,%s]}", a, b);
	write_file(f, "a.json", text);
	open_directory(f);
	assert_int_equal(service_ip(f, "b"), 2);
	snprintf(a, sizeof(a), item, "a", 9);
	snprintf(text, sizeof(text), "{\"items\":[%s,{\"apiVersion\":", a);
	replace_file(f, "a.json", text);
	wait_for_ip(f, "a", 9);
	assert_int_equal(service_ip(f, "b"), 2);
	assert_logged(f, 1, "level=error");
}

static void test_directory_bad_json_object_has_its_line(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.json", "{\"items\":[\n{},\n{\"a\"\n1}]}");
	open_directory(f);
	assert_logged(f, 1, "document=1 object=2 line=4 error=\"JSON: ':' expected near");
}

/* --- following --- */

static void test_directory_follows_in_place_writes(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	open_directory(f);
	/* Quickly one after the other: time stamps and sizes are often the same. */
	for (int i = 2; i < 30; i++) {
		char text[256];

		snprintf(text, sizeof(text), SERVICE("a", "10.0.0.%02d"), i);
		write_file(f, "a.yaml", text);
		wait_for_ip(f, "a", i);
	}
}

static void test_directory_follows_renames(void **state)
{
	struct fixture *f = *state;

	open_directory(f);
	replace_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	wait_for_ip(f, "a", 1);
	replace_file(f, "a.yaml", SERVICE("a", "10.0.0.2"));
	wait_for_ip(f, "a", 2);
	rename_file(f, "a.yaml", "a.txt");
	wait_for_ip(f, "a", 0);
}

static void test_directory_follows_links(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.txt", SERVICE("a", "10.0.0.1"));
	write_file(f, "b.txt", SERVICE("b", "10.0.0.2"));
	open_directory(f);
	assert_int_equal(symlink("a.txt", path_of(f, "x.yaml")), 0);
	wait_for_ip(f, "a", 1);
	remove_file(f, "x.yaml");
	assert_int_equal(symlink("b.txt", path_of(f, "x.yaml")), 0);
	wait_for_ip(f, "b", 2);
	assert_int_equal(service_ip(f, "a"), 0);
}

static void test_directory_removes_objects_of_removed_files(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	write_file(f, "b.yaml", SERVICE("b", "10.0.0.2"));
	open_directory(f);
	remove_file(f, "a.yaml");
	wait_for_ip(f, "a", 0);
	assert_int_equal(service_ip(f, "b"), 2);
	assert_logged(f, 0, "level=");
}

static void test_directory_removes_objects_that_left_their_file(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1") AND SERVICE("b", "10.0.0.2"));
	open_directory(f);
	write_file(f, "a.yaml", SERVICE("b", "10.0.0.2"));
	wait_for_ip(f, "a", 0);
	assert_int_equal(service_ip(f, "b"), 2);
}

static void test_directory_replacement_by_delete_is_no_removal(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	open_directory(f);
	kp_tracker_clear(f->tracker);
	remove_file(f, "a.yaml");
	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	settle(f);
	assert_int_equal(service_ip(f, "a"), 1);
	/* Only what settle() did: for the tracker the Service was never away. */
	assert_int_equal(kp_tracker_n_services(f->tracker), 1);
}

static void test_directory_bad_object_keeps_its_previous_state(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1") AND SERVICE("b", "10.0.0.2"));
	open_directory(f);
	replace_file(f, "a.yaml", BAD("a") AND SERVICE("c", "10.0.0.3"));
	wait_for_ip(f, "c", 3);
	assert_int_equal(service_ip(f, "a"), 1);
	/* Its name was known, so the reading was complete. */
	assert_int_equal(service_ip(f, "b"), 0);
	assert_int_equal(kp_directory_n_errors(f->directory), 1);
	replace_file(f, "a.yaml", SERVICE("a", "10.0.0.9"));
	wait_for_ip(f, "a", 9);
	assert_int_equal(kp_directory_n_errors(f->directory), 0);
}

static void test_directory_incomplete_reading_removes_nothing(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1") AND SERVICE("b", "10.0.0.2"));
	open_directory(f);
	replace_file(f, "a.yaml", SERVICE("a", "10.0.0.3") AND "{broken\n");
	wait_for_ip(f, "a", 3);
	assert_int_equal(service_ip(f, "b"), 2);
	replace_file(f, "a.yaml", SERVICE("a", "10.0.0.4") AND "apiVersion: v1\nkind: Service\n");
	wait_for_ip(f, "a", 4);
	assert_int_equal(service_ip(f, "b"), 2);
	replace_file(f, "a.yaml", SERVICE("a", "10.0.0.5"));
	wait_for_ip(f, "a", 5);
	assert_int_equal(service_ip(f, "b"), 0);
}

static void test_directory_unreadable_file_keeps_its_objects(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	open_directory(f);
	/* Root may read whatever its mode is, but nobody can follow a link in a circle. */
	assert_int_equal(symlink("b.yaml", path_of(f, ".link")), 0);
	assert_int_equal(symlink("a.yaml", path_of(f, "b.yaml")), 0);
	rename_file(f, ".link", "a.yaml");
	wait_for_log(f, 1, "file=\"a.yaml\" error=\"open: Too many levels");
	assert_int_equal(service_ip(f, "a"), 1);
	/* Looking at everything again finds nothing new to complain about. */
	assert_int_equal(mkdir(path_of(f, "..x"), 0755), 0);
	settle(f);
	assert_logged(f, 1, "file=\"a.yaml\"");
}

/* IN-5, SV-2 */
static void test_directory_skipped_object_leaves_the_store(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	open_directory(f);
	replace_file(f, "a.yaml", SERVICE("a", "None"));
	wait_for_ip(f, "a", 0);
	assert_logged(f, 0, "level=");
}

/* A writer that has truncated the file, as the shell's '>' does, or has written a part of it. */
static void test_directory_believes_no_absence_while_a_writer_is_at_work(void **state)
{
	struct fixture *f = *state;
	int fd;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1") AND SERVICE("b", "10.0.0.2"));
	open_directory(f);
	fd = open_file(f, "a.yaml", O_TRUNC);
	write_text(fd, SERVICE("a", "10.0.0.3"));
	wait_for_ip(f, "a", 3);
	assert_int_equal(service_ip(f, "b"), 2);
	write_text(fd, AND SERVICE("c", "10.0.0.4"));
	wait_for_ip(f, "c", 4);
	assert_int_equal(service_ip(f, "b"), 2);
	close(fd);
	wait_for_ip(f, "b", 0);
	assert_int_equal(service_ip(f, "c"), 4);
}

static void make_version(struct fixture *f, const char *version, const char *a, const char *b)
{
	char name[64];

	assert_int_equal(mkdir(path_of(f, version), 0755), 0);
	snprintf(name, sizeof(name), "%s/a.yaml", version);
	write_file(f, name, a);
	snprintf(name, sizeof(name), "%s/b.yaml", version);
	write_file(f, name, b);
}

/* The layout that the kubelet makes. */
static void test_directory_follows_config_map_volumes(void **state)
{
	struct fixture *f = *state;

	make_version(f, "..1", SERVICE("a", "10.0.0.1"), SERVICE("b", "10.0.0.2"));
	assert_int_equal(symlink("..1", path_of(f, "..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", path_of(f, "a.yaml")), 0);
	assert_int_equal(symlink("..data/b.yaml", path_of(f, "b.yaml")), 0);
	open_directory(f);
	assert_int_equal(service_ip(f, "a"), 1);

	/* One object changes and one moves to the other file. */
	make_version(f, "..2", SERVICE("a", "10.0.0.3") AND SERVICE("b", "10.0.0.2"), "");
	assert_int_equal(symlink("..2", path_of(f, "..data_tmp")), 0);
	rename_file(f, "..data_tmp", "..data");
	remove_tree(path_of(f, "..1"));
	wait_for_ip(f, "a", 3);
	assert_int_equal(service_ip(f, "b"), 2);
	assert_logged(f, 0, "level=");
}

/* --- one object in several places --- */

static void test_directory_first_file_by_name_owns_an_object(void **state)
{
	struct fixture *f = *state;

	write_file(f, "b.yaml", SERVICE("x", "10.0.0.2"));
	write_file(f, "a.yaml", SERVICE("x", "10.0.0.1"));
	open_directory(f);
	assert_int_equal(service_ip(f, "x"), 1);
	assert_int_equal(kp_directory_n_errors(f->directory), 1);
	assert_logged(f, 1, "level=error");
	assert_logged(f, 1,
		      "msg=\"object ignored, another file has it\" file=\"b.yaml\" "
		      "other=\"a.yaml\" name=\"Service default/x\"");
}

static void test_directory_new_first_file_takes_an_object_over(void **state)
{
	struct fixture *f = *state;

	write_file(f, "b.yaml", SERVICE("x", "10.0.0.2"));
	open_directory(f);
	replace_file(f, "a.yaml", SERVICE("x", "10.0.0.1"));
	wait_for_ip(f, "x", 1);
	assert_logged(f, 1, "file=\"b.yaml\" other=\"a.yaml\"");
	/* The loser's file changes nothing any more. */
	replace_file(f, "b.yaml", SERVICE("x", "10.0.0.3"));
	settle(f);
	assert_int_equal(service_ip(f, "x"), 1);
}

static void test_directory_shadowed_object_comes_to_light(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("x", "10.0.0.1"));
	write_file(f, "b.yaml", SERVICE("x", "10.0.0.2") AND BAD("bad"));
	write_file(f, "c.yaml", SERVICE("x", "10.0.0.3"));
	open_directory(f);
	assert_logged(f, 1, "name=\"Service default/bad\"");
	remove_file(f, "a.yaml");
	wait_for_ip(f, "x", 2);
	/* That was read again, and is not complained about again. */
	assert_logged(f, 1, "name=\"Service default/bad\"");
	assert_logged(f, 1, "file=\"c.yaml\" other=\"b.yaml\"");
	replace_file(f, "b.yaml", "");
	wait_for_ip(f, "x", 3);
	assert_int_equal(kp_directory_n_errors(f->directory), 0);
}

static void test_directory_moves_an_object_between_files_silently(void **state)
{
	struct fixture *f = *state;

	write_file(f, "b.yaml", SERVICE("x", "10.0.0.1"));
	write_file(f, "a.yaml", "");
	open_directory(f);
	kp_tracker_clear(f->tracker);
	/* Both events are in the queue when it is read. */
	replace_file(f, "a.yaml", SERVICE("x", "10.0.0.1"));
	replace_file(f, "b.yaml", "");
	settle(f);
	replace_file(f, "a.yaml", "");
	replace_file(f, "b.yaml", SERVICE("x", "10.0.0.1"));
	settle(f);
	assert_int_equal(service_ip(f, "x"), 1);
	assert_int_equal(kp_tracker_n_services(f->tracker), 1);
	assert_logged(f, 0, "level=");
}

static void test_directory_first_of_two_in_one_file_counts(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("x", "10.0.0.1") AND SERVICE("x", "10.0.0.2"));
	open_directory(f);
	assert_int_equal(service_ip(f, "x"), 1);
	assert_logged(f, 1, "level=error");
	assert_logged(f, 1,
		      "document=2 object=1 line=6 name=\"Service default/x\" "
		      "error=\"comes twice in this file, the first one counts\"");
}

/* --- the directory itself --- */

static void test_directory_that_disappears_keeps_its_objects(void **state)
{
	struct fixture *f = *state;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	write_file(f, "b.yaml", SERVICE("b", "10.0.0.2"));
	open_directory(f);
	remove_tree(f->dir);
	wait_for_log(f, 1, "level=error");
	assert_logged(f, 1, "msg=\"directory has disappeared, keeping its objects\"");
	assert_int_equal(service_ip(f, "a"), 1);
	assert_int_equal(service_ip(f, "b"), 2);
}

/* Somebody's working directory keeps the inode, and inotify silent about its end. */
static void test_directory_that_disappears_while_it_is_held_open(void **state)
{
	struct fixture *f = *state;
	int fd;

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	open_directory(f);
	fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	remove_tree(f->dir);
	wait_for_log(f, 1, "msg=\"directory has disappeared, keeping its objects\"");
	assert_int_equal(service_ip(f, "a"), 1);
	close(fd);
}

static void test_directory_that_returns_is_compared_and_followed(void **state)
{
	struct fixture *f = *state;
	char other[128];

	write_file(f, "a.yaml", SERVICE("a", "10.0.0.1"));
	write_file(f, "b.yaml", SERVICE("b", "10.0.0.2"));
	open_directory(f);
	snprintf(other, sizeof(other), "%s/other", f->root);
	assert_int_equal(rename(f->dir, other), 0);
	wait_for_log(f, 1, "level=error");
	unlink(strcat(strcpy(other, f->root), "/other/a.yaml"));
	snprintf(other, sizeof(other), "%s/other", f->root);
	assert_int_equal(rename(other, f->dir), 0);
	wait_for_ip(f, "a", 0);
	assert_int_equal(service_ip(f, "b"), 2);
	assert_logged(f, 1, "level=info module=manifests msg=\"directory is back\"");
	assert_logged(f, 1, "level=error");
	replace_file(f, "b.yaml", SERVICE("b", "10.0.0.9"));
	wait_for_ip(f, "b", 9);
}

static void test_directory_can_be_closed_while_it_is_lost(void **state)
{
	struct fixture *f = *state;

	open_directory(f);
	remove_tree(f->dir);
	wait_for_log(f, 1, "level=error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_directory_reads_yaml_and_json),
		TEST(test_directory_reads_without_a_loop),
		TEST(test_directory_that_is_missing_is_an_error),
		TEST(test_directory_ignores_other_files),
		TEST(test_directory_bad_object_costs_only_itself),
		TEST(test_directory_huge_annotation_costs_only_its_object),
		TEST(test_directory_refuses_files_that_are_too_large),
		TEST(test_directory_truncated_json_keeps_what_was_there),
		TEST(test_directory_bad_json_object_has_its_line),
		TEST(test_directory_follows_in_place_writes),
		TEST(test_directory_follows_renames),
		TEST(test_directory_follows_links),
		TEST(test_directory_removes_objects_of_removed_files),
		TEST(test_directory_removes_objects_that_left_their_file),
		TEST(test_directory_replacement_by_delete_is_no_removal),
		TEST(test_directory_bad_object_keeps_its_previous_state),
		TEST(test_directory_incomplete_reading_removes_nothing),
		TEST(test_directory_unreadable_file_keeps_its_objects),
		TEST(test_directory_skipped_object_leaves_the_store),
		TEST(test_directory_believes_no_absence_while_a_writer_is_at_work),
		TEST(test_directory_follows_config_map_volumes),
		TEST(test_directory_first_file_by_name_owns_an_object),
		TEST(test_directory_new_first_file_takes_an_object_over),
		TEST(test_directory_shadowed_object_comes_to_light),
		TEST(test_directory_moves_an_object_between_files_silently),
		TEST(test_directory_first_of_two_in_one_file_counts),
		TEST(test_directory_that_disappears_keeps_its_objects),
		TEST(test_directory_that_disappears_while_it_is_held_open),
		TEST(test_directory_that_returns_is_compared_and_followed),
		TEST(test_directory_can_be_closed_while_it_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
