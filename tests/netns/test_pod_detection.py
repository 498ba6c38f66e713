# SPDX-License-Identifier: GPL-2.0-or-later
"""How packets of pods are told from others decides who is masqueraded (section 5 of conformance.md)."""
import json

import pytest

from node import endpointslice, node_object, service, wait_for

FRONTENDS, TARGETS = ["10.96.0.10", "fd00:10:96::10"], [("http", "TCP", 8080)]


def web(node, numbers, node_object=node_object()):
    node.write("web.json", node_object, service("web", FRONTENDS, [("http", "TCP", 80)]),
               endpointslice("web-4", "web", [f"10.180.0.{n}" for n in numbers], TARGETS),
               endpointslice("web-6", "web", [f"fd00:10:180::{n:x}" for n in numbers], TARGETS,
                             "IPv6"))


def objects_of(node):
    with open(f"{node.directory}/web.json", encoding="utf-8") as f:
        return json.load(f)["items"]


def node_with_pod_cidrs(*cidrs):
    return dict(node_object(), spec={"podCIDR": cidrs[0], "podCIDRs": list(cidrs)})


def sees_client(server, client, address):
    """True when the server sees the client's own address."""
    got = client.ask(address, 80)
    assert not got.errors
    return got.peers == {client.ip6 if ":" in address else client.ip4}


@pytest.mark.parametrize("flags, is_pod", [
    ((), {1: True, 2: True}),  # LD-2: both are in --cluster-cidr
    (("--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=pod"),
     {1: True, 2: True}),
    (("--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=cali"),
     {1: False, 2: False}),
    (("--detect-local-mode=BridgeInterface", "--pod-bridge-interface=pod1"),
     {1: True, 2: False}),
    # The Node has no podCIDRs: nobody is known to be a pod, so nobody is masqueraded (LD-1).
    (("--detect-local-mode=NodeCIDR",), {1: True, 2: True}),
])
def test_pods_keep_their_address_to_cluster_ips(node, flags, is_pod):  # DP-1, LD-1, LD-2, LD-4
    node.pod(7, 8080)
    clients = {n: node.pod(n) for n in is_pod}
    web(node, [7])
    node.start(*flags)
    for address in FRONTENDS:
        for n, client in clients.items():
            assert sees_client(node, client, address) == is_pod[n], (flags, n, address)
        # The node itself is no pod in any mode; its address is right either way.
        assert node.ask(address, 80).servers == {"pod7": 1}


def test_node_cidr_follows_the_node(node):  # ND-4, ND-8
    node.pod(7, 8080)
    client = node.pod(1)
    web(node, [7], node_with_pod_cidrs("10.180.0.0/24", "fd00:10:180::/64"))
    node.start("--detect-local-mode=NodeCIDR")
    for address in FRONTENDS:
        assert sees_client(node, client, address)
    web(node, [7], node_with_pod_cidrs("10.99.0.0/24", "fd00:99::/64"))
    for address in FRONTENDS:
        wait_for("the client is no pod any more", lambda a=address: not sees_client(node, client, a))


def test_node_cidr_outlives_the_node_object(node):  # ND-8
    node.pod(7, 8080)
    client = node.pod(1)
    stranger = node.connect("stranger", "eth3", ("192.0.3.1", "192.0.3.2", 24),
                            ("2001:db8:3::1", "2001:db8:3::2", 64))
    stranger.run("ip", "route", "add", "10.96.0.0/16", "via", "192.0.3.1")
    web(node, [7], node_with_pod_cidrs("10.180.0.0/24", "fd00:10:180::/64"))
    node.start("--detect-local-mode=NodeCIDR")
    others = [o for o in objects_of(node) if o["kind"] != "Node"]
    for objects in (others, others[1:]):  # the second one is a change that shows that the first is done
        node.write("web.json", *objects)
    wait_for("the Service is gone", lambda: not node.dump()["services"])
    node.write("web.json", *others)
    wait_for("the Service is back", lambda: node.dump()["services"])
    assert sees_client(node, client, FRONTENDS[0])
    got = stranger.ask(FRONTENDS[0], 80)
    assert not got.errors and "192.0.3.2" not in got.peers  # masqueraded, as it is no pod


def test_a_mode_without_its_name_is_refused(node):
    for mode, flag in (("BridgeInterface", "--pod-bridge-interface"),
                       ("InterfaceNamePrefix", "--pod-interface-name-prefix")):
        result = node.once(f"--detect-local-mode={mode}", check=False)
        assert result.returncode == 2 and flag in result.stderr
    assert node.once("--detect-local-mode=Guess", check=False).returncode == 2
