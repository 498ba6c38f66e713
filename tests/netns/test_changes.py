# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes of Services, slices, ServiceCIDRs, the Node and its interfaces, each seen by packets.

Where nothing is translated, 'upstream' answers: it has all service addresses."""
import pytest

from node import Flow, Node, endpoint, endpointslice, node_object, service, wait_for

# Cluster IP, an unused address, pods, the node.
FAMILIES = {"IPv4": ("10.96.0.10", "10.96.7.7", "10.180.0.{}", Node.IP4),
            "IPv6": ("fd00:10:96::10", "fd00:10:96::77", "fd00:10:180::{}", Node.IP6)}
NODE_PORT = 30080
BOTH = {"pod1", "pod2"}
OUTCOMES = {"TimeoutError": "drop", "ConnectionRefusedError": "reject"}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def world(shared_node):
    node = shared_node
    node.pod1 = node.pod(1, 8080)
    node.pod(2, 8080)
    node.client = node.pod(9)
    for network in ("10.96.0.0/16", "fd00:10:96::/112"):
        node.upstream.run("ip", "route", "add", "local", network, "dev", "lo")
    node.upstream.run("ip", "route", "add", "default", "via", "198.51.100.1")
    node.upstream.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
    node.upstream.serve("upstream", 80, 8080)
    web(node)
    node.start()
    return node


def ready(number, **more):
    """For each family an endpoint on this node."""
    return lambda pods: endpoint(pods.format(number), **more)


def gone(number, serving=True, **more):
    return ready(number, ready=False, serving=serving, terminating=True, **more)


def web(node, endpoints=(ready(1), ready(2)), families=tuple(FAMILIES), labels=(), slice_labels=(),
        **spec):
    """Service 'web', its slices, and the Node."""
    objects = [service("web", [FAMILIES[f][0] for f in families],
                       [("http", "TCP", 80, NODE_PORT)], type="NodePort", **spec)]
    objects[0]["metadata"]["labels"] = dict.fromkeys(labels, "")
    for family in families:
        made = [e(FAMILIES[family][2]) for e in endpoints]
        objects.append(endpointslice(f"web-{family.lower()}", "web", made, [("http", "TCP", 8080)],
                                     family))
        objects[-1]["metadata"]["labels"].update(dict.fromkeys(slice_labels, ""))
    node.write("web.json", *objects)


def the_node(node, *addresses, zone=None):
    node.write("node.json", node_object(*addresses, zone=zone))


def reached(host, address, port=80):
    """The servers that answer there, or what becomes of the packets."""
    answers = {a.split()[0] for a in host.ask_all([(address, port, "tcp", 0.3, None)] * 30)}
    return {OUTCOMES.get(a, a) for a in answers}


def wait_until(host, address, want, port=80):
    """Under load an answer can be late, so what is wanted has some time to come."""
    last = []

    def right():
        last[:] = [reached(host, address, port)]
        return last[0] == want
    try:
        wait_for("packets", right)
    except AssertionError as e:
        raise AssertionError(f"{address}: {last[0]} instead of {want}") from e


def test_terminating_endpoints(world, family):  # EP-1, EP-2, EP-3, EP-4
    cluster_ip, _, _, node_ip = FAMILIES[family]
    the_node(world)
    for endpoints, want in (((ready(1), gone(2)), {"pod1"}),
                            ((gone(1), gone(2)), BOTH),
                            ((gone(1), gone(2, serving=False)), {"pod1"}),
                            ((gone(1, serving=False), gone(2, serving=False)), {"reject"}),
                            ((ready(1), ready(2, ready=False)), {"pod1"}),
                            ((ready(1, ready=False),), {"reject"})):
        web(world, endpoints)
        wait_until(world.client, cluster_ip, want)
    # The fallback of the local set does not depend on the cluster set.
    web(world, (gone(1), ready(2, node="node2")), externalTrafficPolicy="Local")
    wait_until(world.outside, node_ip, {"pod1"}, NODE_PORT)
    wait_until(world.client, node_ip, {"pod2"}, NODE_PORT)
    web(world, (gone(1, serving=False), ready(2, node="node2")), externalTrafficPolicy="Local")
    wait_until(world.outside, node_ip, {"drop"}, NODE_PORT)
    web(world)


def test_hints(world, family):  # EP-6 ... EP-9, EP-11, ND-5
    cluster_ip, _, _, node_ip = FAMILIES[family]
    a, b = ready(1, forZones=["a"]), ready(2, forZones=["b"])
    web(world, (a, b))
    for zone, want in (("a", {"pod1"}), ("b", {"pod2"}), ("c", BOTH), (None, BOTH), ("a", {"pod1"})):
        the_node(world, zone=zone)
        wait_until(world.client, cluster_ip, want)
    wait_until(world.outside, node_ip, {"pod1"}, NODE_PORT)
    for endpoints, want in (((a, ready(2)), BOTH),
                            ((a, b, gone(2)), {"pod1"}),
                            ((ready(1, forNodes=["node2"]), ready(2, forNodes=["node1"])), {"pod2"}),
                            ((ready(1, forZones=["a"], forNodes=["node2"]),
                              ready(2, forZones=["b"], forNodes=["node1", "node3"])), {"pod2"}),
                            ((ready(1, forZones=["a"], forNodes=["node2"]),
                              ready(2, forZones=["b"])), {"pod1"})):
        web(world, endpoints)
        wait_until(world.client, cluster_ip, want)
    # Never for the local set.
    web(world, (a, b), externalTrafficPolicy="Local")
    wait_until(world.outside, node_ip, BOTH, NODE_PORT)
    wait_until(world.client, node_ip, {"pod1"}, NODE_PORT)
    the_node(world)
    web(world)


def test_families(world):  # DS-3, DS-4
    for families in (["IPv4"], ["IPv6", "IPv4"], ["IPv6"], ["IPv4", "IPv6"]):
        web(world, families=families)
        for name, (cluster_ip, *_, node_ip) in FAMILIES.items():
            wait_until(world.client, cluster_ip, BOTH if name in families else {"upstream"})
            wait_until(world.outside, node_ip, BOTH if name in families else {"reject"}, NODE_PORT)


@pytest.mark.parametrize("label", ["service.kubernetes.io/headless",
                                   "service.kubernetes.io/service-proxy-name"])
def test_opt_out_labels(world, label):  # IN-5, IN-6
    for cluster_ip, *_ in FAMILIES.values():
        web(world, labels=[label], slice_labels=[label])
        wait_until(world.client, cluster_ip, {"upstream"})
        web(world, slice_labels=[label])
        wait_until(world.client, cluster_ip, {"reject"})
        web(world)
        wait_until(world.client, cluster_ip, BOTH)


def test_addresses_come_before_node_ports(world, family):  # FE-1
    _, _, pods, node_ip = FAMILIES[family]
    web(world)
    wait_until(world.outside, node_ip, BOTH, NODE_PORT)
    world.write("first.json", service("first", [FAMILIES[family][0] + "5"],
                                      [("http", "TCP", NODE_PORT)], externalIPs=[node_ip]),
                endpointslice("first-a", "first", [pods.format(2)], [("http", "TCP", 8080)], family))
    wait_until(world.outside, node_ip, {"pod2"}, NODE_PORT)
    world.write("first.json")
    wait_until(world.outside, node_ip, BOTH, NODE_PORT)


def test_unused_service_addresses(world, family):  # RJ-3
    unused = FAMILIES[family][1]
    hosts = (world.client, world, world.outside)
    for host in hosts:
        wait_until(host, unused, {"upstream"})
    world.write("cidr.json", {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
                              "metadata": {"name": "kubernetes"},
                              "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}})
    for host in hosts:
        wait_until(host, unused, {"drop"})
        wait_until(host, FAMILIES[family][0], BOTH)
    world.write("cidr.json")
    for host in hosts:
        wait_until(host, unused, {"upstream"})


def test_masquerading_uses_one_bit_and_clears_it(world, family):  # MQ-1, MQ-2
    cluster_ip, _, pods, node_ip = FAMILIES[family]
    table, upstream = {"IPv4": ("ip", "198.51.100.2"), "IPv6": ("ip6", "2001:db8:1::2")}[family]
    world.run("nft", "-f", "-", input=f"""
        table {table} marks {{
            chain set-some {{
                type filter hook prerouting priority -300;
                meta mark set 0x8001
            }}
            chain check {{
                type filter hook postrouting priority 200;
                tcp dport 8080 meta mark != 0x8001 drop
            }}
        }}""")
    try:
        wait_until(world.client, cluster_ip, BOTH)  # not masqueraded
        wait_until(world.client, node_ip, BOTH, NODE_PORT)  # masqueraded
        wait_until(world.outside, cluster_ip, BOTH)
        # What is not ours keeps its address.
        assert world.client.ask(upstream, 8080).peers == {pods.format(9)}
    finally:
        world.run("nft", "delete", "table", table, "marks")


def test_established_flow_survives_its_endpoint(world, family):  # FE-2
    server = world.pod1.serve_echo(9000)
    cluster_ip, _, pods, *_ = FAMILIES[family]

    def write(addresses):
        world.write("flow.json", service("flow", [cluster_ip + "5"], [("http", "TCP", 80)]),
                    endpointslice("flow-a", "flow", addresses, [("http", "TCP", 9000)], family))
    write([pods.format(1)])
    wait_for("the Service", lambda: any(s["name"] == "flow" and s["endpoints"]
                                        for s in world.dump()["services"]))
    flow = Flow(world.client, cluster_ip + "5", 80)
    write([])
    wait_until(world.client, cluster_ip + "5", {"reject"})
    assert flow.lives()
    flow.close()
    server.kill()
    world.write("flow.json")


def test_node_port_addresses(world, family):  # NP-1, NP-2, NP-4, NP-7, ND-8
    address = {"IPv4": "192.0.2.{}", "IPv6": "2001:db8::{}"}[family].format
    bits = {"IPv4": 24, "IPv6": 64}[family]
    primary = FAMILIES[family][3]

    def change(what, last):
        world.run("ip", "addr", what, f"{address(last)}/{bits}", "dev", "eth1",
                  *(["nodad"] if family == "IPv6" and what == "add" else []))
    the_node(world)
    change("add", 50)
    try:
        wait_until(world.outside, primary, BOTH, NODE_PORT)
        wait_until(world.outside, address(50), {"reject"}, NODE_PORT)
        # The Node gets another address.
        the_node(world, *(f[3] if name != family else address(50) for name, f in FAMILIES.items()))
        wait_until(world.outside, address(50), BOTH, NODE_PORT)
        wait_until(world.outside, primary, {"reject"}, NODE_PORT)
        for flags, other in ((["192.0.2.48/28,2001:db8::50/124"], {"reject"}),
                             (["0.0.0.0/0,::/0"], BOTH)):
            world.stop()
            world.start(f"--nodeport-addresses={flags[0]}")
            wait_until(world.outside, address(50), BOTH, NODE_PORT)
            wait_until(world.outside, primary, other, NODE_PORT)
            # Addresses come and go on the interface.
            change("add", 51)
            wait_until(world.outside, address(51), BOTH, NODE_PORT)
            change("del", 51)
            change("add", 80)
            wait_until(world.outside, address(80), other, NODE_PORT)
            change("del", 80)
        # Loopback never serves; a family that is not named does on all addresses.
        loopback = "127.0.0.1" if family == "IPv4" else "::1"
        wait_until(world, loopback, {"reject"}, NODE_PORT)
        world.stop()
        world.start("--nodeport-addresses=" + ("2001:db8::/64" if family == "IPv4" else
                                               "192.0.2.0/24"))
        wait_until(world.outside, address(50), BOTH, NODE_PORT)
    finally:
        change("del", 50)
        the_node(world)
        world.stop()
        world.start()
