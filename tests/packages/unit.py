# SPDX-License-Identifier: GPL-2.0-or-later
"""What kproxy.service allows, in the words of the kernel."""
import os
import subprocess

from root import ROOT

# Filters like the unit's, but a system call that it forbids ends the process: nothing fails unseen.
LAUNCHER = r"""
import os, seccomp, socket, sys
families, calls, argv = sys.argv[1].split(), sys.argv[2].split(), sys.argv[3:]
f = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
for call in calls:
    if call != "socket":
        try:
            f.add_rule(seccomp.ALLOW, call)
        except RuntimeError:
            pass  # of another architecture, or newer than the library
for family in families:
    f.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
f.load()
os.execv(argv[0], argv)
"""


def path(mode):
    """The files that make the unit: with --mode=bpf, the drop-in as well."""
    names = ["kproxy.service"] + (["kproxy-bpf.conf"] if mode == "bpf" else [])
    return [os.path.join(ROOT, "deploy", name) for name in names]


def settings(mode, name):
    """The values of a setting, in order."""
    values = []
    for file in path(mode):
        with open(file, encoding="utf-8") as f:
            values += [line.split("=", 1)[1].strip() for line in f if line.startswith(name + "=")]
    return values


def capabilities(mode):
    return [name[len("CAP_"):] for value in settings(mode, "CapabilityBoundingSet")
            for name in value.split()]


def syscall_groups():
    """{"@group": members}, as systemd has them."""
    groups, group = {}, None
    for line in subprocess.run(["systemd-analyze", "syscall-filter"], check=True, text=True,
                               capture_output=True).stdout.splitlines():
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif group is not None and line.strip() and not line.strip().startswith("#"):
            group.append(line.strip())
    return groups


def system_calls(mode):
    groups, allowed = syscall_groups(), set()

    def expand(name):
        return {call for member in groups[name] for call in expand(member)} if name[0] == "@" \
            else {name}

    for value in ["@default", *settings(mode, "SystemCallFilter")]:
        calls = {call for name in value.lstrip("~").split() for call in expand(name)}
        allowed = allowed - calls if value[0] == "~" else allowed | calls
    return sorted(allowed)


def launcher(mode):
    """The command that runs what follows within the unit's filters."""
    [families] = settings(mode, "RestrictAddressFamilies")
    return ["/usr/bin/python3", "-c", LAUNCHER, families, " ".join(system_calls(mode))]
