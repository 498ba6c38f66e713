# SPDX-License-Identifier: GPL-2.0-or-later
"""Connected UDP sockets do not meet the hooks again; kproxy moves them when their endpoint leaves."""
import json
import signal
import sys

import pytest

from hooks import PRELUDE
from node import endpoint, endpointslice, node_object, service, wait_for
from test_traffic import IP4, IP6, PORTS, TARGETS, web

MODES = ("bpf",)

# Opens connected sockets, and answers each line with what every one of them gets, as a set.
CONNECTED = PRELUDE + r"""
import os, resource
ip, n, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))
def connected(): s = udp(ip); s.connect((ip, 53)); return s
if how == "fork":
    socks = [connected() for _ in range(n)]
    if os.fork(): os._exit(0)
elif how == "pass":
    a, b = socketpair(AF_UNIX, SOCK_DGRAM)
    b.settimeout(5)
    if os.fork() == 0:
        for s in [connected() for _ in range(n)]: send_fds(a, [b"x"], [s.fileno()])
        os._exit(0)
    socks = [socket(fileno=recv_fds(b, 9, 1)[1][0]) for _ in range(n)]
    os.wait()
    for s in socks: s.settimeout(1.5)
else:
    socks = [connected() for _ in range(n)]
ports = [s.getsockname()[1] for s in socks]
print("ready", flush=True)
for _ in sys.stdin:
    got = set()
    for s in socks:
        try: s.send(b"?"); got.add(server(s.recv(99)))
        except OSError as e: got.add(repr(e))
        got.add(s.getpeername()[0])
    got.add(ports == [s.getsockname()[1] for s in socks])
    print(*sorted(map(str, got)), flush=True)
"""


class Connected:
    def __init__(self, host, ip, n=3, how="own"):
        self.process = host.popen(sys.executable, "-c", CONNECTED, ip, n, how, stdin=-1, stdout=-1)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.read()


@pytest.mark.parametrize("how", ["own", "fork", "pass"])
def test_connected_udp_sockets_follow_their_frontend(node, how):  # CT-1
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    for ip, name in ((IP4, IP4), (IP6, IP6), (f"::ffff:{IP4}", f"::ffff:{IP4}")):
        web(node, [1])
        wait_for("pod1", lambda: client.ask(IP4, 53, "udp").servers == {"pod1": 1})
        sockets = Connected(client, ip, how=how)
        want = sorted([name, "True", "pod1"])
        assert sockets.ask() == want
        web(node, [1, 2])  # nobody leaves
        wait_for("pod2", lambda: "pod2" in client.ask(IP4, 53, "udp").servers)
        assert sockets.ask() == want
        web(node, [2])
        wait_for("the move", lambda: sockets.ask() == sorted([name, "True", "pod2"]))
        sockets.close()


def test_ten_thousand_connected_udp_sockets_follow(node):
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    sockets = Connected(client, IP4, 10000)
    web(node, [2])
    wait_for("pod2", lambda: client.ask(IP4, 53, "udp").servers == {"pod2": 1})
    wait_for("the move", lambda: sockets.ask() == sorted([IP4, "True", "pod2"]), 60)
    sockets.close()


def test_a_socket_that_its_program_connects_elsewhere_meanwhile_is_left_alone(node):
    pods = {n: node.pod(n, 8080) for n in (1, 2)}
    client = node.pod(9)
    web(node, [1])
    node.start()
    # kproxy moves them in the order of descriptors: the first one tells that it has begun.
    process = client.popen(sys.executable, "-uc", PRELUDE + f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000))
socks = [udp("{IP4}") for _ in range(5000)]
for s in socks: s.connect(("{IP4}", 53))
print("ready")
def ask(s):  # an answer that comes while the socket is moved is lost
    while True:
        s.settimeout(0.005); s.send(b"?")
        try: return server(s.recv(99))
        except TimeoutError: pass
while ask(socks[0]) == "pod1": pass
socks[-1].connect(("{pods[1].ip4}", 8080))
late = ask(socks[-2])
while ask(socks[-2]) == "pod1": pass
out([late, socks[-1].getpeername()[0], ask(socks[-1])])
""", stdout=-1)
    assert process.stdout.readline() == "ready\n"
    web(node, [2])
    # The first word shows that there was something to wait for.
    assert json.loads(process.stdout.readline()) == ["pod1", pods[1].ip4, "pod1"]


def test_connected_udp_sockets_stay_while_their_endpoint_terminates(node):  # CT-3
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)

    def write(serving, other):
        node.write("web.json", node_object(), service("web", [IP4], PORTS), endpointslice(
            "web-4", "web", [endpoint("10.180.0.1", ready=False, serving=serving, terminating=True),
                             f"10.180.0.{other}"], TARGETS))

    web(node, [1])
    node.start()
    sockets = Connected(client, IP4)
    for other in (2, 3):  # 3: another endpoint leaves, and all sockets are looked at
        write(True, other)
        wait_for("new clients go elsewhere",
                 lambda n=other: client.ask(IP4, 53, "udp").servers == {f"pod{n}": 1})
        assert sockets.ask() == sorted([IP4, "True", "pod1"])
    write(False, 3)
    wait_for("the move", lambda: sockets.ask() == sorted([IP4, "True", "pod3"]))
    sockets.close()


def test_connected_udp_sockets_stay_when_the_last_endpoint_goes(node):  # CT-6
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    sockets = Connected(client, IP4)
    web(node, [])
    wait_for("no endpoint", lambda: client.ask(IP4, 80).errors)
    assert sockets.ask() == sorted([IP4, "True", "pod1"])
    sockets.close()


@pytest.mark.parametrize("gone", ["endpoints", "Service"])
def test_connected_udp_sockets_follow_after_a_time_without_endpoints(node, gone):  # CT-1, CT-11
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    sockets = Connected(client, IP4)
    if gone == "endpoints":
        web(node, [])
    else:
        node.write("web.json", node_object())
    wait_for("no endpoint", lambda: client.ask(IP4, 80).errors)
    web(node, [2])
    wait_for("pod2", lambda: client.ask(IP4, 53, "udp").servers == {"pod2": 1})
    wait_for("the move", lambda: sockets.ask() == sorted([IP4, "True", "pod2"]))
    sockets.close()


def test_a_connected_socket_that_lost_its_endpoint_while_nobody_looked(node):
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    sockets = Connected(client, IP4)
    node.stop(signal.SIGKILL)
    web(node, [2])
    node.start()
    assert sockets.ask() == sorted([IP4, "True", "pod2"])
    sockets.close()
