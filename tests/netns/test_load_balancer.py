# SPDX-License-Identifier: GPL-2.0-or-later
"""Load balancer and external IPs, and the sources that a load balancer admits.

'upstream' has all of these addresses: what is not translated ends there, and it says so."""
import pytest

from node import Node, endpointslice, node_object, service, wait_for

MODES = ("nft", "bpf")

FAMILIES = {
    "IPv4": {"cluster": "10.96.0.10", "external": "203.0.113.1", "vip": "203.0.113.101",
             "proxy": "203.0.113.102", "pod": "10.180.0.1", "node": Node.IP4,
             "outside": Node.OUTSIDE4, "all": "0.0.0.0/0", "pods": "10.180.0.0/16",
             "network": "203.0.113.0/24", "host": "{}/32"},
    "IPv6": {"cluster": "fd00:10:96::10", "external": "2001:db8:5::1", "vip": "2001:db8:5::101",
             "proxy": "2001:db8:5::102", "pod": "fd00:10:180::1", "node": Node.IP6,
             "outside": Node.OUTSIDE6, "all": "::/0", "pods": "fd00:10:180::/64",
             "network": "2001:db8:5::/112", "host": "{}/128"},
}
NODE_PORT = 30080


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def world(shared_node):
    node = shared_node
    node.pod(1, 8080)
    node.client = node.pod(9)
    for f in FAMILIES.values():
        node.upstream.run("ip", "route", "add", "local", f["network"], "dev", "lo")
    # The node and the outside client reach it, and it answers.
    node.upstream.run("ip", "route", "add", "default", "via", "198.51.100.1")
    node.upstream.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
    node.upstream.serve("upstream", 80, 81)
    write(node)
    node.start()
    return node


def write(node, ranges=(), endpoints=True, addresses=(), externals=None):
    lb = service("web", [f["cluster"] for f in FAMILIES.values()],
                 [("http", "TCP", 80, NODE_PORT), ("dns", "UDP", 80, NODE_PORT)],
                 vips=[f["vip"] for f in FAMILIES.values()], type="LoadBalancer",
                 externalIPs=externals or [f["external"] for f in FAMILIES.values()],
                 loadBalancerSourceRanges=list(ranges))
    lb["status"]["loadBalancer"]["ingress"] += [{"ip": f["proxy"], "ipMode": "Proxy"}
                                                for f in FAMILIES.values()]
    node.write("web.json", node_object(*addresses), lb,
               *(endpointslice(f"web-{name.lower()}", "web", [f["pod"]] if endpoints else [],
                               [("http", "TCP", 8080), ("dns", "UDP", 8080)], name)
                 for name, f in FAMILIES.items()))


def ask(host, address, port=80, seconds=5, source=None, protocols=("tcp", "udp")):
    """The server that answers all of these, or what becomes of the packets."""
    kinds = {"TimeoutError": "drop", "ConnectionRefusedError": "reject",
             "PermissionError": "drop"}  # EPERM: dropped on the way out
    answers = host.ask_all([(address, port, proto, seconds, source) for proto in protocols])
    got = {kinds.get(a.split()[0], a.split()[0]) for a in answers}
    return got.pop() if len(got) == 1 else got


def dropped(host, address, source=None):
    return ask(host, address, seconds=0.3, source=source) == "drop"


def wait_until(host, address, want, source=None):
    wait_for(f"{want} at {address}",
             lambda: ask(host, address, seconds=0.3, source=source) == want)


def test_addresses_and_modes(world, family):  # SV-5, RJ-4
    write(world)
    wait_until(world.client, family["vip"], "pod1")
    for host in (world.client, world, world.outside):
        assert ask(host, family["vip"]) == ask(host, family["external"]) == "pod1"
        # Unknown ports of these addresses are nobody's business.
        for address, port in (("proxy", 80), ("vip", 81), ("external", 81)):
            assert ask(host, family[address], port, protocols=["tcp"]) == "upstream"


def test_source_ranges(world, family):  # FW-1, FW-2, FW-3, FW-6
    write(world, [family["host"].format(family["outside"])])
    wait_until(world.client, family["vip"], "drop")
    assert ask(world.outside, family["vip"]) == "pod1"
    assert dropped(world, family["vip"])
    for host in (world.client, world, world.outside):  # only load balancer addresses
        assert ask(host, family["external"]) == ask(host, family["cluster"]) == "pod1"
        assert ask(host, family["node"], NODE_PORT) == "pod1"
    write(world, [" " + family["pods"] + " ", "not a range"])  # SV-6
    wait_until(world.client, family["vip"], "pod1")
    assert dropped(world.outside, family["vip"])
    write(world, [family["all"], family["pods"]])
    wait_until(world.outside, family["vip"], "pod1")
    assert ask(world.client, family["vip"]) == ask(world, family["vip"]) == "pod1"


def test_ranges_of_the_other_family_do_not_count(world):  # FW-5, SV-6
    for name, other in (("IPv4", "IPv6"), ("IPv6", "IPv4")):
        write(world, [FAMILIES[other]["pods"]])
        wait_until(world.outside, FAMILIES[other]["vip"], "drop")
        assert ask(world.outside, FAMILIES[name]["vip"]) == "pod1"


def test_source_ranges_drop_rather_than_reject(world, family):  # FW-3, DP-8
    write(world, [family["pods"]], endpoints=False)
    wait_until(world.outside, family["vip"], "drop")
    wait_until(world.client, family["vip"], "reject")
    assert ask(world.outside, family["external"]) == "reject"


def test_established_flow_survives_new_ranges(world, family):  # FW-6, FE-2
    write(world)
    wait_until(world.outside, family["vip"], "pod1")
    script = ("import socket, sys; s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else "
              "socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect((sys.argv[1], 80))\n"
              "for line in sys.stdin: s.send(b'?'); print(s.recv(99).decode(), flush=True)")
    flow = world.outside.popen("python3", "-c", script, family["vip"], stdin=-1, stdout=-1)

    def echo():
        flow.stdin.write("\n")
        flow.stdin.flush()
        return flow.stdout.readline().split()[0]
    assert echo() == "pod1"
    write(world, [family["pods"]])
    wait_until(world.outside, family["vip"], "drop")
    assert echo() == "pod1"
    flow.stdin.close()
    assert flow.wait() == 0


def test_node_that_has_the_address_itself(world, family):  # FW-4
    """Some clouds assign the load balancer's address to the node, which then sends from it."""
    vip = family["vip"]
    world.run("ip", "addr", "add", family["host"].format(vip), "dev", "lo", "nodad"
              if ":" in vip else "scope", *([] if ":" in vip else ["global"]))
    try:
        write(world, [family["host"].format(family["outside"])])
        wait_until(world, vip, "drop", vip)
        # The ranges stay the same, and the node's address is one of them now.
        write(world, [family["host"].format(family["outside"])],
              addresses=[f["outside"] for f in FAMILIES.values()])
        wait_until(world, vip, "pod1", vip)
        assert dropped(world, vip, family["node"])
    finally:
        world.run("ip", "addr", "del", family["host"].format(vip), "dev", "lo")
        write(world)


def test_address_that_is_external_and_a_load_balancers(world, family):  # FW-1
    write(world, [family["pods"]], externals=[f["vip"] for f in FAMILIES.values()])
    wait_until(world.outside, family["vip"], "drop")
    assert ask(world.client, family["vip"]) == "pod1"
