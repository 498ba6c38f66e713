# SPDX-License-Identifier: GPL-2.0-or-later
"""A node whose kproxy has no more privileges than what is delivered gives it."""
import os

import pytest
from node import Node, run, wait_for


def setpriv(capabilities):
    """Runs what follows as root with these capabilities ("CAP_" left out) and no way to more."""
    kept = "".join(f",+{name.lower()}" for name in capabilities)
    return ["setpriv", f"--bounding-set=-all{kept}", "--inh-caps=-all", "--no-new-privs"]


# A network namespace has no say in the limits of the host.
HOST_FLAGS = ["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
              "--conntrack-tcp-timeout-close-wait=0"]


class ConfinedNode(Node):
    """'prefix' is the command that takes the privileges away."""

    def __init__(self, directory, mode, prefix, flags=()):
        if os.geteuid() != 0:
            pytest.skip("needs root")
        super().__init__(str(directory), mode)
        self.prefix, self.flags = prefix, [*flags, *HOST_FLAGS]
        self.log_path = os.path.join(self.directory, "log")
        if self.hooks:
            # As on a host; mounting it would take CAP_SYS_ADMIN.
            run("mount", "-t", "bpf", "bpf", self.hooks.bpf)

    def argv(self, *extra):
        """Flags that are given, and for the test's own world those that must be different."""
        own = [a for a in super().argv(*extra) if a != "--strict"]
        names = {flag.split("=")[0] for flag in own}
        return [*self.prefix, own[0], *(f for f in self.flags if f.split("=")[0] not in names),
                *own[1:]]

    def start(self, *extra, **kwargs):
        with open(self.log_path, "a", encoding="utf-8") as log:
            super().start(*extra, stderr=log, **kwargs)

    def start_badly(self):
        """Without waiting until it is ready, which it may never be."""
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.daemon = self.popen(*self.argv(), stderr=log)

    def complaints(self):
        with open(self.log_path, encoding="utf-8") as f:
            return [line for line in f if "level=warn" in line or "level=error" in line]

    def wait_for_complaint(self, text):
        wait_for(f"a warning or error with {text}",
                 lambda: any(text in line for line in self.complaints()), 60)
