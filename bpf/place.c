/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/place.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int find_cgroup2(char **ret, struct kp_err *err)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *entry;

	if (!mounts)
		return kp_err_errno(err, errno, "open /proc/self/mounts");
	*ret = NULL;
	while (!*ret && (entry = getmntent(mounts)))
		if (strcmp(entry->mnt_type, "cgroup2") == 0)
			*ret = kp_xstrdup(entry->mnt_dir);
	endmntent(mounts);
	if (*ret)
		return 0;
	return kp_err_set(err, ENOENT,
			  "no cgroup2 file system is mounted; mount one and name it with "
			  "--cgroup-root=DIR");
}

/* Only the true root lacks this file; the root of a cgroup namespace has it. */
static bool is_true_root(int fd)
{
	return faccessat(fd, "cgroup.type", F_OK, 0) < 0;
}

int kp_bpf_open_cgroup(const char *path, struct kp_bpf_cgroup *ret, struct kp_err *err)
{
	kp_autofree char *found = NULL;
	struct stat st;
	int fd, r;

	if (!path) {
		r = find_cgroup2(&found, err);
		if (r < 0)
			return r;
	}
	fd = open(path ? path : found, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return kp_err_errno(err, errno, "open cgroup %s", path ? path : found);
	if (!path && !is_true_root(fd)) {
		close(fd);
		return kp_err_set(err, EINVAL,
				  "%s is not the root of the node's cgroups; mount that into the "
				  "container and name it with --cgroup-root=DIR",
				  found);
	}
	/* A cgroup's id is its inode number. */
	if (fstat(fd, &st) < 0) {
		r = kp_err_errno(err, errno, "stat cgroup %s", path ? path : found);
		close(fd);
		return r;
	}
	*ret = (struct kp_bpf_cgroup){.fd = fd, .id = st.st_ino};
	return 0;
}

static int mount_bpffs(const char *root, struct kp_err *err)
{
	struct statfs fs;

	if (statfs(root, &fs) < 0)
		return kp_err_errno(err, errno, "%s", root);
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpffs", root, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return kp_err_errno(err, errno,
				    "%s is no bpf file system, and mounting one there failed",
				    root);
	return 0;
}

int kp_bpf_make_directory(const char *root, struct kp_err *err)
{
	kp_autofree char *path = kp_xasprintf("%s/" KP_BPF_DIRECTORY, root);
	int r = mount_bpffs(root, err);

	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return kp_err_errno(err, errno, "make %s", path);
	return 0;
}

int kp_bpf_pin(int fd, const char *path, struct kp_err *err)
{
	kp_autofree char *new = kp_xasprintf("%s-new", path);

	if (unlink(new) < 0 && errno != ENOENT)
		return kp_err_errno(err, errno, "remove %s", new);
	if (bpf_obj_pin(fd, new) < 0)
		return kp_err_errno(err, errno, "pin %s", new);
	return rename(new, path) < 0 ? kp_err_errno(err, errno, "rename %s", new) : 0;
}

size_t kp_bpf_count_pins(const char *root)
{
	kp_autofree char *path = kp_xasprintf("%s/" KP_BPF_DIRECTORY, root);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) < 0 ? -errno : 0;
}

int kp_bpf_remove_directory(const char *root, struct kp_err *err)
{
	kp_autofree char *path = kp_xasprintf("%s/" KP_BPF_DIRECTORY, root);
	int r;

	if (access(path, F_OK) < 0)
		return 0;
	r = nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return r == 0 ? 0 : kp_err_errno(err, r < -1 ? -r : errno, "remove %s", path);
}
