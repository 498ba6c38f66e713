# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian systems in directories of their own, and a Dockerfile carried out in them.

There is no Docker daemon where these tests run.  debootstrap makes what "FROM debian:12" stands for, and RUN
is a chroot with its own mounts and processes.
"""
import glob
import os
import shlex
import shutil
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BASE = os.path.join(ROOT, "build/packages/debian-12.tar")

ENTER = r"""
mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" &&
exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
"""


def make_base():
    """A minimal Debian 12 from the mirror that this machine uses, kept for the next time."""
    directory = BASE + ".d"
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    mirror = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)", "Codename: bookworm"],
                            check=True, capture_output=True, text=True).stdout.split()[0]
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", directory, mirror], check=True,
                   stdout=subprocess.DEVNULL)
    # The way to packages is this machine's.
    os.unlink(directory + "/etc/apt/sources.list")
    for name in glob.glob("/etc/apt/sources.list*") + ["/etc/apt/apt.conf.d"]:
        subprocess.run(["cp", "-aT", name, directory + name], check=True)
    subprocess.run(["tar", "-C", directory, "-cf", BASE + ".new", "."], check=True)
    os.rename(BASE + ".new", BASE)
    shutil.rmtree(directory)


class Root:
    """A directory to chroot into; empty, or a minimal Debian 12."""

    def __init__(self, directory, debian=True):
        self.directory, self.workdir = str(directory), "/"
        os.makedirs(self.directory)
        os.chmod(self.directory, 0o755)
        if debian:
            if not os.path.exists(BASE):
                make_base()
            subprocess.run(["tar", "-C", self.directory, "-xf", BASE], check=True)
            shutil.copy("/etc/resolv.conf", self.path("/etc/resolv.conf"))

    def path(self, name):
        return os.path.join(self.directory, name.lstrip("/"))

    def run(self, *argv, check=True, netns=None):
        """In mount and process namespaces that go away with it."""
        enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        done = subprocess.run([*enter, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh",
                               "-c", ENTER, self.directory, *argv], check=False,
                              capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{argv}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def copy(self, source, target):
        """As COPY: what is in a directory, or a file."""
        target = self.path(target)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.run(["cp", "-aT", source, target], check=True)

    def size(self):
        """Of all files, in bytes."""
        return sum(os.lstat(os.path.join(where, name)).st_size
                   for where, _, names in os.walk(self.directory) for name in names)


def copy_sources(target):
    """What .dockerignore lets through."""
    with open(os.path.join(ROOT, ".dockerignore"), encoding="utf-8") as f:
        ignored = [f"--exclude=./{line.strip()}" for line in f]
    tar = subprocess.run(["tar", "-C", ROOT, *ignored, "-cf", "-", "."], check=True,
                         capture_output=True)
    os.makedirs(target)
    subprocess.run(["tar", "-C", target, "-xf", "-"], check=True, input=tar.stdout)


def instructions(text):
    """(name, rest) of each, continuation lines joined."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        name, _, rest = line.partition(" ")
        yield name, rest


def build_image(dockerfile, directory):
    """Carries a Dockerfile out, as far as ours goes; returns the last stage and its entry point."""
    stages, root, entrypoint = {}, None, None
    with open(dockerfile, encoding="utf-8") as f:
        text = f.read()
    for name, rest in instructions(text):
        words = shlex.split(rest)
        if name == "FROM":
            assert words[0] in ("debian:12", "debian:12-slim", "scratch"), words
            stage = words[2] if words[1:2] == ["AS"] else "image"
            root = Root(os.path.join(directory, stage), debian=words[0] != "scratch")
            stages[stage] = root
        elif name == "COPY" and words[0].startswith("--from="):
            root.copy(stages[words[0][len("--from="):]].path(words[1]), words[2])
        elif name == "COPY":
            assert words[0] == "."
            copy_sources(root.path(words[1]))
        elif name == "WORKDIR":
            root.workdir = words[0]
        elif name == "RUN":
            root.run("sh", "-c", f"cd {root.workdir} && {rest}")
        else:
            assert name == "ENTRYPOINT", name
            entrypoint = [word.strip(",") for word in shlex.split(rest.strip("[]"))]
    return root, entrypoint
