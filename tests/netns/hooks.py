# SPDX-License-Identifier: GPL-2.0-or-later
"""Socket hooks as tests see them: from inside of a program, by their counters, in the kernel."""
import contextlib
import json
import sys

from node import run

# Runs in a host: what a program sees.  A statement per line would hide the point of each.
PRELUDE = r"""
import json, select, struct, sys
from socket import *
def family_of(ip): return AF_INET6 if ":" in ip else AF_INET
def sock(ip, kind): s = socket(family_of(ip), kind); s.settimeout(1.5); return s
def udp(ip): return sock(ip, SOCK_DGRAM)
def tcp(ip): return sock(ip, SOCK_STREAM)
def server(data): return data.decode().split()[0]
def out(x): print(json.dumps(x))
"""


def script(host, code, *args):
    result = host.run(sys.executable, "-c", PRELUDE + code, *args, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@contextlib.contextmanager
def counted(node, **expected):
    """These counters go up by so much, all others not at all."""
    before = node.hooks.counters()
    yield
    after = node.hooks.counters()
    changes = {k: after[k] - before[k] for k in after if after[k] != before[k]}
    assert changes == expected


def served(node):
    """The endpoints in the kernel."""
    return {e["address"] for s in node.dump()["services"] for e in s["endpoints"]
            if "." in e["address"]}


def attached(node):
    """Program ids at the test's cgroup."""
    return {p["id"] for p in json.loads(
        run("bpftool", "-j", "cgroup", "show", node.hooks.cgroup).stdout.strip() or "[]")}


def exists(program):
    return run("bpftool", "prog", "show", "id", program, check=False).returncode == 0
