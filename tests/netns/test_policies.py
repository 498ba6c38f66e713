# SPDX-License-Identifier: GPL-2.0-or-later
"""Who reaches which endpoints with which address, for each traffic policy, source and frontend.

pod1 is an endpoint on this node, pod3 is called one of another node.  All Services exist at once.
"""
import pytest

from node import Node, endpoint, endpointslice, node_object, service

NEAR, FAR, BOTH = {"pod1"}, {"pod3"}, {"pod1", "pod3"}
DROP, REJECT = "drop", "reject"
REPEAT = 30  # misses one of two endpoints once in 5 * 10^8 checks

# Service: internal and external policy, endpoints; then what the sources reach through the cluster IP,
# and through an external IP, a load balancer IP and a node port.  Sources are a pod, the node,
# an outside client.
ROWS = {
    # DP-1, DP-5
    "cluster": ("Cluster", "Cluster", BOTH, (BOTH, BOTH, BOTH), (BOTH, BOTH, BOTH)),
    # DP-2, DP-6
    "local": ("Local", "Local", BOTH, (NEAR, NEAR, NEAR), (BOTH, BOTH, NEAR)),
    # DP-3, DP-7
    "far": ("Local", "Local", FAR, (DROP, DROP, DROP), (FAR, FAR, DROP)),
    # DP-4, DP-8
    "none": ("Local", "Local", set(), (REJECT, REJECT, REJECT), (REJECT, REJECT, REJECT)),
    "no-cluster": ("Cluster", "Cluster", set(), (REJECT, REJECT, REJECT),
                   (REJECT, REJECT, REJECT)),
    # DP-14, SV-9
    "inside": ("Local", "Cluster", BOTH, (NEAR, NEAR, NEAR), (BOTH, BOTH, BOTH)),
    "inside-far": ("Local", "Cluster", FAR, (DROP, DROP, DROP), (FAR, FAR, FAR)),
    "outside": ("Cluster", "Local", BOTH, (BOTH, BOTH, BOTH), (BOTH, BOTH, NEAR)),
    "outside-far": ("Cluster", "Local", FAR, (FAR, FAR, FAR), (FAR, FAR, DROP)),
}
PORTS = {"tcp": 80, "udp": 53}
FAMILIES = {"IPv4": ("10.96.0.{}", "203.0.113.{}", "10.180.0.{}"),
            "IPv6": ("fd00:10:96::{}", "2001:db8:5::{}", "fd00:10:180::{}")}


def objects(number, name):
    internal, external, endpoints, _, _ = ROWS[name]
    ips = [FAMILIES[f][0].format(number) for f in FAMILIES]
    yield service(name, ips, [("http", "TCP", 80, 30000 + number), ("dns", "UDP", 53, 31000 + number)],
                  type="LoadBalancer", internalTrafficPolicy=internal,
                  externalTrafficPolicy=external, healthCheckNodePort=32000 + number,
                  externalIPs=[FAMILIES[f][1].format(number) for f in FAMILIES],
                  vips=[FAMILIES[f][1].format(100 + number) for f in FAMILIES])
    for family, (_, _, pods) in FAMILIES.items():
        yield endpointslice(f"{name}-{family.lower()}", name,
                            [endpoint(pods.format(pod[3:]), "node1" if pod in NEAR else "node2")
                             for pod in sorted(endpoints)],
                            [("http", "TCP", 8080), ("dns", "UDP", 8080)], family)


def frontends(family, number, proto):
    """The cluster IP, and the external ones."""
    cluster, external, _ = FAMILIES[family]
    node_ip = Node.IP4 if family == "IPv4" else Node.IP6
    node_port = {"tcp": 30000, "udp": 31000}[proto] + number
    return ((cluster.format(number), PORTS[proto]),
            [(external.format(number), PORTS[proto]), (external.format(100 + number), PORTS[proto]),
             (node_ip, node_port)])


@pytest.fixture(scope="module")
def world(shared_node):
    node = shared_node
    # Deprecated, so that masquerading never picks it.
    node.own4, node.own6 = "192.0.2.77", "2001:db8:77::77"
    node.run("ip", "addr", "add", f"{node.own4}/32", "dev", "lo")
    node.run("ip", "addr", "add", f"{node.own6}/128", "dev", "lo", "preferred_lft", "0")
    node.near, node.far, node.client = node.pod(1, 8080), node.pod(3, 8080), node.pod(9)
    node.write("all.json", node_object(),
               *(o for i, name in enumerate(ROWS, 1) for o in objects(i, name)))
    node.start()
    return node


def own_address(world, host, family):
    addresses = {world: (world.own4, world.own6), world.outside: (Node.OUTSIDE4, Node.OUTSIDE6)}
    ip4, ip6 = addresses.get(host) or (host.ip4, host.ip6)
    return ip4 if family == "IPv4" else ip6


def outcome(answers, own):
    """What the answers of one frontend say: servers, DROP or REJECT; and what became of the client's
    address."""
    if " " not in answers[0]:
        # The kernel tells a local sender of UDP by EPERM that its packet went nowhere.
        kinds = {"TimeoutError": DROP, "ConnectionRefusedError": REJECT, "PermissionError": "EPERM"}
        return {kinds.get(a, a) for a in answers}, None
    pairs = [a.split() for a in answers]
    return {p[0] for p in pairs}, {"kept" if p[1] == own else "masqueraded" for p in pairs}


def check(world, host, family, expected, kept):
    """'expected' and 'kept' tell it of (cluster IP?, Service)."""
    own = own_address(world, host, family)
    cases, keys = [], []
    for number, name in enumerate(ROWS, 1):
        for proto in PORTS:
            internal, externals = frontends(family, number, proto)
            for is_cluster_ip, (address, port) in ((True, internal), *((False, e) for e in externals)):
                want = expected(is_cluster_ip, name)
                fails = want in (DROP, REJECT)
                for _ in range(2 if fails else REPEAT):
                    cases.append((address, port, proto, 0.3 if want == DROP else 5, own))
                    keys.append((is_cluster_ip, name, address, port, proto))
    got = {}
    for key, answer in zip(keys, host.ask_all(cases)):
        got.setdefault(key, []).append(answer)
    for (is_cluster_ip, name, *frontend), answers in got.items():
        want = expected(is_cluster_ip, name)
        found, source = outcome(answers, own)
        what = (host.ns, name, frontend)
        if want in (DROP, REJECT):
            local_udp = host is world and frontend[2] == "udp"
            assert found <= ({want, "EPERM"} if local_udp else {want}), what
        else:
            assert found == want, what
            assert source == {"kept" if kept(is_cluster_ip, name) else "masqueraded"}, what


def expected_from(source):
    def expected(is_cluster_ip, name):
        return ROWS[name][3 if is_cluster_ip else 4][source]
    return expected


def is_external_local(name):
    return ROWS[name][1] == "Local"


@pytest.mark.parametrize("family", FAMILIES)
def test_from_a_pod(world, family):  # DP-1 ... DP-9, DP-11, DP-14, DP-15
    check(world, world.client, family, expected_from(0),
          lambda is_cluster_ip, name: is_cluster_ip or is_external_local(name))


@pytest.mark.parametrize("family", FAMILIES)
def test_from_the_node(world, family):  # the same; RJ-5
    check(world, world, family, expected_from(1), lambda *_: False)


@pytest.mark.parametrize("family", FAMILIES)
def test_from_outside(world, family):  # the same; FE-3
    check(world, world.outside, family, expected_from(2),
          lambda is_cluster_ip, name: not is_cluster_ip and is_external_local(name))


@pytest.mark.parametrize("family", FAMILIES)
def test_from_the_endpoint_itself(world, family):  # HP-1, DP-2, DP-6
    own = own_address(world, world.near, family)
    for number, name in enumerate(ROWS, 1):
        if "pod1" not in ROWS[name][2]:
            continue
        internal, externals = frontends(family, number, "tcp")
        for is_cluster_ip, (address, port) in ((True, internal), *((False, e) for e in externals)):
            answers = world.near.ask_all([(address, port, "tcp", 5, None)] * REPEAT)
            pairs = {tuple(a.split()) for a in answers}
            assert {server for server, _ in pairs} == expected_from(0)(is_cluster_ip, name)
            for server, peer in pairs:
                hairpin = server == "pod1"
                masqueraded = hairpin or not (is_cluster_ip or is_external_local(name))
                assert (peer != own) == masqueraded, (name, address, server, peer)
