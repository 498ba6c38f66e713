# SPDX-License-Identifier: GPL-2.0-or-later
"""Real connections through rules that kproxy made."""
import signal

from node import Node, endpointslice, node_object, service, wait_for

MODES = ("nft", "bpf")

IP4, IP6 = "10.96.0.10", "fd00:10:96::10"
PORTS = [("http", "TCP", 80, 30080), ("dns", "UDP", 53, 30053)]
TARGETS = [("http", "TCP", 8080), ("dns", "UDP", 8080)]


def web(node, numbers, ports=PORTS):
    """The Service 'web' with the pods of these numbers as endpoints, in both families."""
    node.write("web.json", node_object(), service("web", [IP4, IP6], ports),
               endpointslice("web-4", "web", [f"10.180.0.{n}" for n in numbers], TARGETS),
               endpointslice("web-6", "web", [f"fd00:10:180::{n:x}" for n in numbers], TARGETS,
                             "IPv6"))


def frontends():
    """Every way to reach 'web': address, port, protocol, cluster IP?"""
    for cluster_ip, node_ip in ((IP4, Node.IP4), (IP6, Node.IP6)):
        yield cluster_ip, 80, "tcp", True
        yield cluster_ip, 53, "udp", True
        yield node_ip, 30080, "tcp", False
        yield node_ip, 30053, "udp", False


def assert_rejected(got, proto, source, what):
    """The kernel tells a local sender of UDP by EPERM that its packet was rejected on the way out."""
    local_udp = proto == "udp" and isinstance(source, Node)
    assert set(got.errors) <= {"ConnectionRefusedError"} | ({"PermissionError"} if local_udp
                                                            else set()), what
    assert got.errors and not got.servers, what
    assert got.slowest < 0.5, what


def test_every_frontend_reaches_every_endpoint(node):  # DP-1, DP-5, LB-1, DS-1
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1, 2, 3])
    node.start()
    for address, port, proto, is_cluster_ip in frontends():
        node_ip = Node.IP6 if ":" in address else Node.IP4
        for source, own in ((client, client.ip6 if ":" in address else client.ip4),
                            (node.outside, None), (node, None)):
            got = source.ask(address, port, proto, 40)
            assert not got.errors, (address, port, proto, source.ns)
            assert set(got.servers) == {"pod1", "pod2", "pod3"}, (address, port, proto)
            if is_cluster_ip and own:
                assert got.peers == {own}  # a pod keeps its address
            elif source is node.outside:
                assert Node.OUTSIDE4 not in got.peers and Node.OUTSIDE6 not in got.peers
            if not is_cluster_ip and own:
                # With hooks no packet goes to the node port, so that there is nothing to rewrite.
                assert (own in got.peers) == (node.mode == "bpf")  # DP-9
        assert node_ip


def test_hairpin_pod_reaches_itself(node):  # HP-1
    pod = node.pod(1, 8080)
    web(node, [1])
    node.start()
    for address, own in ((IP4, pod.ip4), (IP6, pod.ip6)):
        got = pod.ask(address, 80, count=5)
        # With hooks the pod talks to itself, and no packet leaves it.
        assert got.servers == {"pod1": 5} and (own in got.peers) == (node.mode == "bpf")


def test_no_endpoints_rejects_at_once(node):  # DP-4, DP-8, RJ-1, RJ-7
    client = node.pod(9)
    node.pod(1, 8080)
    web(node, [])
    node.start()
    for address, port, proto, _ in frontends():
        for source in (client, node.outside, node):
            assert_rejected(source.ask(address, port, proto), proto, source,
                            (address, port, proto, source.ns))
    web(node, [1])
    wait_for("the first endpoint is served", lambda: not client.ask(IP4, 80).errors)


def test_unknown_port_of_a_cluster_ip_rejects(node):  # RJ-2
    client = node.pod(9)
    node.pod(1, 8080)
    web(node, [1])
    node.start()
    for address in (IP4, IP6):
        for source in (client, node.outside, node):
            for proto in ("tcp", "udp"):
                assert_rejected(source.ask(address, 81, proto), proto, source,
                                (address, proto, source.ns))


def test_node_port_only_on_the_primary_address(node):  # NP-4, NP-7
    node.pod(1, 8080)
    node.run("ip", "addr", "add", "192.0.2.77/24", "dev", "eth1")
    web(node, [1])
    node.start()
    assert node.outside.ask(Node.IP4, 30080).servers == {"pod1": 1}
    assert node.outside.ask("192.0.2.77", 30080).errors == {"ConnectionRefusedError": 1}
    node.stop()
    node.start("--nodeport-addresses=all")
    assert node.outside.ask("192.0.2.77", 30080).servers == {"pod1": 1}
    # NP-2; the hooks need no route_localnet, so that loopback is like other addresses.
    assert bool(node.ask("127.0.0.1", 30080).errors) == (node.mode == "nft")


def test_one_endpoint_more_and_one_less(node):  # RJ-7, ES-7
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1, 2])
    node.start()
    for numbers in ([1, 2, 3], [2, 3], [3], [3, 1], [1, 2, 3]):
        web(node, numbers)
        want = {f"pod{n}" for n in numbers}
        wait_for(f"endpoints {want}", lambda: set(client.ask(IP4, 80, count=30).servers) == want)
        # Made from nothing, it would be the same.
        assert node.run(*node.argv("--dry-run")).stdout == ""


def test_restart_changes_nothing(node):  # SY-10, SY-11
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    before = node.run("nft", "-a", "list", "ruleset").stdout
    node.stop(signal.SIGKILL)
    assert client.ask(IP4, 80).servers == {"pod1": 1}
    node.start()
    assert node.run("nft", "-a", "list", "ruleset").stdout == before


def test_ruleset_lists_and_loads_with_nft(node):
    web(node, [1, 2, 3])
    node.write("more.json",
               service("more", ["10.96.0.11", "fd00:10:96::11"], [("http", "TCP", 80, 30081)],
                       vips=["203.0.113.1", "2001:db8:5::1"], sessionAffinity="ClientIP",
                       internalTrafficPolicy="Local", externalTrafficPolicy="Local",
                       loadBalancerSourceRanges=["192.0.2.0/24", "2001:db8::/64"],
                       type="LoadBalancer", healthCheckNodePort=32000),
               endpointslice("more-4", "more", ["10.180.0.1"], [("http", "TCP", 8080)]))
    node.once()
    listing = node.run("nft", "list", "ruleset").stdout
    assert 'comment "default/web:http"' in node.run("nft", "list", "map", "ip", "kproxy",
                                                    "services").stdout
    node.run("nft", "flush", "ruleset")
    node.run("nft", "-f", "-", input=listing)
    assert node.run("nft", "list", "ruleset").stdout == listing


def test_cleanup_leaves_foreign_tables_alone(node):  # CL-1
    node.run("nft", "add table inet theirs; add chain inet theirs c")
    before = node.run("nft", "list", "ruleset").stdout
    web(node, [1])
    node.once()
    node.run(*node.argv("--cleanup"))
    assert node.run("nft", "list", "ruleset").stdout == before
    node.run(*node.argv("--cleanup"))  # nothing to remove is success


def test_same_number_of_rules_for_any_number_of_services(node):
    counts = []
    for n in (10, 1000):
        node.write("many.json", *[o for i in range(n) for o in (
            service(f"s{i}", [f"10.96.{i >> 8}.{i & 255}"], [("http", "TCP", 80)]),
            endpointslice(f"s{i}-a", f"s{i}", [f"10.180.{i >> 8}.{i & 255}"],
                          [("http", "TCP", 8080)]))][2:])
        node.once()
        listing = node.run("nft", "-s", "list", "ruleset").stdout
        counts.append(sum(1 for line in listing.splitlines()
                          if "goto" in line or "dnat" in line or "chain" in line))
        assert len(node.dump()["services"]) == n - 1
    assert counts[0] == counts[1]


def test_dry_run_changes_nothing(node):
    web(node, [1])
    out = node.run(*node.argv("--dry-run")).stdout
    assert "+ default/web:http tcp ClusterIP 10.96.0.10:80 internal" in out
    assert node.run("nft", "list", "ruleset").stdout == ""


def test_two_services_with_one_cluster_ip(node):  # FE-4
    web(node, [1])
    node.write("zz.json", service("zz", [IP4], [("http", "TCP", 80)]),
               endpointslice("zz-4", "zz", ["10.180.0.9"], [("http", "TCP", 8080)]))
    result = node.once(check=False)
    assert result.returncode == 1 and result.stderr.count("service=default/zz") == 1
    assert [s["name"] for s in node.dump()["services"] if s["portName"] == "http"].count("zz") == 0
