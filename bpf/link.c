/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/link.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A detached link says that it belongs to no cgroup. */
static bool is_link_of(int fd, const struct kp_bpf_cgroup *cgroup, struct bpf_link_info *ret)
{
	__u32 size = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return bpf_obj_get_info_by_fd(fd, ret, &size) == 0 && ret->type == BPF_LINK_TYPE_CGROUP &&
	       ret->cgroup.cgroup_id == cgroup->id;
}

static bool update_link(int fd, const struct bpf_program *program,
			const struct kp_bpf_cgroup *cgroup)
{
	struct bpf_link_info info;

	return is_link_of(fd, cgroup, &info) &&
	       bpf_link_update(fd, bpf_program__fd(program), NULL) == 0;
}

static int create_link(const struct bpf_program *program, const struct kp_bpf_cgroup *cgroup,
		       struct kp_err *err)
{
	int fd = bpf_link_create(bpf_program__fd(program), cgroup->fd,
				 bpf_program__expected_attach_type(program), NULL);

	if (fd == -EPERM)
		return kp_err_set(err, EPERM,
				  "attach %s: not permitted; another program may have this cgroup "
				  "for itself (bpftool cgroup tree)",
				  bpf_program__name(program));
	return fd < 0 ? kp_err_errno(err, -fd, "attach %s", bpf_program__name(program)) : fd;
}

int kp_bpf_link_put(const char *path, int held_fd, const struct bpf_program *program,
		    const struct kp_bpf_cgroup *cgroup, bool *ret_is_new, struct kp_err *err)
{
	int r, fd = bpf_obj_get(path);

	*ret_is_new = fd < 0;
	if (fd < 0 && held_fd >= 0)
		fd = fcntl(held_fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && !update_link(fd, program, cgroup)) {
		close(fd);
		fd = -1;
	}
	if (fd < 0) {
		*ret_is_new = true;
		fd = create_link(program, cgroup, err);
	}
	if (fd < 0 || !*ret_is_new)
		return fd;
	r = kp_bpf_pin(fd, path, err);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

bool kp_bpf_link_runs(int fd, uint32_t program_id, const struct kp_bpf_cgroup *cgroup)
{
	struct bpf_link_info info;

	return is_link_of(fd, cgroup, &info) && info.prog_id == program_id;
}
