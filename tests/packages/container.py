# SPDX-License-Identifier: GPL-2.0-or-later
"""A node whose kproxy is a container, made of the image and of the DaemonSet's own words by crun.

The seccomp profile is the one that CRI-O and Podman use where a pod asks for RuntimeDefault.
"""
import json
import os
import platform

from confined import HOST_FLAGS
from files import container, pod_spec
from node import Node, run, wait_for

SECCOMP = "/usr/share/containers/seccomp.json"

# What every container gets from its runtime.
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]


def seccomp(capabilities):
    """The profile for a container with these capabilities, in the words of the OCI."""
    with open(SECCOMP, encoding="utf-8") as f:
        profile = json.load(f)
    [arches] = [[a["architecture"], *a["subArchitectures"]] for a in profile["archMap"]
                if a["architecture"].endswith(platform.machine().upper())]

    def applies(rule):
        wanted, unwanted = rule.get("includes", {}), rule.get("excludes", {})
        return set(wanted.get("caps", [])) <= capabilities and \
            not set(unwanted.get("caps", [])) & capabilities and \
            "amd64" in wanted.get("arches", ["amd64"]) and "amd64" not in unwanted.get("arches", [])

    keep = ("names", "action", "args", "errnoRet")
    return {"defaultAction": profile["defaultAction"],
            "defaultErrnoRet": profile.get("defaultErrnoRet", 1), "architectures": arches,
            "syscalls": [{k: rule[k] for k in keep if rule.get(k) is not None}
                         for rule in profile["syscalls"] if applies(rule)]}


class ContainerNode(Node):
    """'seccomp_type' is RuntimeDefault or Unconfined; the DaemonSet's when it is not given."""

    def __init__(self, directory, mode, image, seccomp_type=None):
        super().__init__(os.path.join(directory, "manifests"), mode)
        os.mkdir(self.directory)
        self.bundle, (self.image, self.entrypoint) = directory, image
        self.context = container(mode)["securityContext"]
        self.seccomp_type = seccomp_type or self.context["seccompProfile"]["type"]
        self.name = f"kproxy-{self.id}"
        self.log_path = os.path.join(directory, "log")
        if self.hooks:
            run("mount", "-t", "bpf", "bpf", self.hooks.bpf)

    def host_path(self, path):
        """The test's own place instead of the host's."""
        return {"/sys/fs/cgroup": self.hooks.cgroup, "/sys/fs/bpf": self.hooks.bpf}[path]

    def volumes(self):
        spec = pod_spec(self.mode)
        paths = {v["name"]: v["hostPath"]["path"] for v in spec.get("volumes", [])}
        for mount in container(self.mode).get("volumeMounts", []):
            yield {"destination": mount["mountPath"], "type": "bind",
                   "source": self.host_path(paths[mount["name"]]),
                   "options": ["rbind", "ro" if mount.get("readOnly") else "rw"]}
        yield {"destination": "/manifests", "type": "bind", "source": self.directory,
               "options": ["rbind", "ro"]}

    def flags(self):
        """The manifest's, without the API server and with what it leaves to the cluster's owner."""
        given = [flag for flag in container(self.mode)["args"]
                 if not flag.startswith(("--master=", "--cluster-cidr=", "--hostname-override="))]
        return [*given, *HOST_FLAGS, *self.cluster_cidr, "--manifests=/manifests", "--hostname-override=node1"]

    def config(self):
        context = self.context
        capabilities = [f"CAP_{name}" for name in context["capabilities"]["add"]]
        kinds = ["mount", "ipc", "uts"] + ([] if pod_spec(self.mode).get("hostPID") else ["pid"])
        profile = seccomp(set(capabilities)) if self.seccomp_type == "RuntimeDefault" else None
        return {
            "ociVersion": "1.0.2",
            "root": {"path": self.image.directory, "readonly": context["readOnlyRootFilesystem"]},
            "process": {
                "args": [*self.entrypoint, *self.flags()], "cwd": "/", "user": {"uid": 0, "gid": 0},
                "env": ["PATH=/usr/sbin:/usr/bin"],
                "noNewPrivileges": not context["allowPrivilegeEscalation"],
                "capabilities": {kind: capabilities
                                 for kind in ("bounding", "effective", "permitted")}},
            "mounts": [*MOUNTS, *self.volumes()],
            "linux": {"namespaces": [{"type": kind} for kind in kinds],
                      **({"seccomp": profile} if profile else {}),
                      "readonlyPaths": READONLY, "maskedPaths": MASKED}}

    def crun(self, *argv):
        """In a mount namespace of its own, for crun wants to see the one cgroup2 of a modern host."""
        return ["unshare", "--mount", "sh", "-c", "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"",
                "sh", "crun", "--cgroup-manager=disabled", *argv]

    def start_container(self):
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="utf-8") as f:
            json.dump(self.config(), f)
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.daemon = self.popen(*self.crun("run", f"--bundle={self.bundle}", self.name),
                                     stderr=log, stdout=log)
        wait_for("kproxy is ready", lambda: self.is_ready() or self.daemon.poll() is not None, 60)
        assert self.daemon.poll() is None, self.log()

    def stop_container(self, how="TERM"):
        run(*self.crun("kill", self.name, how))
        return self.daemon.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            self.stop_container("KILL")
        super().close()
