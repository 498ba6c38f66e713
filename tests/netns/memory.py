# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process uses."""
import os

from node import KPROXY

with open(KPROXY, "rb") as program:
    # Its allocator keeps what was freed, to catch who still uses it.
    SANITIZED = b"__asan_init" in program.read()


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def n_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
