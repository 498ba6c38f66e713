# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the socket hooks do.  Each test shows by counters that they did it, or that they did not."""
import contextlib
import json
import os
import sys
import time

import pytest

from hooks import PRELUDE, counted, script, served
from node import KPROXY, Node, endpointslice, node_object, run, service, wait_for
from test_traffic import IP4, IP6, PORTS, TARGETS, web

MODES = ("bpf",)

FRONTENDS = [(IP4, 80, 53), (IP6, 80, 53), (f"::ffff:{IP4}", 80, 53), (Node.IP4, 30080, 30053),
             (Node.IP6, 30080, 30053), (f"::ffff:{Node.IP4}", 30080, 30053)]


@pytest.mark.parametrize("where", ["node", "pod"])
def test_names_are_those_of_the_frontend(node, where):
    node.pod(1, 8080)
    host = node if where == "node" else node.pod(9)
    web(node, [1])
    node.start()
    for ip, tcp_port, udp_port in FRONTENDS:
        with counted(node, connected=1):
            assert script(host, """
s = tcp(sys.argv[1]); s.connect((sys.argv[1], int(sys.argv[2]))); out(server(s.recv(99)))
""", ip, tcp_port) == "pod1"
        with counted(node, connected=1, named=1):
            assert script(host, """
s = udp(sys.argv[1]); s.connect((sys.argv[1], int(sys.argv[2]))); s.send(b"?")
out([server(s.recv(99)), s.getpeername()[:2]]); s.close()
""", ip, udp_port) == ["pod1", [ip, udp_port]]
        with counted(node, sent=2, received=2):
            assert script(host, """
s = udp(sys.argv[1]); got = []
for _ in range(2):
    s.sendto(b"?", (sys.argv[1], int(sys.argv[2]))); data, peer = s.recvfrom(99); got += [server(data), peer[:2]]
out(got)
""", ip, udp_port) == 2 * ["pod1", [ip, udp_port]]


def test_every_way_to_connect(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    for ip in (IP4, IP6):
        for code in (
                "s.setblocking(False); s.connect_ex(a); s.setblocking(True)",
                "s.sendto(b'', MSG_FASTOPEN, a)",
                "s.setsockopt(IPPROTO_TCP, 30, 1); s.connect(a); s.send(b'?')",  # TCP_FASTOPEN_CONNECT
                "s = socket(family_of(a[0]), SOCK_STREAM, 262); s.connect(a)"):  # IPPROTO_MPTCP
            with counted(node, connected=1):
                assert script(client, f"""
a = (sys.argv[1], 80); s = socket(family_of(a[0]), SOCK_STREAM); {code}; out(server(s.recv(99)))""", ip) == "pod1", code


def test_io_uring(node, tmp_path):
    """connect() by the process itself and by a thread of the kernel."""
    program = tmp_path / "io_uring_connect"
    run("gcc", "-D_GNU_SOURCE", "-Wall", "-Werror", "-o", program,
        os.path.join(os.path.dirname(__file__), "io_uring_connect.c"), "-luring")
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    for ip in (IP4, IP6):
        with counted(node, connected=2):
            result = client.run(program, ip, 80, check=False)
            if result.returncode == 4:
                pytest.skip("the kernel has no io_uring, or it is turned off")
            assert [line.split()[0] for line in result.stdout.splitlines()] == 2 * ["pod1"]
    web(node, [])
    wait_for("no endpoint", lambda: client.ask(IP4, 80).errors)
    with counted(node, refused=2):
        assert client.run(program, IP4, 80).stdout.split() == 2 * ["ECONNREFUSED"]


def test_wildcard_and_loopback_in_a_pod_are_the_pod_itself(node):
    node.pod(1, 8080)
    client = node.pod(9, 30080)  # serves the number of a node port
    web(node, [1])
    node.start("--nodeport-addresses=all")
    with counted(node):
        for ip in ("0.0.0.0", "127.0.0.1", "127.1.2.3", "::", "::1"):
            assert client.ask(ip, 30080).servers == {"pod9": 1}, ip


@pytest.mark.parametrize("flag, served", [
    ("primary", {Node.IP4, Node.IP6}),
    ("192.0.2.77/32,fc00::/7", {"192.0.2.77"}),
    ("all", {Node.IP4, Node.IP6, "192.0.2.77", "127.0.0.1", "127.1.2.3", "::1"}),
    ("127.0.0.0/8,::1/128", {"127.0.0.1", "127.1.2.3", "::1"})])
def test_node_port_addresses_from_the_node(node, flag, served):  # NP-1, NP-4, NP-7
    node.pod(1, 8080)
    node.run("ip", "addr", "add", "192.0.2.77/24", "dev", "eth1")
    web(node, [1])
    node.start(f"--nodeport-addresses={flag}")
    for ip in (Node.IP4, Node.IP6, "192.0.2.77", "127.0.0.1", "127.1.2.3", "::1"):
        with counted(node, **({"connected": 1} if ip in served else {})):
            assert bool(node.ask(ip, 30080).servers) == (ip in served), ip


def test_node_port_addresses_come_and_go(node):
    """An address that moves to another node, as that of keepalived does, is not served here any more."""
    node.pod(1, 8080)
    web(node, [1])
    node.outside.serve("other", 30080)
    node.start("--nodeport-addresses=192.0.2.0/24,2001:db8::/64")

    def hooked():
        before = node.hooks.counters()["connected"]
        assert node.ask("192.0.2.77", 30080).servers == {"pod1": 1}  # nft serves it at once
        return node.hooks.counters()["connected"] > before

    node.run("ip", "addr", "add", "192.0.2.77/32", "dev", "eth1")
    wait_for("the hooks know the address", hooked)
    node.run("ip", "addr", "del", "192.0.2.77/32", "dev", "eth1")
    node.outside.run("ip", "addr", "add", "192.0.2.77/32", "dev", "eth0")
    wait_for("it is somebody else's",
             lambda: node.ask("192.0.2.77", 30080).servers == {"other": 1})


def test_a_node_port_of_another_node_is_left_alone(node):  # DP-12
    node.pod(1, 8080)
    web(node, [1])
    node.outside.serve("other", 30080)
    node.start()
    with counted(node):
        assert node.ask(Node.OUTSIDE4, 30080).servers == {"other": 1}


def test_a_socket_bound_to_loopback_is_left_to_nft(node):
    node.pod(1, 8080)
    web(node, [1])
    node.start()
    code = """
s = tcp(sys.argv[1]); s.bind((sys.argv[2], 0)); out(s.connect_ex((sys.argv[1], 80)))"""
    with counted(node, bound=2):
        hooked = [script(node, code, IP4, "127.0.0.1"), script(node, code, IP6, "::1")]
    node.stop()
    node.run(*node.argv("--cleanup"))
    node.run(KPROXY, "--mode=nft", "--bpf-root=/nonexistent", "--once",
             f"--manifests={node.directory}")
    assert hooked == [script(node, code, IP4, "127.0.0.1"), script(node, code, IP6, "::1")]


def web_on_other_node(node, numbers, remote, **spec):
    """The endpoints of 'remote' are said to be on another node."""
    slices = endpointslice("web-4", "web", [f"10.180.0.{n}" for n in numbers], TARGETS)
    for e in slices["endpoints"]:
        if int(e["addresses"][0].split(".")[-1]) in remote:
            e["nodeName"] = "node2"
    node.write("web.json", node_object(), service("web", [IP4], PORTS, **spec), slices)


def test_external_policy_local_without_local_endpoint(node):  # DP-6, DP-7
    node.pod(1, 8080)
    client = node.pod(9)
    web_on_other_node(node, [1], {1}, type="NodePort", externalTrafficPolicy="Local")
    node.start()
    for host in (client, node):
        with counted(node, connected=1):
            assert host.ask(Node.IP4, 30080).servers == {"pod1": 1}
    assert node.outside.ask(Node.IP4, 30080).errors == {"TimeoutError": 1}


def test_internal_policy_local(node):  # DP-2, DP-3
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web_on_other_node(node, [1, 2], {2}, internalTrafficPolicy="Local")
    node.start()
    with counted(node, connected=20):
        assert client.ask(IP4, 80, count=20).servers == {"pod1": 20}
    web_on_other_node(node, [1, 2], {1, 2}, internalTrafficPolicy="Local")
    wait_for("no endpoint here", lambda: client.ask(IP4, 80).errors == {"TimeoutError": 1})


def test_affinity_and_source_ranges_are_left_to_nft(node):  # SA-1, FW-1
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    slices = endpointslice("web-4", "web", [f"10.180.0.{n}" for n in (1, 2, 3)], TARGETS)
    node.write("web.json", node_object(), slices,
               service("web", [IP4], PORTS, sessionAffinity="ClientIP"))
    vip = service("vip", ["10.96.0.11"], PORTS[:1], type="LoadBalancer",
                  loadBalancerSourceRanges=["198.18.0.0/15"])
    vip["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    slices = endpointslice("vip-4", "vip", ["10.180.0.1"], TARGETS)
    node.write("vip.json", vip, slices)
    node.start()
    with counted(node):
        got = client.ask(IP4, 80, count=20)
        assert len(got.servers) == 1 and not got.errors
        assert client.ask("203.0.113.1", 80).errors == {"TimeoutError": 1}
    with counted(node, connected=1):
        assert client.ask("10.96.0.11", 80).servers == {"pod1": 1}


def test_no_endpoint_is_refused_by_the_hook(node):  # DP-4
    client = node.pod(9)
    web(node, [])
    node.start()
    for ip, port in ((IP4, 80), (IP6, 80), (Node.IP4, 30080)):
        with counted(node, refused=2):
            assert client.ask(ip, port).errors == {"ConnectionRefusedError": 1}
            assert script(client, """
s = tcp(sys.argv[1]); s.setblocking(False); out(s.connect_ex((sys.argv[1], int(sys.argv[2]))))
""", ip, port) == 111
    with counted(node):
        assert client.ask(IP4, 53, "udp").errors == {"ConnectionRefusedError": 1}


def test_a_socket_that_goes_straight_to_the_pod_is_told_so(node):
    pod, client = node.pod(1, 8080), node.pod(9)
    web(node, [1])
    node.start()
    for ip, direct in ((IP4, pod.ip4), (IP6, pod.ip6)):
        assert script(client, """
s = udp(sys.argv[1]); names = []
for a in ((sys.argv[1], 53), (sys.argv[2], 8080), (sys.argv[1], 53), None, (sys.argv[2], 8080)):
    if a is None:
        import ctypes
        ctypes.CDLL(None).connect(s.fileno(), struct.pack("=H30x", AF_UNSPEC), 32)
        continue
    s.connect(a); s.send(b"?"); names += [s.recvfrom(99)[1][:2], s.getpeername()[:2]]
out(names)
""", ip, direct) == 2 * [[ip, 53]] + 2 * [[direct, 8080]] + 2 * [[ip, 53]] + 2 * [[direct, 8080]]


def test_an_unconnected_socket_stays_with_its_endpoint_while_it_is_there(node):
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1, 2, 3])
    node.start()
    process = client.popen(sys.executable, "-uc", PRELUDE + f"""
s = udp("{IP4}")
for _ in sys.stdin:
    s.sendto(b"?", ("{IP4}", 53)); data, peer = s.recvfrom(99); print(server(data), peer[0])
""", stdin=-1, stdout=-1)

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().split()

    first, name = ask()
    assert name == IP4
    kept = int(first[3:])
    for numbers in ([1, 2, 3], [kept], [kept, kept % 3 + 1], [1, 2, 3]):
        web(node, numbers)
        wait_for("the change", lambda n=numbers: served(node) == {f"10.180.0.{i}" for i in n})
        assert {tuple(ask()) for _ in range(5)} == {(first, IP4)}
    others = sorted({1, 2, 3} - {kept})
    web(node, others)
    wait_for("the endpoint leaves", lambda: served(node) == {f"10.180.0.{i}" for i in others})
    assert len({tuple(ask()) for _ in range(5)} & {(f"pod{i}", IP4) for i in others}) == 1
    process.kill()
    process.stdin.close()


def test_unconnected_sockets_stay_while_other_endpoints_leave(node):
    """The endpoint in the last slot moves into the one that becomes free."""
    numbers = [1, 2, 3, 4, 5]
    for n in numbers:
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, numbers)
    node.start()
    process = client.popen(sys.executable, "-uc", PRELUDE + f"""
socks = [udp(ip) for ip in ("{IP4}", "{IP6}") for _ in range(40)]
def ask(s):
    s.sendto(b"?", ("{IP4}" if s.family == AF_INET else "{IP6}", 53))
    return server(s.recv(99))
for _ in sys.stdin:
    out([ask(s) for s in socks])
""", stdin=-1, stdout=-1)

    def ask():
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    before = ask()
    assert set(before) == {f"pod{n}" for n in numbers}
    while len(numbers) > 2:
        numbers = numbers[1:]
        web(node, numbers)
        wait_for("an endpoint leaves", lambda: served(node) == {f"10.180.0.{n}" for n in numbers})
        after = ask()
        kept = {f"pod{n}" for n in numbers}
        assert [(a, b) for a, b in zip(before, after) if a in kept and a != b] == []
        before = after
    process.kill()
    process.stdin.close()


def test_one_socket_and_two_services_of_one_endpoint(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.write("two.json", service("two", ["10.96.0.20"], [("dns", "UDP", 53)]),
               endpointslice("two-4", "two", ["10.180.0.1"], [("dns", "UDP", 8080)]))
    node.start()
    # Which of the two a datagram comes from cannot be known; each socket on its own is right.
    assert script(client, """
got = []
for ip in ("10.96.0.10", "10.96.0.20", "10.96.0.10"):
    s = udp(ip); s.sendto(b"?", (ip, 53)); got.append(s.recvfrom(99)[1][0])
one = udp("10.96.0.10")
for ip in ("10.96.0.10", "10.96.0.20"):
    one.sendto(b"?", (ip, 53)); got.append(server(one.recvfrom(99)[0]))
out(got)
""") == ["10.96.0.10", "10.96.0.20", "10.96.0.10", "pod1", "pod1"]


def test_scope_node_leaves_pods_to_nft(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    for flag in ("--bpf-scope=node", "--masquerade-all"):
        node.start(flag)
        with counted(node):
            assert client.ask(IP4, 80).servers == {"pod1": 1}
        with counted(node, connected=1):
            assert node.ask(IP4, 80).servers == {"pod1": 1}
        node.stop()


def test_udp_off_leaves_udp_to_nft(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start("--bpf-udp=off")
    assert [p for p in node.hooks.pins() if p.startswith("link-")] == ["link-connect4",
                                                                       "link-connect6"]
    with counted(node):
        assert client.ask(IP4, 53, "udp").servers == {"pod1": 1}
    with counted(node, connected=1):
        assert client.ask(IP4, 80).servers == {"pod1": 1}


SECONDS = float(os.environ.get("CHURN_SECONDS", "4"))


def test_services_that_come_and_go_are_never_mixed_up(node):
    """Two Services change places all the time; a third one stays.  Each has an endpoint of its own."""
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    ips = ["10.96.0.21", "10.96.0.22"]

    def write(name, ip, n):
        node.write(f"{name}.json", service(name, [ip], [("http", "TCP", 80)]),
                   endpointslice(f"{name}-4", name, [f"10.180.0.{n}"], [("http", "TCP", 8080)]))

    write("stays", IP4, 3)
    node.start()
    load = client.load(IP4, 80, n_clients=2)
    others = [client.load(ip, 80, n_clients=1) for ip in ips]
    end, i = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        n = i % 2
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(node.directory, f"s{n}.json"))
        write(f"s{n}", ips[n], n + 1)
        i += 1
    for got in load.stop():
        assert set(got.servers) == {"pod3"} and not got.errors
    for n, other in enumerate(others):
        for got in other.stop():  # refused while the Service is away
            assert set(got.servers) == {f"pod{n + 1}"}
