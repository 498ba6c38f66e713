# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever someone else does to our rules is undone at once."""
import pytest

from node import endpointslice, service, wait_for
from test_traffic import IP4, web


def ruleset(node):
    """Tables, sets and chains, in any order."""
    return sorted(part.strip("{}\n\t ") for family in ("ip", "ip6") for part in node.run(
        "nft", "-s", "list", "table", family, "kproxy", check=False).stdout.split("\n\n"))


@pytest.mark.parametrize("command", [
    "flush ruleset",
    "delete table ip kproxy",
    "flush table ip6 kproxy",
    "flush chain ip kproxy dispatch",
    "flush chain ip kproxy nat-prerouting; delete chain ip kproxy nat-prerouting",
    "delete element ip kproxy slots-4 { 10.96.0.10 . tcp . 80 }",
    "flush map ip kproxy services",
    "add element ip kproxy cluster-ips { 10.96.99.99 }",
    "add rule ip kproxy dispatch drop",
    "add chain ip kproxy theirs",
    "add set ip kproxy theirs { type ipv4_addr; }",
    "add table ip kproxy { flags dormant; }",
    "add chain ip kproxy filter-input { policy drop; }",
    "add chain ip kproxy " + 100 * "x",
    "add element ip kproxy sticky-services { 192.0.2.9 . tcp . 9 : bfff:0 }",
])
def test_foreign_change_is_repaired(node, command):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1, 2, 3])
    node.start()
    before = ruleset(node)
    for _ in range(10):
        node.run("nft", command)
        wait_for(f"repair after {command}", lambda: ruleset(node) == before)
    web(node, [1])
    wait_for("changes go on", lambda: client.ask(IP4, 80, count=5).servers == {"pod1": 5})


def test_foreign_tables_wake_nobody(node, tmp_path):
    web(node, [1])
    log = (tmp_path / "log").open("w")
    node.start("--log-level=debug", stderr=log)
    n_before = (tmp_path / "log").read_text().count("sync done")
    for i in range(20):
        node.run("nft", f"add table ip theirs{i}; add set ip theirs{i} s {{ type ipv4_addr; }}; "
                 f"add element ip theirs{i} s {{ 192.0.2.1 }}; delete table ip theirs{i}")
    web(node, [1, 2])  # the next sync is that of this change
    wait_for("the change is synced", lambda: len(
        [e for s in node.dump()["services"] for e in s["endpoints"]]) == 8)
    assert (tmp_path / "log").read_text().count("sync done") == n_before + 1


def test_others_change_their_rules_without_pause(node):
    """A dump that their changes interrupt is asked for again, and spoils nothing that follows."""
    client = node.pod(9)
    node.pod(1, 8080)
    node.write("many.json", *[o for n in range(1000) for o in many(n)])
    web(node, [1])
    node.start()
    storm = node.popen("sh", "-c", "while :; do nft add table ip theirs; nft delete table ip theirs; done")
    for _ in range(100):
        node.run("nft", "flush map ip kproxy services", check=False)
    storm.kill()
    storm.wait()
    wait_for("all is repaired", lambda: len(node.dump()["services"]) == 1004, 30)
    assert client.ask(IP4, 80, count=5).servers == {"pod1": 5}


def many(n):
    ip = f"{n >> 8}.{n & 255}"
    return (service(f"s{n}", [f"10.97.{ip}"], [("http", "TCP", 80)]),
            endpointslice(f"s{n}-a", f"s{n}", [f"10.181.{ip}", f"10.182.{ip}"],
                          [("http", "TCP", 8080)]))
