/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/link.h"
#include "bpf/privileges.h"
#include "sock.skel.h"

enum {
	MAX_HOOKS = 8
};

struct hook {
	int link_fd;
	uint32_t program_id;
};

struct kp_bpf_programs {
	struct sock_bpf *skel;
	const char *root;
	bool udp;
	size_t n_hooks; /* that are attached */
	struct hook hooks[MAX_HOOKS];
	size_t n_pins; /* in our directory, with those of others */
	struct kp_bpf_memory memory[KP_N_FAMILIES];
	int services_fds[KP_N_FAMILIES];
};

/* What libbpf complained about last, for the error. */
static char complaint[256];

static int keep_complaint(enum libbpf_print_level level, const char *fmt, va_list args)
{
	if (level == LIBBPF_WARN && !*complaint) {
		vsnprintf(complaint, sizeof(complaint), fmt, args);
		complaint[strcspn(complaint, "\n")] = 0;
	}
	return 0;
}

static char *pin_path(const struct kp_bpf_programs *programs, const char *name)
{
	return kp_xasprintf("%s/" KP_BPF_DIRECTORY "/%s", programs->root, name);
}

static int put_service(void *arg, const void *key, uint32_t index)
{
	return bpf_map_update_elem(*(const int *)arg, key, &index, BPF_ANY);
}

static int remove_service(void *arg, const void *key)
{
	int r = bpf_map_delete_elem(*(const int *)arg, key);

	return r == -ENOENT ? 0 : r;
}

static const struct kp_bpf_services_ops services_ops = {put_service, remove_service};

static int read_netns_cookie(__u64 *ret, struct kp_err *err)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

	if (fd < 0)
		return kp_err_errno(err, errno, "open a socket");
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len) < 0)
		r = kp_err_set(err, EPROTONOSUPPORT,
			       "the kernel has no SO_NETNS_COOKIE (5.14); use --mode=nft");
	close(fd);
	return r;
}

static int set_constants(struct kp_bpf_programs *programs, const struct kp_hook_settings *settings,
			 struct kp_err *err)
{
	struct kp_bpf_constants c = {
		.node_only = settings->node_only,
		.can_refuse = libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
						      BPF_FUNC_set_retval, NULL) == 1,
	};
	int r = read_netns_cookie(&c.node_netns, err);

	if (r == 0)
		memcpy((void *)&programs->skel->rodata->constants, &c, sizeof(c));
	return r;
}

static void set_sizes(struct sock_bpf *skel, const struct kp_bpf_sizes sizes[KP_N_FAMILIES])
{
	bpf_map__set_max_entries(skel->maps.services4, sizes[KP_IPV4].n_frontends);
	bpf_map__set_max_entries(skel->maps.frontends4, sizes[KP_IPV4].n_frontends);
	bpf_map__set_max_entries(skel->maps.endpoints4, sizes[KP_IPV4].n_endpoints);
	bpf_map__set_max_entries(skel->maps.services6, sizes[KP_IPV6].n_frontends);
	bpf_map__set_max_entries(skel->maps.frontends6, sizes[KP_IPV6].n_frontends);
	bpf_map__set_max_entries(skel->maps.endpoints6, sizes[KP_IPV6].n_endpoints);
}

/* Uses the map of the generation before, or what is pinned, instead of a new one; one of another
 * layout is left behind. */
static void take_over(const struct kp_bpf_programs *programs, const struct bpf_map *before,
		      struct bpf_map *map)
{
	kp_autofree char *path = pin_path(programs, bpf_map__name(map));
	struct bpf_map_info info = {0};
	__u32 size = sizeof(info);
	int fd;

	if (before) {
		bpf_map__reuse_fd(map, bpf_map__fd(before));
		return;
	}
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
	    info.value_size == bpf_map__value_size(map) &&
	    (info.type == BPF_MAP_TYPE_SK_STORAGE || info.max_entries == bpf_map__max_entries(map)))
		bpf_map__reuse_fd(map, fd);
	close(fd);
}

static int map_memory(struct bpf_map *map, size_t cell_size, void **ret, struct kp_err *err)
{
	void *p = mmap(NULL, cell_size * bpf_map__max_entries(map), PROT_READ | PROT_WRITE,
		       MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		return kp_err_errno(err, errno, "map %s into memory", bpf_map__name(map));
	*ret = p;
	return 0;
}

static size_t frontend_size(enum kp_family family)
{
	return family == KP_IPV4 ? sizeof(struct kp_bpf_frontend4)
				 : sizeof(struct kp_bpf_frontend6);
}

static size_t endpoint_size(enum kp_family family)
{
	return family == KP_IPV4 ? sizeof(union kp_bpf_endpoint4) : sizeof(struct kp_bpf_endpoint6);
}

static int map_family(struct kp_bpf_programs *programs, enum kp_family family, struct kp_err *err)
{
	struct sock_bpf *skel = programs->skel;
	struct bpf_map *services = family == KP_IPV4 ? skel->maps.services4 : skel->maps.services6;
	struct bpf_map *frontends = family == KP_IPV4 ? skel->maps.frontends4
						      : skel->maps.frontends6;
	struct bpf_map *endpoints = family == KP_IPV4 ? skel->maps.endpoints4
						      : skel->maps.endpoints6;
	struct kp_bpf_memory *m = &programs->memory[family];
	int r;

	m->n_frontends = bpf_map__max_entries(frontends);
	m->n_endpoints = bpf_map__max_entries(endpoints);
	m->ops = &services_ops;
	programs->services_fds[family] = bpf_map__fd(services);
	m->arg = &programs->services_fds[family];
	r = map_memory(frontends, frontend_size(family), &m->frontends, err);
	return r < 0 ? r : map_memory(endpoints, endpoint_size(family), &m->endpoints, err);
}

/* Which privilege or feature is missing. */
static int explain(int r, struct kp_err *err)
{
	char missing[KP_PRIVILEGES_SIZE];

	if (r != -EPERM && r != -EACCES)
		return kp_err_set(err, -r, "load BPF programs: %s: %s", strerror(-r), complaint);
	if (kp_privileges_missing_for_hooks(missing))
		return kp_err_set(err, EPERM,
				  "load BPF programs: not permitted; run as root or give the "
				  "process %s: %s",
				  missing, complaint);
	return kp_err_set(err, EPERM,
			  "load BPF programs: not permitted, though the capabilities are there; "
			  "does a seccomp profile or the kernel's lockdown forbid bpf()? %s",
			  complaint);
}

static int load(struct kp_bpf_programs *programs, const struct kp_hook_settings *settings,
		const struct kp_bpf_sizes sizes[KP_N_FAMILIES],
		const struct kp_bpf_programs *before, struct kp_err *err)
{
	int r;

	*complaint = 0;
	libbpf_set_print(keep_complaint);
	programs->skel = sock_bpf__open();
	if (!programs->skel)
		return kp_err_errno(err, errno, "open BPF programs");
	r = set_constants(programs, settings, err);
	if (r < 0)
		return r;
	set_sizes(programs->skel, sizes);
	take_over(programs, before ? before->skel->maps.records : NULL,
		  programs->skel->maps.records);
	take_over(programs, before ? before->skel->maps.counters : NULL,
		  programs->skel->maps.counters);
	*complaint = 0;
	r = sock_bpf__load(programs->skel);
	if (r < 0)
		return explain(r, err);
	for (int f = 0; f < KP_N_FAMILIES && r == 0; f++)
		r = map_family(programs, f, err);
	return r;
}

int kp_bpf_programs_load(const struct kp_hook_settings *settings,
			 const struct kp_bpf_sizes sizes[KP_N_FAMILIES],
			 const struct kp_bpf_programs *before, struct kp_bpf_programs **ret,
			 struct kp_err *err)
{
	struct kp_bpf_programs *programs = kp_xcalloc(1, sizeof(*programs));
	int r;

	programs->root = settings->bpf_root;
	programs->udp = settings->udp;
	r = load(programs, settings, sizes, before, err);
	if (r < 0) {
		kp_bpf_programs_free(programs);
		return r;
	}
	*ret = programs;
	return 0;
}

/* Without UDP, only connect() is of interest. */
static bool is_wanted(const struct kp_bpf_programs *programs, const struct bpf_program *program)
{
	enum bpf_attach_type type = bpf_program__expected_attach_type(program);

	return programs->udp || type == BPF_CGROUP_INET4_CONNECT ||
	       type == BPF_CGROUP_INET6_CONNECT;
}

static char *link_path(const struct kp_bpf_programs *programs, const struct bpf_program *program)
{
	kp_autofree char *name = kp_xasprintf("link-%s", bpf_program__name(program));

	return pin_path(programs, name);
}

/* The programs hold their maps; pins are for the next generation, for `kproxy dump` and for people.
 */
static int pin_maps(const struct kp_bpf_programs *programs, size_t *n_new, struct kp_err *err)
{
	struct bpf_map *map;
	int r = 0;

	bpf_object__for_each_map (map, programs->skel->obj) {
		kp_autofree char *path = pin_path(programs, bpf_map__name(map));

		if (r < 0 || bpf_map__is_internal(map))
			continue;
		*n_new += access(path, F_OK) < 0;
		r = kp_bpf_pin(bpf_map__fd(map), path, err);
	}
	return r;
}

static int attach_one(struct kp_bpf_programs *programs, int held_fd,
		      const struct bpf_program *program, const struct kp_bpf_cgroup *cgroup,
		      size_t *n_new, struct kp_err *err)
{
	kp_autofree char *path = link_path(programs, program);
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);
	bool is_new = false;
	int r = bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size);

	if (r < 0)
		return kp_err_errno(err, -r, "program %s", bpf_program__name(program));
	r = kp_bpf_link_put(path, held_fd, program, cgroup, &is_new, err);
	if (r < 0)
		return r;
	programs->hooks[programs->n_hooks++] = (struct hook){.link_fd = r, .program_id = info.id};
	*n_new += is_new;
	return 0;
}

/* Of the same hook: all generations of a process have the same ones. */
static int held_link(const struct kp_bpf_programs *before, size_t i)
{
	return before && i < before->n_hooks ? before->hooks[i].link_fd : -1;
}

int kp_bpf_programs_attach(struct kp_bpf_programs *programs, const struct kp_bpf_programs *before,
			   const struct kp_bpf_cgroup *cgroup, size_t *n_new, struct kp_err *err)
{
	struct bpf_program *program;
	int r = kp_bpf_make_directory(programs->root, err);

	bpf_object__for_each_program (program, programs->skel->obj) {
		kp_autofree char *path = link_path(programs, program);

		if (r < 0)
			return r;
		if (is_wanted(programs, program))
			r = attach_one(programs, held_link(before, programs->n_hooks), program,
				       cgroup, n_new, err);
		else
			unlink(path);
	}
	if (r == 0)
		r = pin_maps(programs, n_new, err);
	programs->n_pins = kp_bpf_count_pins(programs->root);
	return r;
}

bool kp_bpf_programs_are_in_place(const struct kp_bpf_programs *programs,
				  const struct kp_bpf_cgroup *cgroup)
{
	for (size_t i = 0; i < programs->n_hooks; i++) {
		const struct hook *hook = &programs->hooks[i];

		if (!kp_bpf_link_runs(hook->link_fd, hook->program_id, cgroup))
			return false;
	}
	return kp_bpf_count_pins(programs->root) == programs->n_pins;
}

static void unmap(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

void kp_bpf_programs_free(struct kp_bpf_programs *programs)
{
	if (!programs)
		return;
	for (size_t i = 0; i < programs->n_hooks; i++)
		close(programs->hooks[i].link_fd);
	for (int f = 0; f < KP_N_FAMILIES; f++) {
		const struct kp_bpf_memory *m = &programs->memory[f];

		unmap(m->frontends, m->n_frontends * frontend_size(f));
		unmap(m->endpoints, m->n_endpoints * endpoint_size(f));
	}
	sock_bpf__destroy(programs->skel);
	free(programs);
}

const struct kp_bpf_memory *kp_bpf_programs_memory(const struct kp_bpf_programs *programs,
						   enum kp_family family)
{
	return &programs->memory[family];
}

int kp_bpf_programs_node_addrs(const struct kp_bpf_programs *programs)
{
	return bpf_map__fd(programs->skel->maps.node_addrs);
}

int kp_bpf_programs_records(const struct kp_bpf_programs *programs)
{
	return bpf_map__fd(programs->skel->maps.records);
}
