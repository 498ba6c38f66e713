# SPDX-License-Identifier: GPL-2.0-or-later
"""No connection fails while endpoints come and go at full speed (docs/ruleset.md, "Traps")."""
import itertools
import os
import signal
import subprocess
import time

from exchange import SERVICES, Exchange
from node import Node, endpoint, endpointslice, node_object, service, wait_for

MODES = ("nft", "bpf")

IP, SECONDS = "10.96.0.10", float(os.environ.get("CHURN_SECONDS", "4"))


def churn(node, sets):
    """Writes one endpoint set after the other, as fast as it can: about 1500 syncs a second."""
    end = time.monotonic() + SECONDS
    for ips in itertools.cycle(sets):
        if time.monotonic() > end:
            return
        node.write("slice.json", endpointslice("web-1", "web", ips, [("http", "TCP", 8080)]))


def start(node, ips):
    node.write("web.json", node_object(), service("web", [IP], [("http", "TCP", 80)]))
    node.write("slice.json", endpointslice("web-1", "web", ips, [("http", "TCP", 8080)]))
    node.start()


def assert_undisturbed(results):
    for got in results:
        assert not got.errors
        assert got.slowest < 0.5
        assert sum(got.servers.values()) > 50


def shares(results):
    total = {}
    for got in results:
        for server, n in got.servers.items():
            total[server] = total.get(server, 0) + n
    return total


def test_scaling_disturbs_nobody(node):
    crowd, client = node.crowd(20, 8080), node.pod(9)
    ips = crowd.ips
    start(node, ips[:1])
    load = client.load(IP, 80)
    churn(node, [ips[:1], ips[:3], ips, ips[:3], ips[:1], ips])
    assert_undisturbed(load.stop())


def test_moving_endpoints_disturbs_nobody_and_shares_stay_even(node):
    crowd, client = node.crowd(20, 8080), node.pod(9)
    always, moving = crowd.ips[:4], crowd.ips[4:]
    start(node, crowd.ips[:10])
    load = client.load(IP, 80)
    churn(node, [always + [moving[(i + k) % 16] for k in range(6)] for i in range(16)])
    results = load.stop()
    assert_undisturbed(results)
    total = shares(results)
    expected = sum(total.values()) / 10
    for ip in always:
        assert 0.8 * expected < total[ip] < 1.25 * expected, total


class Monitor:
    """What nft monitor prints, with a mark of our own before and after."""

    def __init__(self, node, path):
        self.node, self.path = node, path
        self.process = node.popen("nft", "monitor", stdout=path.open("w"))
        wait_for("nft monitor sees the first mark", lambda: self.mark("first"))

    def mark(self, name):
        self.node.run("nft", f"add table ip {name}; delete table ip {name}")
        return f"delete table ip {name}" in self.path.read_text()

    def close(self):
        wait_for("nft monitor sees the last mark", lambda: self.mark("last"))
        self.process.kill()
        return self.path.read_text()


def test_kill_and_restart_under_load(node, tmp_path):  # SY-10, SY-11
    crowd, client = node.crowd(3, 8080), node.pod(9)
    start(node, crowd.ips)
    monitor = Monitor(node, tmp_path / "monitor")
    load = client.load(IP, 80)
    for _ in range(5):
        node.stop(signal.SIGKILL)
        node.start()
    assert_undisturbed(load.stop())
    assert "kproxy" not in monitor.close()


class Sniffer:
    """Counts what leaves the node for the world with a service address as destination."""

    def __init__(self, host):
        self.process = host.popen("tcpdump", "-lnni", "eth0", "dst net 10.96.0.0/16 or "
                                  "dst net fd00:10:96::/112", stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        assert "tcpdump" in self.process.stderr.readline()
        assert "listening" in self.process.stderr.readline()

    def close(self):
        self.process.terminate()
        return self.process.communicate()[0]


def objects(number, round_, pods):
    """Service 'sN', whose policies, affinity and endpoints all depend on the round; one pod always stays,
    and for some rounds it is called another node's."""
    spec = {"internalTrafficPolicy": ("Cluster", "Local")[round_ // 2 % 2],
            "externalTrafficPolicy": ("Cluster", "Local")[round_ // 3 % 2],
            "sessionAffinity": ("None", "ClientIP")[round_ // 5 % 2], "type": "NodePort"}
    staying, moving = pods[0], pods[1:]
    n = round_ * 7 % len(moving)
    yield service(f"s{number}", [f"10.96.1.{number}"], [("http", "TCP", 80, 30100 + number)], **spec)
    yield endpointslice(f"s{number}-a", f"s{number}",
                        [endpoint(staying), *(endpoint(ip, f"node{1 + (round_ + i) % 2}")
                                              for i, ip in enumerate(moving[:n]))],
                        [("http", "TCP", 8080)])


def test_policies_and_affinity_change_under_load(node):  # SA-6, RJ-7
    """Nothing fails, and no packet leaves untranslated."""
    crowd, client = node.crowd(20, 8080), node.pod(9)
    node.write("node.json", node_object())
    for number in range(1, 5):
        node.write(f"s{number}.json", *objects(number, number, crowd.ips))
    node.start()
    sniffer = Sniffer(node.upstream)
    # The test of the test: what is not translated shows there.
    client.ask("10.96.9.9", 80)
    loads = [client.load(f"10.96.1.{n}", 80, n_clients=1) for n in range(1, 5)]
    loads += [host.load(Node.IP4, 30100 + n, n_clients=1)
              for n, host in ((1, node.outside), (2, node.outside), (3, client), (4, node))]
    end = time.monotonic() + SECONDS
    for round_ in itertools.count():
        if time.monotonic() > end:
            break
        number = 1 + round_ % 4
        node.write(f"s{number}.json", *objects(number, round_ // 4, crowd.ips))
    for load in loads:
        assert_undisturbed(load.stop())
    leaked = [line for line in sniffer.close().splitlines() if line]
    assert leaked and all("10.96.9.9" in line for line in leaked), leaked


def test_nobody_meets_an_endpoint_that_is_not_the_services(node):
    exchange = Exchange(node)
    seen = exchange.run(SECONDS)
    assert [row for row in seen if not exchange.is_right(*row)] == []
    assert len(seen) > 200 and {row[0] for row in seen} == set(SERVICES)
    assert len(exchange.done) > 20
    # The test of the test: by the states of a second before, most would be wrong.
    exchange.written = [t + 10**9 for t in exchange.written]
    exchange.done = [t + 10**9 for t in exchange.done]
    assert sum(not exchange.is_right(*row) for row in seen) > len(seen) / 4
