#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long until all is right again when somebody else changed our rules, by the number of Services, and
what does it cost to look each second whether something went unnoticed?

Run as root after 'make': bench/repair.py [SERVICES ...].  The time is from the kernel's message of the
foreign commit to the one of kproxy's last, and beside it the daemon's processor time; looking costs what
an idle daemon uses.  Medians.
"""
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/netns"))

import cluster  # noqa: E402
from generations import Generations  # noqa: E402
from node import Node, wait_for  # noqa: E402

CHANGES = {"rule": "add rule ip kproxy dispatch drop",
           "element": f"delete element ip kproxy services {{ {cluster.cluster_ip(1)} . tcp . 80 }}",
           "ruleset": "flush ruleset"}
ROUNDS, IDLE_S = 5, 30


def cpu_us(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1000


def repair_ms(node, generations, command):
    """Right when there is as much as before; what it consists of, the tests look at."""
    before, start_us = n_objects(node), cpu_us(node.daemon.pid)
    generations.mark()
    node.run("nft", command)
    wait_for("the repair", lambda: n_objects(node) == before and
             generations.repair_ms(), 60)
    return generations.repair_ms(), (cpu_us(node.daemon.pid) - start_us) / 1000


def n_objects(node):
    return node.run("nft", "-t", "list", "ruleset").stdout.count("\n"), \
        sum(len(s["endpoints"]) for s in node.dump()["services"])


def measure(node, n_services, directory):
    cluster.write_manifests(os.path.join(node.directory, "all.json"), n_services)
    node.start()
    generations = Generations(node, Path(directory) / "generations")
    cells = []
    for command in CHANGES.values():
        rounds = [repair_ms(node, generations, command) for _ in range(ROUNDS)]
        cells.append("{:7.1f} ({:6.1f})".format(*map(statistics.median, zip(*rounds))))
    time.sleep(2)  # it has still to forget what the repair needed
    start_us = cpu_us(node.daemon.pid)
    time.sleep(IDLE_S)
    idle_us = (cpu_us(node.daemon.pid) - start_us) / IDLE_S
    print(f"{n_services:8}  {'  '.join(cells)}  {idle_us:14.1f}", flush=True)


def main():
    print("Services  " + "  ".join(f"{name + ', ms (CPU)':>16}" for name in CHANGES) +
          "  look, us each s")
    for n in map(int, sys.argv[1:] or ("100", "1000", "10000")):
        with tempfile.TemporaryDirectory() as manifests, tempfile.TemporaryDirectory() as directory:
            node = Node(manifests)
            try:
                measure(node, n, directory)
            finally:
                node.close()


if __name__ == "__main__":
    main()
