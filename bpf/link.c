/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/link.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Opens a pinned link to this cgroup.  A link of another one, or of one that is gone, is of no use:
 * -1. */
static int open_link(const char *path, const struct kp_bpf_cgroup *cgroup,
		     struct bpf_link_info *ret)
{
	__u32 size = sizeof(*ret);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	if (bpf_obj_get_info_by_fd(fd, ret, &size) == 0 && ret->type == BPF_LINK_TYPE_CGROUP &&
	    ret->cgroup.cgroup_id == cgroup->id)
		return fd;
	close(fd);
	return -1;
}

static bool update_link(const char *path, const struct bpf_program *program,
			const struct kp_bpf_cgroup *cgroup)
{
	struct bpf_link_info info;
	int r, fd = open_link(path, cgroup, &info);

	if (fd < 0)
		return false;
	r = bpf_link_update(fd, bpf_program__fd(program), NULL);
	close(fd);
	return r == 0;
}

static int pin_link(int fd, const char *path, struct kp_err *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return kp_err_errno(err, errno, "remove %s", path);
	if (bpf_obj_pin(fd, path) < 0)
		return kp_err_errno(err, errno, "pin %s", path);
	return 0;
}

int kp_bpf_link_put(const char *path, const struct bpf_program *program,
		    const struct kp_bpf_cgroup *cgroup, struct kp_err *err)
{
	int r, fd;

	if (update_link(path, program, cgroup))
		return 0;
	fd = bpf_link_create(bpf_program__fd(program), cgroup->fd,
			     bpf_program__expected_attach_type(program), NULL);
	if (fd == -EPERM)
		return kp_err_set(err, EPERM,
				  "attach %s: not permitted; another program may have this cgroup "
				  "for itself (bpftool cgroup tree)",
				  bpf_program__name(program));
	if (fd < 0)
		return kp_err_errno(err, -fd, "attach %s", bpf_program__name(program));
	r = pin_link(fd, path, err);
	close(fd);
	return r < 0 ? r : 1;
}

bool kp_bpf_link_runs(const char *path, const struct bpf_program *program,
		      const struct kp_bpf_cgroup *cgroup)
{
	struct bpf_prog_info mine = {0};
	struct bpf_link_info info;
	__u32 size = sizeof(mine);
	int fd = open_link(path, cgroup, &info);

	if (fd < 0)
		return false;
	close(fd);
	return bpf_obj_get_info_by_fd(bpf_program__fd(program), &mine, &size) == 0 &&
	       info.prog_id == mine.id;
}
