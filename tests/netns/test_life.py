# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole life of the daemon, for sanitizers and valgrind: its exit status tells what they found."""
import os
import random

from node import endpointslice, service, wait_for

MODES = ("nft", "bpf")

PORTS = [("http", "TCP", 80, 30080), ("dns", "UDP", 53, 30053)]
TARGETS = [("http", "TCP", 8080), ("dns", "UDP", 8053)]


def listed(node, address):
    return address in node.run("nft", "list", "map", "ip", "kproxy", "services").stdout


def test_start_fifty_changes_and_stop(node):
    rng = random.Random(1)
    node.write("marker.json", service("marker", ["10.96.1.0"], [("http", "TCP", 80)]))
    node.start("--log-level=debug")
    for change in range(50):
        # Services and endpoints come, go, move and collide; the marker tells that it is done.
        name = f"s{rng.randrange(6)}"
        path = os.path.join(node.directory, name + ".json")
        if rng.randrange(4) == 0 and os.path.exists(path):
            os.unlink(path)
        else:
            number = rng.randrange(4)
            node.write(name + ".json",
                       service(name, [f"10.96.0.{number + 1}", f"fd00:10:96::{number + 1}"], PORTS),
                       endpointslice(name, name, [f"10.180.0.{rng.randrange(1, 9)}"
                                                  for _ in range(rng.randrange(6))], TARGETS))
        if rng.randrange(5) == 0:
            with open(os.path.join(node.directory, "bad.yaml"), "w", encoding="utf-8") as f:
                f.write("apiVersion: v1\nkind: Service\nmetadata: {name: bad, annotations: [\n")
        node.write("marker.json", service("marker", ["10.96.1.0"], [("http", "TCP", 80)]),
                   endpointslice("marker", "marker", [f"10.181.0.{change}"], TARGETS))
        wait_for(f"change {change}", lambda: listed(node, f"10.181.0.{change} "))
    assert node.stop() == 0
    node.once(check=False)
    assert node.run(*node.argv("--cleanup")).returncode == 0
