# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP clients that never change their port always reach a live endpoint (docs/conntrack.md).

The old pods go on answering, so that only a deleted entry brings a client to another one.
"""
import json
import os
import signal
import subprocess
import sys

import pytest
from conntrack_table import fill_table
from node import Node, endpointslice, node_object, service, wait_for

IP4, IP6 = "10.96.0.10", "fd00:10:96::10"
OTHER4, OTHER6, THIRD4, THIRD6 = "10.96.0.20", "fd00:10:96::20", "10.96.0.30", "fd00:10:96::30"
NODE_PORT = 30053

# Sends a datagram for each line that it reads and prints who answered.
CLIENT = r"""
import socket, sys
address, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                  socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.settimeout(0.3)
s.connect((address, port))
for line in sys.stdin:
    try:
        s.send(b"?")
        answer = s.recv(200).decode().split()[0]
    except TimeoutError:
        answer = "nobody"
    except (ConnectionRefusedError, PermissionError):
        answer = "refused"
    print(answer, flush=True)
"""

TALKER = r"""
import socket, sys, threading
s = socket.create_server(("::", 8081), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
def talk(conn):
    while conn.recv(200):
        conn.send(sys.argv[1].encode())
while True:
    threading.Thread(target=talk, args=(s.accept()[0],), daemon=True).start()
"""

# Connects, and prints who answered.
DIALER = r"""
import socket, sys
s = socket.create_connection((sys.argv[1], 53), timeout=30)
s.send(b"?")
print(s.recv(200).decode(), flush=True)
"""

# Many clients, each on a port of its own.  For each line that it reads it prints, of all answers since
# the line before, whose they were; and how long the last client waited for one of 'wanted'.
CROWD = r"""
import json, select, socket, sys, threading, time
address, port, count, interval = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
epoll, clients = select.epoll(), {}
for _ in range(count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setblocking(False)
    s.connect((address, port))
    clients[s.fileno()] = s
    epoll.register(s, select.EPOLLIN)
def send():
    while True:
        start = time.monotonic()
        for i, s in enumerate(clients.values()):
            try:
                s.send(b"?")
            except OSError:
                pass
            if i % 50 == 0:  # at a fixed rate, not in one burst
                time.sleep(max(0, start + interval * i / count - time.monotonic()))
threading.Thread(target=send, daemon=True).start()
answered = {}
def receive():
    while True:
        for fd, _ in epoll.poll():
            try:
                server = clients[fd].recv(200).decode().split()[0]
            except OSError:
                continue
            answered.setdefault(server, {}).setdefault(fd, time.monotonic())
threading.Thread(target=receive, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    wanted, start = json.loads(line), time.monotonic()
    answered.clear()
    def first(fd):
        return min((answered.get(w, {}).get(fd, float("inf")) for w in wanted))
    while time.monotonic() < start + 10 and any(first(fd) == float("inf") for fd in clients):
        time.sleep(0.005)
    print(json.dumps(max(first(fd) for fd in clients) - start), flush=True)
"""


class Flow:
    """A client that keeps its socket."""

    def __init__(self, host, address, port, kind="udp"):
        self.process = host.popen(sys.executable, "-c", CLIENT, address, port, kind,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.name = f"{host.ns} to {address}:{port}"

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def wait_for(self, answer):
        wait_for(f"{self.name}: {answer}", lambda: self.ask() == answer)


def dns(node, numbers, node_port=NODE_PORT, ips=(IP4, IP6)):
    node.write("dns.json", *dual("dns", ips, numbers, [("dns", "UDP", 53, node_port),
                                                      ("talk", "TCP", 53)]))


def dual(name, ips, numbers, ports):
    targets = [("dns", "UDP", 8080), ("talk", "TCP", 8081)]
    return (service(name, list(ips), ports),
            endpointslice(f"{name}-4", name, [f"10.180.0.{n}" for n in numbers], targets),
            endpointslice(f"{name}-6", name, [f"fd00:10:180::{n:x}" for n in numbers], targets,
                          "IPv6"))


@pytest.fixture
def cluster(node):
    """A node with two server pods and a client pod, and a Service 'other' with the first pod."""
    node.pods = [node.pod(n, 8080) for n in (1, 2)]
    node.client = node.pod(9)
    node.write("node.json", node_object(),
               *dual("other", (OTHER4, OTHER6), [1], [("dns", "UDP", 53, NODE_PORT + 10)]))
    return node


def every_flow(node, node_port=NODE_PORT):
    """From a pod, from the node and from outside, to the cluster IP and to the node port."""
    flows = [Flow(host, ip, 53) for host in (node.client, node, node.outside)
             for ip in (IP4, IP6)]
    return flows + [Flow(host, ip, node_port) for host in (node.client, node, node.outside)
                    for ip in (Node.IP4, Node.IP6)]


def assert_all(flows, answer):
    for flow in flows:
        assert flow.ask() == answer, flow.name


def entries(node, flows):
    """The identities of the entries of flows, by the ports that their clients have."""
    ids = set()
    for family in ("ipv4", "ipv6"):
        listing = node.run("conntrack", "-L", "-p", "udp", "-f", family, "-o", "id").stdout
        ids |= {line for line in listing.splitlines()
                if any(f"sport={port(flow)} " in line for flow in flows)}
    return {line.split("id=")[1] for line in ids}


def port(flow):
    inode = {os.readlink(f"/proc/{flow.process.pid}/fd/{fd}")
             for fd in os.listdir(f"/proc/{flow.process.pid}/fd")
             if fd not in "012"}
    for kind in ("udp", "udp6"):
        with open(f"/proc/{flow.process.pid}/net/{kind}", encoding="ascii") as table:
            for line in list(table)[1:]:
                fields = line.split()
                if f"socket:[{fields[9]}]" in inode:
                    return int(fields[1].split(":")[1], 16)
    raise AssertionError(flow.name)


def test_endpoint_is_replaced(cluster):  # CT-4, CT-11
    dns(cluster, [1])
    cluster.start()
    flows = every_flow(cluster)
    assert_all(flows, "pod1")
    dns(cluster, [2])
    for flow in flows:
        flow.wait_for("pod2")


# Takes our rules away, and has the kernel track connections none the less.
FIREWALL = """flush ruleset
table inet firewall { chain first { type filter hook prerouting priority filter; ct state invalid drop; }; }
"""


def test_clients_that_sent_while_the_rules_were_away(cluster):  # CT-5
    dns(cluster, [1])
    cluster.start()
    os.kill(cluster.daemon.pid, signal.SIGSTOP)
    cluster.run("nft", "-f", "-", input=FIREWALL)
    flows = every_flow(cluster)
    for flow in flows:
        assert flow.ask() != "pod1"
    os.kill(cluster.daemon.pid, signal.SIGCONT)
    for flow in flows:
        flow.wait_for("pod1")


def test_connections_that_began_while_the_rules_were_away(cluster):  # CT-7
    """The kernel remembers not to translate them; the next SYN is."""
    talker = cluster.pods[0].popen(sys.executable, "-c", TALKER, "pod1", stdout=subprocess.PIPE)
    assert talker.stdout.readline() == "ready\n"
    dns(cluster, [1])
    cluster.start()
    os.kill(cluster.daemon.pid, signal.SIGSTOP)
    cluster.run("nft", "-f", "-", input=FIREWALL)
    dialers = [host.popen(sys.executable, "-c", DIALER, ip, stdout=subprocess.PIPE)
               for host in (cluster.client, cluster.outside) for ip in (IP4, IP6)]
    wait_for("their entries", lambda: sum(
        cluster.run("conntrack", "-L", "-p", "tcp", "-f", family).stdout.count("[UNREPLIED]")
        for family in ("ipv4", "ipv6")) == len(dialers))
    os.kill(cluster.daemon.pid, signal.SIGCONT)
    assert [dialer.stdout.readline() for dialer in dialers] == ["pod1\n"] * len(dialers)


def test_others_keep_their_entries(cluster):  # CT-3, CT-7
    dns(cluster, [1])
    cluster.write("third.json", *dual("third", (THIRD4, THIRD6), [2], [("dns", "UDP", 53)]))
    cluster.start()
    moving = every_flow(cluster)
    others = [Flow(cluster.client, OTHER4, 53), Flow(cluster.client, OTHER6, 53),
              Flow(cluster.outside, Node.IP4, NODE_PORT + 10),
              Flow(cluster.outside, Node.IP6, NODE_PORT + 10),
              # Straight to the pod, without any Service.
              Flow(cluster.client, "10.180.0.1", 8080), Flow(cluster, "fd00:10:180::1", 8080)]
    # Same ports, no address in common.
    third = [Flow(cluster.client, THIRD4, 53), Flow(cluster.client, THIRD6, 53)]
    assert_all(moving + others, "pod1")
    assert_all(third, "pod2")
    before = entries(cluster, others + third)
    assert len(before) == len(others + third)
    dns(cluster, [2])
    for flow in moving:
        flow.wait_for("pod2")
    assert entries(cluster, others + third) == before
    assert_all(others, "pod1")


def test_endpoint_that_terminates_keeps_its_clients(cluster):  # CT-3
    ports = [("dns", "UDP", 53)]
    slice_ = endpointslice("quic-4", "quic", ["10.180.0.1", "10.180.0.2"], [("dns", "UDP", 8080)])
    first = slice_["endpoints"][0]
    second = slice_["endpoints"].pop()
    cluster.write("quic.json", service("quic", [THIRD4], ports), slice_)
    cluster.start()
    flow = Flow(cluster.client, THIRD4, 53)
    assert flow.ask() == "pod1"
    first["conditions"] = {"ready": False, "serving": True, "terminating": True}
    slice_["endpoints"].append(second)
    cluster.write("quic.json", service("quic", [THIRD4], ports), slice_)
    wait_for("new clients go elsewhere", lambda: set(
        cluster.client.ask(THIRD4, 53, "udp", 10).servers) == {"pod2"})
    assert flow.ask() == "pod1"
    first["conditions"]["serving"] = False
    cluster.write("quic.json", service("quic", [THIRD4], ports), slice_)
    flow.wait_for("pod2")


def test_tcp_connections_go_on(cluster):  # CT-7, FE-2
    talker = cluster.pods[0].popen(sys.executable, "-c", TALKER, "pod1", stdout=subprocess.PIPE)
    assert talker.stdout.readline() == "ready\n"
    dns(cluster, [1])
    cluster.start()
    udp = Flow(cluster.client, IP4, 53)
    tcp = [Flow(cluster.client, IP4, 53, "tcp"), Flow(cluster.outside, IP6, 53, "tcp")]
    assert_all([udp] + tcp, "pod1")
    dns(cluster, [2])
    udp.wait_for("pod2")
    assert_all(tcp, "pod1")


def test_last_endpoint_goes_and_another_one_comes(cluster):  # CT-13, CT-5
    dns(cluster, [1])
    cluster.start()
    flows = every_flow(cluster)
    assert_all(flows, "pod1")
    dns(cluster, [])
    for flow in flows:
        flow.wait_for("refused")
    dns(cluster, [2])
    for flow in flows:
        flow.wait_for("pod2")


def test_service_goes_and_comes(cluster):  # CT-13, CT-5
    dns(cluster, [1])
    cluster.start()
    flows = every_flow(cluster)
    assert_all(flows, "pod1")
    os.unlink(os.path.join(cluster.directory, "dns.json"))
    for flow in flows:
        wait_for(f"{flow.name}: no pod", lambda: flow.ask() in ("nobody", "refused"))
    # The clients' packets have gone untranslated and made entries that say so.
    dns(cluster, [2])
    for flow in flows:
        flow.wait_for("pod2")


def test_clients_were_there_before_the_service(cluster):  # CT-5, CT-11
    cluster.start()
    flows = every_flow(cluster)
    for flow in flows:
        assert flow.ask() in ("nobody", "refused")
    dns(cluster, [1])
    for flow in flows:
        flow.wait_for("pod1")


def test_node_port_and_cluster_ip_move(cluster):  # CT-13
    dns(cluster, [1])
    cluster.start()
    old = every_flow(cluster)
    new = [Flow(cluster.outside, ip, NODE_PORT + 1) for ip in (Node.IP4, Node.IP6)] + \
        [Flow(cluster.client, ip, 53) for ip in ("10.96.0.11", "fd00:10:96::11")]
    assert_all(old, "pod1")
    for flow in new:
        assert flow.ask() in ("nobody", "refused")
    dns(cluster, [1], NODE_PORT + 1, ("10.96.0.11", "fd00:10:96::11"))
    for flow in new:
        flow.wait_for("pod1")
    for flow in old:
        wait_for(f"{flow.name}: no pod", lambda: flow.ask() in ("nobody", "refused"))


def test_endpoint_goes_while_kproxy_is_down(cluster):
    dns(cluster, [1])
    cluster.start()
    flows = every_flow(cluster)
    assert_all(flows, "pod1")
    cluster.stop()
    dns(cluster, [2])
    assert_all(flows, "pod1")
    cluster.once()  # ends when all is deleted
    assert_all(flows, "pod2")


def test_many_services_change_at_once(cluster):
    def services(numbers):
        cluster.write("many.json", *[o for i in range(60) for o in (
            service(f"s{i}", [f"10.96.1.{i}"], [("dns", "UDP", 1000 + i)]),
            endpointslice(f"s{i}-4", f"s{i}", [f"10.180.0.{n}" for n in numbers],
                          [("dns", "UDP", 8080)]))])
    services([1])
    cluster.start()
    flows = [Flow(cluster.client, f"10.96.1.{i}", 1000 + i) for i in range(0, 60, 4)]
    assert_all(flows, "pod1")
    services([2])
    for flow in flows:
        flow.wait_for("pod2")


def old_kernel(tmp_path, kind):
    shim = tmp_path / "shim.so"
    source = os.path.join(os.path.dirname(__file__), "old_ctnetlink.c")
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", shim, source], check=True)
    # A program with AddressSanitizer insists on being loaded first.
    return {**os.environ, "LD_PRELOAD": str(shim), "KP_CTNETLINK": kind,
            "ASAN_OPTIONS": "verify_asan_link_order=0"}


def test_kernel_that_cannot_filter(cluster, tmp_path_factory):  # CT-12
    dns(cluster, [1])
    cluster.start(env=old_kernel(tmp_path_factory.mktemp("old"), "unfiltered"))
    flows, others = every_flow(cluster), [Flow(cluster.client, OTHER4, 53),
                                          Flow(cluster.client, "10.180.0.1", 8080)]
    assert_all(flows + others, "pod1")
    before = entries(cluster, others)
    dns(cluster, [2])
    for flow in flows:
        flow.wait_for("pod2")
    assert entries(cluster, others) == before


def test_kernel_without_ctnetlink(cluster, tmp_path_factory):  # CT-8
    directory = tmp_path_factory.mktemp("old")
    dns(cluster, [1])
    with open(directory / "log", "w", encoding="ascii") as log:
        cluster.start(env=old_kernel(directory, "none"), stderr=log)
    for number in (2, 1, 2):
        dns(cluster, [number])
        wait_for("a new client moves",
                 lambda n=number: cluster.client.ask(IP4, 53, "udp").servers == {f"pod{n}": 1})
    lines = [line for line in (directory / "log").read_text().splitlines() if "level=info" not in line]
    assert len(lines) == 1 and "stale flows stay until they time out" in lines[0]


@pytest.mark.parametrize("n_entries", [0, 500000])
def test_a_thousand_clients_move_within_a_second(cluster, n_entries):
    fill_table(cluster, n_entries)
    dns(cluster, [1, 2])
    cluster.start()
    crowd = cluster.client.popen(sys.executable, "-c", CROWD, IP4, 53, 1000, 0.2,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert crowd.stdout.readline() == "ready\n"

    def slowest(*servers):
        crowd.stdin.write(json.dumps(servers) + "\n")
        crowd.stdin.flush()
        return json.loads(crowd.stdout.readline())

    slowest("pod1", "pod2")
    waited = []
    for number in (2, 1, 2):
        dns(cluster, [number])
        waited.append(slowest(f"pod{number}"))
    print(f"{n_entries} other entries: the last of 1000 clients moved after", *waited)
    assert sorted(waited)[1] < 1
