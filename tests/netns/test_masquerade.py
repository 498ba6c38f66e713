# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is masqueraded when everyone shall be, and when pods cannot be told from others."""
import pytest

from node import Node, endpoint, endpointslice, node_object, service

# Cluster IP, pods, node; the node's own address that masquerading never picks.
FAMILIES = {"IPv4": ("10.96.0.10", "10.180.0.{}", Node.IP4, "192.0.2.77", Node.OUTSIDE4),
            "IPv6": ("fd00:10:96::10", "fd00:10:180::{}", Node.IP6, "2001:db8:77::77", Node.OUTSIDE6)}
NODE_PORT, FAR_NODE_PORT = 30080, 30081


def start(node, *flags):
    """pod1 is an endpoint on this node, pod3 one of another; 'far' has the second one only."""
    node.run("ip", "addr", "add", "192.0.2.77/32", "dev", "lo")
    node.run("ip", "addr", "add", "2001:db8:77::77/128", "dev", "lo", "preferred_lft", "0")
    node.near, node.client = node.pod(1, 8080), node.pod(9)
    node.pod(3, 8080)
    objects = [node_object()]
    for name, suffix, port in (("web", "", NODE_PORT), ("far", "0", FAR_NODE_PORT)):
        objects.append(service(name, [f[0] + suffix for f in FAMILIES.values()],
                               [("http", "TCP", 80, port)], type="NodePort",
                               externalTrafficPolicy="Local"))
        for family, (_, pods, *_) in FAMILIES.items():
            near = [endpoint(pods.format(1))] if name == "web" else []
            objects.append(endpointslice(f"{name}-{family.lower()}", name,
                                         [*near, endpoint(pods.format(3), "node2")],
                                         [("http", "TCP", 8080)], family))
    node.write("all.json", *objects)
    node.start(*flags)


def peers(host, address, port, source=None):
    """The servers, and the client addresses that each has seen."""
    found = {}
    for answer in host.ask_all([(address, port, "tcp", 5, source)] * 30):
        server, peer = answer.split()
        found.setdefault(server, set()).add(peer)
    return found


def test_masquerade_all(node):  # DP-1, MQ-1
    start(node, "--masquerade-all")
    for cluster_ip, pods, node_ip, own, _ in FAMILIES.values():
        for host, source in ((node.client, pods.format(9)), (node, own), (node.outside, None)):
            seen = peers(host, cluster_ip, 80, source)
            assert set(seen) == {"pod1", "pod3"}
            assert not {pods.format(9), own, Node.OUTSIDE4, Node.OUTSIDE6} & set.union(*seen.values())
        # That is about cluster IPs: a pod's way to a node port with policy Local stays as it is.
        seen = peers(node.client, node_ip, NODE_PORT)
        assert seen == {"pod1": {pods.format(9)}, "pod3": {pods.format(9)}}


@pytest.mark.parametrize("cidr", [[], ["--cluster-cidr=10.180.0.0/16"]])
def test_pods_that_cannot_be_told(node, cidr):  # DP-1, DP-10, LD-1, LD-6, HP-1
    node.cluster_cidr = cidr
    start(node)
    unknown = {name: f for name, f in FAMILIES.items() if not cidr or name == "IPv6"}
    for cluster_ip, pods, node_ip, own, outside in unknown.values():
        # Nobody is masqueraded to a cluster IP, except who reaches itself.
        for host, address, source in ((node.client, pods.format(9), None), (node, own, own),
                                      (node.outside, outside, None)):
            assert peers(host, cluster_ip, 80, source) == {"pod1": {address}, "pod3": {address}}
        seen = peers(node.near, cluster_ip, 80)
        assert pods.format(1) not in seen["pod1"] and seen["pod3"] == {pods.format(1)}
        # A pod is one of many to a node port with policy Local; the node itself is still known.
        assert peers(node.client, node_ip, NODE_PORT) == {"pod1": {pods.format(9)}}
        assert node.client.ask_all([(node_ip, FAR_NODE_PORT, "tcp", 0.3, None)]) == ["TimeoutError"]
        seen = peers(node, node_ip, NODE_PORT, own)
        assert set(seen) == {"pod1", "pod3"} and own not in set.union(*seen.values())
