# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules as the modes of kube-proxy make them, for Services of bench/cluster.py; and rules of others next
to them, with names that are close to kube-proxy's."""
import base64
import hashlib
import os
import re
import sys

import pytest
from node import endpointslice, node_object, service

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../bench"))
import cluster

SHAPES = ("nftables", "iptables-nft", "iptables-legacy")
IPTABLES = SHAPES[1:]
KEEP = "--keep-kube-proxy-rules"

# Where built-in chains lead to, in the tables of iptables.
JUMPS = {
    "filter": (("INPUT", "KUBE-PROXY-FIREWALL"), ("INPUT", "KUBE-NODEPORTS"),
               ("INPUT", "KUBE-EXTERNAL-SERVICES"), ("FORWARD", "KUBE-PROXY-FIREWALL"),
               ("FORWARD", "KUBE-FORWARD"), ("FORWARD", "KUBE-SERVICES"),
               ("FORWARD", "KUBE-EXTERNAL-SERVICES"), ("OUTPUT", "KUBE-PROXY-FIREWALL"),
               ("OUTPUT", "KUBE-SERVICES")),
    "nat": (("PREROUTING", "KUBE-SERVICES"), ("OUTPUT", "KUBE-SERVICES"),
            ("POSTROUTING", "KUBE-POSTROUTING")),
    "mangle": (),
}

FORWARD = """\
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT""".split("\n")

MASQUERADE = """\
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "for -j KUBE-SERVICES" -j MASQUERADE --random-fully""".split("\n")

# The kubelet's, kube-router's and a CNI plugin's; nothing of it leads to kube-proxy's chains.
OTHERS = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:KUBE-POD-FW-ABCDEFGH - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A INPUT -m comment --comment "not \\"really\\" -j KUBE-SERVICES" -j KUBE-ROUTER-INPUT
-A KUBE-ROUTER-INPUT -j KUBE-POD-FW-ABCDEFGH
-A KUBE-POD-FW-ABCDEFGH -j KUBE-NWPLCY-DEFAULT
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-DROP - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A KUBE-MARK-DROP -j MARK --or-mark 0x8000
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
"""


def as_ipv6(rules):
    """The same for IPv6.  Chain names, in which addresses stand behind "__", stay."""
    for pattern, text in ((r"table ip ", "table ip6 "), (r" ip kube-proxy", " ip6 kube-proxy"),
                          (r"ipv4_addr", "ipv6_addr"), (r"\bip ([sd]addr)", r"ip6 \1"),
                          (r"127\.0\.0\.0/8", "::1"), (r"/32\b", "/128"),
                          (re.escape(cluster.PODS), "fd00:10:180::/64"),
                          (r"172\.16\.(\d+)\.(\d+)", r"fd00:10:96::\1:\2"),
                          (r"(?<!__)10\.180\.(\d+)\.(\d+):(\d+)", r"[fd00:10:180::\1:\2]:\3"),
                          (r"(?<!__)10\.180\.(\d+)\.(\d+)", r"fd00:10:180::\1:\2")):
        rules = re.sub(pattern, text, rules)
    return rules


def hashed(prefix, *parts):
    return prefix + base64.b32encode(hashlib.sha256("/".join(parts).encode()).digest())[:16].decode()


def service_rules(n):
    """Of one Service; those of its endpoints first."""
    ip, port = cluster.cluster_ip(n), cluster.PORT
    svc, ext = hashed("KUBE-SVC-", ip), hashed("KUBE-EXT-", ip)
    addresses = cluster.endpoints(n)
    yield (f"-A {svc} ! -s {cluster.PODS} -d {ip}/32 -p tcp -m tcp --dport {port} "
           "-j KUBE-MARK-MASQ")
    for left, address in zip(range(len(addresses), 0, -1), addresses):
        sep = hashed("KUBE-SEP-", ip, address)
        yield f"-A {sep} -s {address}/32 -m comment --comment \"service {n}\" -j KUBE-MARK-MASQ"
        yield (f"-A {sep} -p tcp -m comment --comment \"service {n}\" -m tcp "
               f"-j DNAT --to-destination {address}:{cluster.TARGET_PORT}")
        chance = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
        yield f"-A {svc} {chance}-j {sep}"
    yield f"-A KUBE-SERVICES -d {ip}/32 -p tcp -m tcp --dport {port} -j {svc}"
    if cluster.node_port(n):
        yield f"-A {ext} -j KUBE-MARK-MASQ"
        yield f"-A {ext} -j {svc}"
        yield f"-A KUBE-NODEPORTS -p tcp -m tcp --dport {cluster.node_port(n)} -j {ext}"


def table(name, rules, chains=()):
    """For iptables-restore; chains are those in which rules are."""
    jumps = [f"-A {chain} -m comment --comment \"service portals\" -j {target}"
             for chain, target in JUMPS[name]]
    names = {line.split()[1] for line in rules} | {target for _, target in JUMPS[name]}
    return "\n".join([f"*{name}", *(f":{chain} - [0:0]" for chain in sorted(names | set(chains))),
                      *jumps, *rules, "COMMIT", ""])


def iptables(n_services):
    """Of the iptables mode, for iptables-restore --noflush."""
    nat = [line for n in range(n_services) for line in service_rules(n)]
    nat.append("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
    canary = ["KUBE-PROXY-CANARY"]
    return (table("filter", FORWARD, canary) + table("nat", nat + MASQUERADE, canary) +
            table("mangle", [], canary))


def install(node, shape, n_services):
    """Puts rules in place as a kube-proxy of this shape would: nftables, iptables-nft or
    iptables-legacy."""
    if shape == "nftables":
        rules = cluster.kube_proxy_shape(n_services)
        node.run("nft", "-f", "-", input=rules + as_ipv6(rules))
    else:
        restore(node, shape, iptables(n_services))


def restore(node, shape, rules):
    """Adds rules to those of iptables and ip6tables."""
    node.run(f"{shape}-restore", "--noflush", "-w", input=rules)
    node.run(f"{shape.replace('ip', 'ip6', 1)}-restore", "--noflush", "-w", input=as_ipv6(rules))


def need(node, shape):
    if shape == "iptables-legacy" and node.run("iptables-legacy", "-w", "-L", check=False).returncode:
        pytest.skip("this kernel has no iptables-legacy")


def saved(node, shape):
    """What iptables and ip6tables have, without comments.  With counters, but not those of policies,
    which iptables-legacy-restore forgets, and not those of IPv6, which sends packets by itself."""
    four = re.sub(r"(?m)^(:.*)\[\d+:\d+\]", r"\1", node.run(f"{shape}-save", "-c").stdout)
    six = re.sub(r"\[\d+:\d+\]", "", node.run(f"{shape.replace('ip', 'ip6', 1)}-save").stdout)
    return [line for line in (four + six).split("\n") if not line.startswith("#")]


def left(node):
    """Whether anything of kube-proxy is in the kernel, by the words of other programs."""
    rules = node.run("nft", "list", "ruleset").stdout
    for shape in IPTABLES:
        rules += "\n".join(saved(node, shape))
    return sorted(word for word in set(rules.replace(":", " ").split()) if word == "kube-proxy" or word in (
        "KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-FORWARD", "KUBE-PROXY-CANARY", "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ") or word.startswith(("KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-")))


def write_manifests(node, n_services):
    """The same Services for kproxy."""
    node.write("node.json", node_object())
    for n in range(n_services):
        six = [as_ipv6(a) for a in cluster.endpoints(n)]
        ports, target = [("http", "TCP", cluster.PORT)], [("http", "TCP", cluster.TARGET_PORT)]
        if cluster.node_port(n):
            ports = [(*ports[0], cluster.node_port(n))]
        ips = [cluster.cluster_ip(n), as_ipv6(cluster.cluster_ip(n))]
        node.write(f"s{n}.json", service(f"s{n}", ips, ports),
                   endpointslice(f"s{n}-4", f"s{n}", cluster.endpoints(n), target),
                   endpointslice(f"s{n}-6", f"s{n}", six, target, "IPv6"))
