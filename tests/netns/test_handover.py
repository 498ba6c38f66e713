# SPDX-License-Identifier: GPL-2.0-or-later
"""Eight clients and connections that last notice nothing, when kproxy takes over from kube-proxy and hands
back, and when kproxy itself is replaced or changes its mode."""
import signal

import pytest
from hooks import attached
from kubeproxy import KEEP, SHAPES, as_ipv6, cluster, install, left, need, write_manifests
from node import Flow, Node, wait_for
from test_repair import ruleset

MODES = ("nft", "bpf")
N_SERVICES = 6  # the first and the last one have node ports


class World:
    """Clients and flows of the Services of bench/cluster.py."""

    def __init__(self, node):
        self.node = node
        servers, echoes = node.pod(100), node.pod(101)
        node.give_networks(servers, "10.180.0.0/29", "fd00:10:180::/125")
        node.give_networks(echoes, "10.180.0.24/29", "fd00:10:180::20/123")
        # A client that is masqueraded to the port of a former one would wait for its end.
        servers.run("sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0")
        servers.serve("", cluster.TARGET_PORT)
        echoes.serve_echo(cluster.TARGET_PORT)
        self.client = node.pod(9)
        write_manifests(node, N_SERVICES)

    def start_traffic(self):
        """Eight clients, and flows that were there before: from a pod to cluster IPs, from outside to
        node ports, in both families."""
        self.loads = [host.load(address, port, n_clients=2) for host, address, port in self.ways(0)]
        self.flows = [Flow(*way) for way in self.ways(5)]

    def ways(self, n):
        ip, node_port = cluster.cluster_ip(n), cluster.node_port(n)
        return [(self.client, ip, cluster.PORT), (self.client, as_ipv6(ip), cluster.PORT),
                (self.node.outside, Node.IP4, node_port), (self.node.outside, Node.IP6, node_port)]

    def add_flows(self):
        self.flows += [Flow(*way) for way in self.ways(5)]

    def check_flows(self):
        assert [flow.lives() for flow in self.flows] == [True] * len(self.flows)

    def stop_traffic(self):
        self.check_flows()
        for way, load in zip(self.ways(0), self.loads):
            for got in load.stop():
                assert got.servers and not got.errors, (way[1:], got.errors)


@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back(node, shape):  # CL-1, CL-2
    need(node, shape)
    world = World(node)
    install(node, shape, N_SERVICES)
    world.start_traffic()
    assert left(node)
    node.start()
    wait_for("kube-proxy's rules are gone", lambda: not left(node), 60)
    world.check_flows()
    world.add_flows()
    # Back: kube-proxy first, then kproxy goes.
    install(node, shape, N_SERVICES)
    there = left(node)
    assert node.stop() == 0
    node.run(*node.argv("--cleanup", KEEP))
    assert left(node) == there
    assert "kproxy" not in node.run("nft", "list", "tables").stdout.split()
    world.check_flows()
    world.add_flows()
    world.stop_traffic()


# What another version may have left in our table: objects that we do not know, sets of another type, and
# some that are missing.
OTHER_VERSION = """
add set ip{0} kproxy of-another-version {{ type ipv{1}_addr; }}
add map ip{0} kproxy verdicts {{ type ipv{1}_addr : verdict; }}
add chain ip{0} kproxy pick-99
add chain ip{0} kproxy nat-other {{ type nat hook prerouting priority -90; }}
add rule ip{0} kproxy nat-other ip{0} daddr vmap @verdicts
add rule ip{0} kproxy pick-99 ip{0} saddr @of-another-version accept
add rule ip{0} kproxy dispatch jump pick-99
delete set ip{0} kproxy affinity-timeouts
add map ip{0} kproxy affinity-timeouts {{ type inet_service : inet_service; elements = {{ 1 : 2 }}; }}
delete map ip{0} kproxy affinity-slots
"""


def test_upgrade_and_downgrade(node):  # CL-3, SY-10
    """Whichever version comes after which: what it does not know in its table goes."""
    world = World(node)
    node.start()
    before = ruleset(node)
    world.start_traffic()
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        node.stop(how)
        node.run("nft", "-f", "-", input=OTHER_VERSION.format("", 4) + OTHER_VERSION.format("6", 6))
        assert ruleset(node) != before
        node.start()
        assert ruleset(node) == before
    world.stop_traffic()


def test_change_of_mode_on_a_live_node(hooked_node):
    node = hooked_node
    world = World(node)
    node.start()
    world.start_traffic()
    for mode in ("nft", "bpf", "nft", "bpf"):
        node.stop()
        node.start(f"--mode={mode}")
        assert bool(attached(node)) == (mode == "bpf")
        world.check_flows()
        world.add_flows()
    world.stop_traffic()
