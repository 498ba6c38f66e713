# SPDX-License-Identifier: GPL-2.0-or-later
"""Session affinity ClientIP (SA-1 ... SA-7)."""
import json
import signal
import subprocess
import sys
import time

import pytest

from node import Node, endpoint, endpointslice, service, wait_for

MODES = ("nft", "bpf")

# Sends a datagram from each of the clients, client i at START + i * 1 ms, and prints who answered.
PUNCTUAL_SENDER = r"""
import json, socket, sys, time
address, port, start = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sockets = []
for i, client in enumerate(json.load(sys.stdin)):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.bind((client, 0))
    s.connect((address, port))
    while time.monotonic() < start + i / 1000:
        pass
    s.send(b"?")
    sockets.append(s)
print(json.dumps([s.recv(99).decode().split()[0] for s in sockets]))
"""

PORTS = {"tcp": ("http", 80, 30080), "udp": ("dns", 53, 30053)}
# Pods and their addresses, the networks of many clients, cluster, external and load balancer IP.
FAMILIES = {"IPv4": ("10.180.0.{}", "10.180.64.0/18", "10.180.{}.{}", "10.96.0.10", "203.0.113.1",
                     "203.0.113.101", Node.IP4),
            "IPv6": ("fd00:10:180::{}", "fd00:10:180:0:1::/80", "fd00:10:180:0:1::{}:{}",
                     "fd00:10:96::10", "2001:db8:5::1", "2001:db8:5::101", Node.IP6)}


def client_addresses(family, n, first=0):
    return [FAMILIES[family][2].format(64 + i // 250, 1 + i % 250) for i in range(first, first + n)]


def write(node, numbers, timeout_s=600, affinity="ClientIP", remote=(), **spec):
    """Service 'web' with these pods; those in 'remote' count as another node's."""
    config = {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": timeout_s}}}
    ports = [(name, proto.upper(), port, node_port)
             for proto, (name, port, node_port) in PORTS.items()]
    objects = [service("web", [f[3] for f in FAMILIES.values()], ports, type="LoadBalancer",
                       healthCheckNodePort=32000, externalIPs=[f[4] for f in FAMILIES.values()],
                       vips=[f[5] for f in FAMILIES.values()], sessionAffinity=affinity,
                       **(config if affinity == "ClientIP" else {}), **spec)]
    for family, (pods, *_) in FAMILIES.items():
        objects.append(endpointslice(
            f"web-{family.lower()}", "web",
            [endpoint(pods.format(n), "node2" if n in remote else "node1") for n in numbers],
            [("http", "TCP", 8080), ("dns", "UDP", 8080)], family))
    node.write("web.json", *objects)


def wait_for_endpoints(node, numbers):
    want = {pods.format(n) for pods, *_ in FAMILIES.values() for n in numbers}
    wait_for(f"endpoints {numbers}", lambda: all(
        {e["address"] for s in node.dump()["services"] if s["protocol"] == proto
         for e in s["endpoints"]} == want for proto in ("TCP", "UDP")))


def frontends(family, proto):
    _, _, _, cluster_ip, external, vip, node_ip = FAMILIES[family]
    _, port, node_port = PORTS[proto]
    return [(cluster_ip, port), (external, port), (vip, port), (node_ip, node_port)]


def servers(host, cases):
    """Who answers each (address, port, protocol, source)."""
    answers = host.ask_all([(*case[:3], 5, case[3]) for case in cases])
    assert all(" " in a for a in answers), answers
    return [a.split()[0] for a in answers]


def who(node, family, proto, clients):
    """The server of each of the clients at the cluster IP."""
    frontend = frontends(family, proto)[0]
    return servers(node.client, [(*frontend, proto, c) for c in clients])


def records(node, family):
    """Client address and endpoint id of each record, and the seconds that it has left."""
    table = "ip" if family == "IPv4" else "ip6"
    listing = json.loads(node.run("nft", "-j", "list", "map", table, "kproxy",
                                  "affinity-clients").stdout)
    return next(o["map"] for o in listing["nftables"] if "map" in o).get("elem", [])


@pytest.fixture(scope="module")
def world(shared_node):
    node = shared_node
    for n in (1, 2, 3, 4):
        node.pod(n, 8080)
    node.client = node.pod(9)
    node.give_networks(node.client, *(f[1] for f in FAMILIES.values()))
    write(node, [1, 2, 3])
    node.start()
    return node


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(params=PORTS)
def proto(request):
    return request.param


def restore(world, **kwargs):
    """What the tests begin with."""
    write(world, [1, 2, 3], **kwargs)
    wait_for_endpoints(world, [1, 2, 3])


def flush(world):
    """Forgets all clients, which only a test does; their UDP flows too, one of which could be met again."""
    world.run("conntrack", "-F")
    for table in ("ip", "ip6"):
        world.run("nft", "flush", "map", table, "kproxy", "affinity-clients")


def test_all_frontends_share_a_record_and_ports_do_not(world, family):  # SA-1, SA-5
    restore(world)
    clients = client_addresses(family, 20)
    seen = {}
    for proto in PORTS:
        cases = [(*frontend, proto, c) for c in clients for frontend in frontends(family, proto) * 2]
        got = servers(world.client, cases)
        for i, client in enumerate(clients):
            of_client = set(got[8 * i:8 * i + 8])
            assert len(of_client) == 1, (proto, client, of_client)
            seen.setdefault(proto, []).append(of_client.pop())
    # One in three agrees by chance; all twenty do once in 3 * 10^9 runs.
    assert seen["tcp"] != seen["udp"]
    assert set(seen["tcp"]) == {"pod1", "pod2", "pod3"}


def test_packets_of_a_new_client_agree(world, family):  # SA-1
    restore(world)
    clients = client_addresses(family, 1000, first=1000)  # no other flow of theirs is known
    address, port = frontends(family, "udp")[0]
    start = time.monotonic() + 1
    senders = [world.client.popen(sys.executable, "-c", PUNCTUAL_SENDER, address, port, start,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for sender in senders:
        sender.stdin.write(json.dumps(clients))
        sender.stdin.close()
    first, second = (json.loads(sender.stdout.read()) for sender in senders)
    assert [pair for pair in zip(clients, first, second) if pair[1] != pair[2]] == []


def test_endpoint_that_goes_loses_its_clients_and_others_keep_theirs(world, family, proto):  # SA-4
    restore(world)
    flush(world)
    clients = client_addresses(family, 60)
    before = who(world, family, proto, clients)
    write(world, [1, 3])
    wait_for_endpoints(world, [1, 3])
    without = who(world, family, proto, clients)
    for old, new in zip(before, without):
        assert new == old if old != "pod2" else new in ("pod1", "pod3")
    # It returns as another one: nobody remembers it, and all stay where they are now.
    restore(world)
    assert who(world, family, proto, clients) == without
    # A client that was not there in between has no endpoint to return to either: it is free again.
    flush(world)
    fresh = who(world, family, proto, clients)
    write(world, [1, 3])
    wait_for_endpoints(world, [1, 3])
    restore(world)
    after = who(world, family, proto, clients)
    freed = [new for old, new in zip(fresh, after) if old == "pod2"]
    assert all(old == new for old, new in zip(fresh, after) if old != "pod2")
    # About 20 are free, and choose among three.
    assert len(freed) > 0 and set(freed) != {"pod2"}


def test_records_end_after_the_timeout_of_the_last_new_flow(world):  # SA-2, SA-3
    def ask():
        return {f: who(world, f, "tcp", client_addresses(f, 30)) for f in FAMILIES}
    restore(world, timeout_s=2)
    flush(world)
    before, start = ask(), time.monotonic()
    # New flows keep them alive, longer than the timeout.
    while time.monotonic() < start + 3:
        time.sleep(0.3)
        assert ask() == before
    assert all(len(records(world, f)) == 30 for f in FAMILIES)
    wait_for("records expire", lambda: not any(records(world, f) for f in FAMILIES))
    after = ask()
    # One in three agrees by chance.
    assert all(after[f] != before[f] for f in FAMILIES)


def test_timeout_and_affinity_change_live(world, family):  # SA-6
    restore(world, timeout_s=600)
    flush(world)
    clients = client_addresses(family, 30)
    before = who(world, family, "tcp", clients)
    assert who(world, family, "tcp", clients) == before
    restore(world, timeout_s=1)
    wait_for("the new timeout", lambda: who(world, family, "tcp", clients) and all(
        r[0]["elem"]["expires"] <= 1 for r in records(world, family)))
    write(world, [1, 2, 3], affinity="None")
    wait_for("no affinity", lambda: len(set(who(world, family, "tcp", clients[:1] * 30))) == 3)
    restore(world, timeout_s=600)
    wait_for("affinity", lambda: len(set(who(world, family, "tcp", clients[:1] * 30))) == 1)


def test_local_policy_and_cluster_set(world, family):  # SA-2
    """A record is used where its endpoint is allowed, and survives where it is not."""
    write(world, [1, 2, 3], remote=[2, 3], internalTrafficPolicy="Local",
          externalTrafficPolicy="Local")
    wait_for_endpoints(world, [1, 2, 3])
    flush(world)
    clients = client_addresses(family, 30)
    cluster_ip, _, _, node_port = frontends(family, "tcp")
    # A pod's node port connections go to the cluster set, those to the cluster IP to the local set.
    wide = servers(world.client, [(*node_port, "tcp", c) for c in clients])
    assert set(wide) == {"pod1", "pod2", "pod3"}
    assert set(servers(world.client, [(*cluster_ip, "tcp", c) for c in clients])) == {"pod1"}
    assert servers(world.client, [(*node_port, "tcp", c) for c in clients]) == wide
    # A client that is known from the local set only stays with its endpoint in the cluster set.
    others = client_addresses(family, 60)[30:]
    assert set(servers(world.client, [(*cluster_ip, "tcp", c) for c in others])) == {"pod1"}
    assert set(servers(world.client, [(*node_port, "tcp", c) for c in others])) == {"pod1"}


def test_clients_without_an_endpoint_leave_no_record(world, family):  # DP-3
    restore(world)
    flush(world)
    write(world, [2, 3], remote=[2, 3], internalTrafficPolicy="Local")
    wait_for_endpoints(world, [2, 3])
    cases = [(*frontends(family, "tcp")[0], "tcp", 0.3, c) for c in client_addresses(family, 10)]
    assert set(world.client.ask_all(cases)) == {"TimeoutError"}
    assert not records(world, family)


def test_records_survive_unrelated_changes_kill_and_restart(world, family, proto):  # SA-7
    restore(world)
    flush(world)
    clients = client_addresses(family, 60)
    # While the kernel's table grows, a record may find no room; a second flow makes it.
    who(world, family, proto, clients)
    before = who(world, family, proto, clients)
    write(world, [1, 2, 3, 4])
    wait_for_endpoints(world, [1, 2, 3, 4])
    assert who(world, family, proto, clients) == before
    world.stop(signal.SIGKILL)
    assert who(world, family, proto, clients) == before
    world.start()
    assert who(world, family, proto, clients) == before
    # What goes while kproxy is away is another one when it returns.
    world.stop(signal.SIGKILL)
    write(world, [1, 3])
    world.start()
    without = who(world, family, proto, clients)
    assert all(new == old for old, new in zip(before, without) if old in ("pod1", "pod3"))
    assert set(without) == {"pod1", "pod3"}
    restore(world)
    assert who(world, family, proto, clients) == without


def test_priority_is_zero_after_the_rules(world, family):
    """The rules keep ids in the packet's priority, which others read after them."""
    restore(world)
    table = "ip" if family == "IPv4" else "ip6"
    world.run("nft", "-f", "-", input=f"""
        table {table} watch {{
            counter seen {{ }}
            counter marked {{ }}
            chain c {{
                type filter hook postrouting priority 200;
                tcp flags & (syn | ack) == syn tcp dport 8080 counter name seen
                tcp flags & (syn | ack) == syn tcp dport 8080 meta priority != 0:0 counter name marked
            }}
        }}""")
    who(world, family, "tcp", client_addresses(family, 10) * 2)
    counters = {o["counter"]["name"]: o["counter"]["packets"] for o in json.loads(world.run(
        "nft", "-j", "list", "counters", "table", table, "watch").stdout)["nftables"]
        if "counter" in o}
    world.run("nft", f"delete table {table} watch")
    assert counters["seen"] >= 20 and counters["marked"] == 0
