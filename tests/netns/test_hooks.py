# SPDX-License-Identifier: GPL-2.0-or-later
"""What only the socket hooks do.  Each test shows by counters that they did it, or that they did not."""
import contextlib
import json
import os
import signal
import sys
import time

import pytest

from node import KPROXY, Node, endpointslice, node_object, run, service, wait_for
from test_traffic import IP4, IP6, PORTS, TARGETS, web

MODES = ("bpf",)

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


def served(node):
    """The endpoints in the kernel."""
    return {e["address"] for s in node.dump()["services"] for e in s["endpoints"]
            if "." in e["address"]}


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


def test_maps_grow_without_a_gap(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    load = client.load(IP4, 80, n_clients=2)
    n = 3000
    node.write("many.json", *[o for i in range(n) for o in (
        service(f"s{i}", [f"10.97.{i >> 8}.{i & 255}"], [("http", "TCP", 80)]),
        endpointslice(f"s{i}-a", f"s{i}", ["10.180.0.1"], [("http", "TCP", 8080)]))])
    last = f"10.97.{(n - 1) >> 8}.{(n - 1) & 255}"
    wait_for("the last Service", lambda: not client.ask(last, 80).errors, 30)
    for got in load.stop():
        assert got.servers and not got.errors
    with counted(node, connected=2):
        assert client.ask(last, 80, count=2).servers == {"pod1": 2}


def attached(node):
    """Program ids at the test's cgroup."""
    return {p["id"] for p in json.loads(
        run("bpftool", "-j", "cgroup", "show", node.hooks.cgroup).stdout.strip() or "[]")}


def exists(program):
    return run("bpftool", "prog", "show", "id", program, check=False).returncode == 0


def test_restarts_and_cleanup_leave_nothing_behind(node):
    node.pod(1, 8080)
    web(node, [1])
    programs = set()
    for _ in range(int(os.environ.get("CYCLES", "10"))):
        node.once()
        now = attached(node)
        assert len(now) == 8 and not now & programs
        wait_for("the programs before are gone", lambda: not any(map(exists, programs)))
        programs = now
    node.run(*node.argv("--cleanup"))
    wait_for("the programs are gone", lambda: not any(map(exists, programs)))
    assert attached(node) == set() and "kproxy" not in os.listdir(node.hooks.bpf)
    node.run(*node.argv("--cleanup"))


def test_modes_change_under_load(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.once()
    load = client.load(IP4, 80, n_clients=4)
    for _ in range(3):
        node.run(KPROXY, "--mode=nft", "--once", f"--bpf-root={node.hooks.bpf}",
                 "--hostname-override=node1", f"--manifests={node.directory}")
        assert attached(node) == set()
        with counted(node):
            assert client.ask(IP4, 80).servers == {"pod1": 1}
        node.once()
        assert len(attached(node)) == 8
    for got in load.stop():
        assert got.servers and not got.errors


def test_hooks_are_put_back_when_somebody_removed_them(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [])
    node.start()
    run("rm", "-r", os.path.join(node.hooks.bpf, "kproxy"))
    assert client.ask(IP4, 80).errors == {"ConnectionRefusedError": 1}
    web(node, [1])
    wait_for("the change", lambda: client.ask(IP4, 80).servers == {"pod1": 1})
    with counted(node, connected=1):
        assert client.ask(IP4, 80).servers == {"pod1": 1}


def test_kill_and_restart_under_load(node):  # SY-10, SY-11
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1, 2])
    node.start()
    before = node.hooks.counters()["connected"]
    load = client.load(IP4, 80)
    for _ in range(10):
        node.stop(signal.SIGKILL)
        node.start()
    results = load.stop()
    n = sum(sum(got.servers.values()) for got in results)
    assert not any(got.errors for got in results)
    assert node.hooks.counters()["connected"] - before >= n  # nft did none of it


def test_the_root_of_a_cgroup_namespace_is_refused(node):
    web(node, [1])
    if node.run("unshare", "-m", "true", check=False).returncode:
        pytest.skip("needs private mounts, which a chroot has not")
    argv = [a for a in node.argv("--once") if not a.startswith("--cgroup-root")]
    result = node.run("unshare", "-C", "-m", "sh", "-ec", """
umount -a -t cgroup2; mount -t cgroup2 none "$0"; test -e "$0/cgroup.type"
test "$(grep -c ' cgroup2 ' /proc/self/mounts)" = 1
exec "$@" """, node.hooks.cgroup2, *argv, check=False)
    assert result.returncode == 1, result.stderr
    assert "is not the root" in result.stderr and "--cgroup-root=DIR" in result.stderr
    # Without --strict nft serves.
    argv.remove("--strict")
    node.run("unshare", "-C", "-m", "sh", "-ec", """
umount -a -t cgroup2; mount -t cgroup2 none "$0"; test -e "$0/cgroup.type"
test "$(grep -c ' cgroup2 ' /proc/self/mounts)" = 1
exec "$@" """, node.hooks.cgroup2, *argv)
    assert served(node) == {"10.180.0.1"} and attached(node) == set()


def test_dump_shows_both_layers(node):
    web(node, [1, 2])
    node.write("sticky.json", service("sticky", ["10.96.0.20"], [("http", "TCP", 80)],
                                      sessionAffinity="ClientIP"),
               endpointslice("sticky-4", "sticky", ["10.180.0.1"], TARGETS))
    node.once()

    def layers():
        return {(s["name"], f["type"], s["family"], s["protocol"]): (f["layer"], f["reason"])
                for s in node.dump()["services"] for f in s["frontends"]}

    assert node.dump()["mode"] == "bpf"
    found = layers()
    assert found.pop(("sticky", "ClusterIP", "IPv4", "TCP")) == ("nft", "session affinity")
    assert len(found) == 8 and set(found.values()) == {("hooks", "")}
    text = node.run(KPROXY, "dump", *node.dump_argv()).stdout
    assert "ClusterIP 10.96.0.10:80, hooks " in text
    assert "ClusterIP 10.96.0.20:80, nft: session affinity " in text
    # Somebody empties the map of the hooks.
    path = os.path.join(node.hooks.bpf, "kproxy", "services4")
    for element in json.loads(run("bpftool", "-j", "map", "dump", "pinned", path).stdout):
        run("bpftool", "map", "delete", "pinned", path, "key", *element["key"])
    assert {layer for (_, _, family, _), layer in layers().items() if family == "IPv4"} == {
        ("differs", ""), ("nft", "session affinity")}


class Foreign:
    """Programs of somebody else, at the test's cgroup."""

    def __init__(self, node, tmp_path):
        self.node, self.directory = node, os.path.join(node.hooks.bpf, "foreign")
        source = os.path.join(os.path.dirname(__file__), "foreign.bpf.c")
        arch = run("gcc", "-print-multiarch").stdout.strip()
        run("clang", "-O2", "-g", "-target", "bpf", "-idirafter", f"/usr/include/{arch}", "-c", source,
            "-o", tmp_path / "foreign.o")
        if not os.path.ismount(node.hooks.bpf):
            run("mount", "-t", "bpf", "bpffs", node.hooks.bpf)
        run("bpftool", "prog", "loadall", tmp_path / "foreign.o", self.directory)

    def attach(self, name, *flags, cgroup=None):
        run("bpftool", "cgroup", "attach", cgroup or self.node.hooks.cgroup, "cgroup_inet4_connect",
            "pinned", os.path.join(self.directory, name), *flags)


def test_programs_of_others(node, tmp_path):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    foreign = Foreign(node, tmp_path)
    foreign.attach("allow", "multi")  # before ours
    node.start()
    foreign.attach("deny", "multi")  # after ours
    with counted(node, connected=1):
        assert client.ask(IP4, 80).servers == {"pod1": 1}
    with counted(node):
        assert client.ask(IP4, 81).errors == {"PermissionError": 1}
    node.stop()
    node.run(*node.argv("--cleanup"))
    assert len(attached(node)) == 2


def test_a_program_at_a_child_cgroup_sees_the_frontend(node, tmp_path):
    """It runs before ours, so that it can deny a Service; one after ours sees the pod."""
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1], [("http", "TCP", 81)])
    foreign = Foreign(node, tmp_path)
    node.start()
    foreign.attach("deny", "multi")
    assert client.ask(IP4, 81).servers == {"pod1": 1}
    child = os.path.join(node.hooks.cgroup, "child")
    os.mkdir(child)
    foreign.attach("deny", "multi", cgroup=child)
    assert script(client, """
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
s = tcp(sys.argv[2]); out(s.connect_ex((sys.argv[2], 81)))""", child, IP4) == 1  # EPERM
    assert client.ask(IP4, 81).servers == {"pod1": 1}
    os.rmdir(child)


def test_a_cgroup_that_somebody_has_for_himself(node, tmp_path):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    Foreign(node, tmp_path).attach("allow")
    result = node.once(check=False)
    assert result.returncode == 1 and "another program may have this cgroup" in result.stderr
    assert client.ask(IP4, 80).servers == {"pod1": 1}  # nft serves
    assert len(attached(node)) == 1


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


def test_without_the_capability_nft_serves_alone(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    argv = ["setpriv", "--bounding-set=-all,+net_admin", *node.argv("--once")]
    result = node.run(*argv, check=False)
    assert result.returncode == 1 and "CAP_BPF" in result.stderr
    argv.remove("--strict")
    result = node.run(*argv)
    assert "all traffic goes through nft" in result.stderr and "CAP_BPF" in result.stderr
    assert client.ask(IP4, 80).servers == {"pod1": 1}
    assert attached(node) == set()
