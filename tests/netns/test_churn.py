# SPDX-License-Identifier: GPL-2.0-or-later
"""No connection fails while endpoints come and go at full speed (docs/ruleset.md, "Traps")."""
import itertools
import os
import signal
import subprocess
import time

import pytest

from exchange import SERVICES, Exchange
from node import Node, endpoint, endpointslice, node_object, service, wait_for

MODES = ("nft", "bpf")

SECONDS = float(os.environ.get("CHURN_SECONDS", "4"))
FAMILIES = pytest.mark.parametrize("family", ("IPv4", "IPv6"))
PORTS, TARGETS = [("http", "TCP", 80)], [("http", "TCP", 8080)]


def cluster_ip(family, number=10):
    return f"10.96.1.{number}" if family == "IPv4" else f"fd00:10:96::{number:x}"


def write_endpoints(node, ips, family):
    node.write("slice.json", endpointslice("web-1", "web", ips, TARGETS, family))


def churn(node, family, sets):
    """Writes one endpoint set after the other, as fast as it can: about 1500 syncs a second."""
    end = time.monotonic() + SECONDS
    for ips in itertools.cycle(sets):
        if time.monotonic() > end:
            return
        write_endpoints(node, ips, family)


def start(node, family, ips):
    node.write("web.json", node_object(), service("web", [cluster_ip(family)], PORTS))
    write_endpoints(node, ips, family)
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


@FAMILIES
def test_scaling_disturbs_nobody(node, family):
    crowd, client = node.crowd(20, 8080), node.pod(9)
    ips = crowd.ips_of[family]
    start(node, family, ips[:1])
    load = client.load(cluster_ip(family), 80)
    churn(node, family, [ips[:1], ips[:3], ips, ips[:3], ips[:1], ips])
    assert_undisturbed(load.stop())


@FAMILIES
def test_moving_endpoints_disturbs_nobody_and_shares_stay_even(node, family):
    crowd, client = node.crowd(20, 8080), node.pod(9)
    ips = crowd.ips_of[family]
    always, moving = ips[:4], ips[4:]
    start(node, family, ips[:10])
    load = client.load(cluster_ip(family), 80)
    churn(node, family, [always + [moving[(i + k) % 16] for k in range(6)] for i in range(16)])
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


@FAMILIES
def test_kill_and_restart_under_load(node, family, tmp_path):  # SY-10, SY-11
    crowd, client = node.crowd(3, 8080), node.pod(9)
    start(node, family, crowd.ips_of[family])
    monitor = Monitor(node, tmp_path / "monitor")
    load = client.load(cluster_ip(family), 80)
    for _ in range(5):
        node.stop(signal.SIGKILL)
        node.start()
    assert_undisturbed(load.stop())
    assert "kproxy" not in monitor.close()


class Sniffer:
    """What leaves the node for the world with a service address as destination."""

    def __init__(self, host):
        self.process = host.popen("tcpdump", "-lnni", "eth0", "dst net 10.96.0.0/16 or "
                                  "dst net 203.0.113.0/24 or dst net fd00:10:96::/112 or "
                                  "dst net 2001:db8:5::/112", stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        assert "tcpdump" in self.process.stderr.readline()
        assert "listening" in self.process.stderr.readline()

    def close(self):
        self.process.terminate()
        return [line for line in self.process.communicate()[0].splitlines() if line]


# Of no Service.
UNUSED = {"IPv4": "10.96.9.9", "IPv6": "fd00:10:96::99"}


def sniff(node, client, family):
    """A sniffer that has seen what is not translated: the test of the test."""
    sniffer = Sniffer(node.upstream)
    client.ask(UNUSED[family], 80)
    return sniffer


def assert_nothing_leaked(sniffer, family):
    leaked = sniffer.close()
    assert leaked and all(UNUSED[family] in line for line in leaked), leaked


def objects(number, round_, pods, family):
    """Service 'sN', whose policies, affinity and endpoints all depend on the round; one pod always stays,
    and for some rounds it is called another node's."""
    spec = {"internalTrafficPolicy": ("Cluster", "Local")[round_ // 2 % 2],
            "externalTrafficPolicy": ("Cluster", "Local")[round_ // 3 % 2],
            "sessionAffinity": ("None", "ClientIP")[round_ // 5 % 2], "type": "NodePort"}
    staying, moving = pods[0], pods[1:]
    n = round_ * 7 % len(moving)
    yield service(f"s{number}", [cluster_ip(family, number)], [("http", "TCP", 80, 30100 + number)],
                  **spec)
    yield endpointslice(f"s{number}-a", f"s{number}",
                        [endpoint(staying), *(endpoint(ip, f"node{1 + (round_ + i) % 2}")
                                              for i, ip in enumerate(moving[:n]))],
                        TARGETS, family)


@FAMILIES
def test_policies_and_affinity_change_under_load(node, family):  # SA-6, RJ-7
    """Nothing fails, and no packet leaves untranslated."""
    crowd, client = node.crowd(20, 8080), node.pod(9)
    pods = crowd.ips_of[family]
    node.write("node.json", node_object())
    for number in range(1, 5):
        node.write(f"s{number}.json", *objects(number, number, pods, family))
    node.start()
    sniffer = sniff(node, client, family)
    node_ip = Node.IP4 if family == "IPv4" else Node.IP6
    loads = [client.load(cluster_ip(family, n), 80, n_clients=1) for n in range(1, 5)]
    loads += [host.load(node_ip, 30100 + n, n_clients=1)
              for n, host in ((1, node.outside), (2, node.outside), (3, client), (4, node))]
    end = time.monotonic() + SECONDS
    for round_ in itertools.count():
        if time.monotonic() > end:
            break
        number = 1 + round_ % 4
        node.write(f"s{number}.json", *objects(number, round_ // 4, pods, family))
    for load in loads:
        assert_undisturbed(load.stop())
    assert_nothing_leaked(sniffer, family)


@FAMILIES
def test_first_endpoint_comes_and_goes_under_load(node, family):  # DP-8
    """A packet that meets a commit between two hooks is refused, as if it had come a moment before."""
    address = "203.0.113.9" if family == "IPv4" else "2001:db8:5::9"
    crowd, client = node.crowd(1, 8080), node.pod(9)
    node.write("web.json", node_object(),
               service("web", [cluster_ip(family)], PORTS, externalIPs=[address]))
    write_endpoints(node, [], family)
    node.start()
    sniffer = sniff(node, client, family)
    load = client.load(address, 80)
    churn(node, family, [[], crowd.ips_of[family]])
    for got in load.stop():
        assert got.servers and set(got.errors) == {"ConnectionRefusedError"}
    assert_nothing_leaked(sniffer, family)


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
