# SPDX-License-Identifier: GPL-2.0-or-later
"""The privileges in the manifests are enough, and each of them is needed."""
import subprocess
import sys
from contextlib import closing

import pytest
from confined import ConfinedNode, setpriv
from files import container
from node import wait_for
from test_traffic import IP4, web

# Asks its connected socket again for each line that it reads.
CLIENT = r"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((sys.argv[1], 53))
for _ in sys.stdin:
    try:
        s.send(b"?")
        print(s.recv(99).decode().split()[0], flush=True)
    except OSError as e:
        print(type(e).__name__, flush=True)
"""


def capabilities(mode):
    return container(mode)["securityContext"]["capabilities"]["add"]


def flags(mode):
    """Without those that lead to an API server; the test has manifests."""
    return [a for a in container(mode)["args"]
            if not a.startswith(("--master=", "--hostname-override="))]


def make_node(tmp_path, mode, allowed):
    return ConfinedNode(tmp_path, mode, setpriv(allowed), flags(mode))


class ConnectedClient:
    """Of another user than kproxy, as in most pods."""

    def __init__(self, host):
        self.process = host.popen("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                  sys.executable, "-c", CLIENT, IP4,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["nft", "bpf"])
def test_capabilities_of_the_manifest_are_enough(tmp_path, mode):
    with closing(make_node(tmp_path, mode, capabilities(mode))) as node:
        for pod in (1, 2):
            node.pod(pod, 8080, 8053)
        web(node, [1])
        node.start()
        assert node.ask(IP4, 80).servers == {"pod1": 1}
        client = ConnectedClient(node)
        assert client.ask() == "pod1"
        web(node, [2])
        wait_for("the connected socket is moved", lambda: client.ask() == "pod2")
        assert node.stop() == 0
        assert node.complaints() == []
        node.run(*node.argv("--cleanup"))


@pytest.mark.parametrize("mode,missing", [(mode, name) for mode in ("nft", "bpf")
                                          for name in capabilities(mode)])
def test_a_capability_that_is_missing_is_named(tmp_path, mode, missing):
    allowed = [name for name in capabilities(mode) if name != missing]
    with closing(make_node(tmp_path, mode, allowed)) as node:
        web(node, [1])
        node.start_badly()
        node.wait_for_complaint(f"CAP_{missing}")
