# SPDX-License-Identifier: GPL-2.0-or-later
"""A node whose Debian system is booted: systemd as the first process, in namespaces of its own.

Its network is the node's.  Its cgroups are those below the node's cgroup, so that hooks which are attached to
the root that it sees reach the test's processes and no others.
"""
import os
import shlex

from node import Hooks, Node, run, wait_for

# The system must not reach the machine's own files and settings, which systemd would clean up and change: it
# starts only when the machine's root is out of sight, and finds /proc/sys and /sys read-only.
BOOT = r"""
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -o remount,bind,ro sys
for d in run tmp dev; do mount -t tmpfs tmpfs $d; done
for n in null zero full random urandom tty; do touch dev/$n; mount --bind /dev/$n dev/$n; done
mkdir dev/pts dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p .old
pivot_root . .old
umount -l .old
cd /
[ -f /kproxy.deb ] # of the test's own system
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
"""


class BootedNode(Node):
    """'root' has systemd and the package; the manifests are in its /manifests."""

    def __init__(self, root, mode):
        super().__init__(root.path("/manifests"))
        os.makedirs(self.directory, exist_ok=True)
        self.root, self.kind = root, mode
        # Also in mode nft: it is where systemd's cgroups are, and its close() waits for their end.
        self.hooks = Hooks(f"kp-{self.id}")
        self.system = None

    def boot(self):
        self.system = self.popen("unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork",
                                 "--kill-child", "sh", "-c", BOOT, "sh", self.root.directory)
        wait_for("systemd has started",
                 lambda: self.inside("systemctl is-system-running", check=False).stdout.strip()
                 in ("running", "degraded"), 60)

    def inside(self, script, check=True):
        """In the booted system."""
        children = run("pgrep", "-P", self.system.pid, check=False).stdout.split()
        return run("nsenter", f"--target={children[0] if children else 'none'}", "--all", "sh", "-c",
                   script, check=check)

    def configure(self, *flags):
        """Writes the flags of the unit; the drop-in comes with mode bpf."""
        self.inside("mkdir -p /etc/kproxy && touch /etc/kproxy/kubeconfig; echo "
                    + shlex.quote(f'KPROXY_FLAGS="{" ".join(flags)}"') + " >/etc/default/kproxy")
        if self.kind == "bpf":
            self.inside("mkdir -p /etc/systemd/system/kproxy.service.d; systemctl daemon-reload; "
                        "cp /usr/share/doc/kproxy/examples/kproxy-bpf.conf "
                        "/etc/systemd/system/kproxy.service.d/bpf.conf; systemctl daemon-reload")

    def property(self, name):
        return self.inside(f"systemctl show --property={name} --value kproxy").stdout.strip()

    def journal(self):
        return self.inside("journalctl --no-pager --output=cat --unit=kproxy").stdout

    def close(self):
        if self.system:
            self.system.kill()
            self.system.wait()
        wait_for("systemd's cgroups are gone", self.remove_cgroups, 60)
        super().close()

    def remove_cgroups(self):
        for where, names, _ in os.walk(self.hooks.cgroup, topdown=False):
            for name in names:
                try:
                    os.rmdir(os.path.join(where, name))
                except OSError:
                    return False
        return True
