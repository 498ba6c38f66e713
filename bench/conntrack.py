#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs to delete the stale flows of one endpoint, by the size of the table.

Run as root after 'make': bench/conntrack.py [ENTRIES ...].  One of two endpoints of a UDP Service with
a ClusterIP and a node port leaves, over and over, and each time 1000 clients have to move.  Prints
medians: of the time from the first to the last answer of the kernel, and of the time that a sync takes.
"""
import os
import re
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/netns"))

from conntrack_table import fill_table  # noqa: E402
from node import Node, endpointslice, node_object, service, wait_for  # noqa: E402

IP, N_CLIENTS, N_CHANGES = "10.96.0.10", 1000, 10

CLIENTS = f"""
import socket
for i in range({N_CLIENTS}):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", 20000 + i))
    s.sendto(b"?", ("{IP}", 53))
    s.close()
"""


def endpoints(node, numbers):
    node.write("slice.json", endpointslice("dns-4", "dns", [f"10.180.0.{n}" for n in numbers],
                                           [("dns", "UDP", 8080)]))


def values(log, pattern):
    log.seek(0)
    return [int(value) for value in re.findall(pattern, log.read())]


def deletions(log):
    return values(log, r'"stale flows deleted" entries=\d+ took_us=(\d+)')


def measure(node, n_entries, log):
    for n in (1, 2):
        node.pod(n)
    client = node.pod(9)
    fill_table(node, n_entries)
    node.write("dns.json", node_object(), service("dns", [IP], [("dns", "UDP", 53, 30053)]))
    endpoints(node, [1, 2])
    node.start("--log-level=debug", stderr=log)
    wait_for("the first passes", lambda: len(deletions(log)) == 2)
    for i in range(N_CHANGES):
        client.run(sys.executable, "-c", CLIENTS)
        endpoints(node, [1 + i % 2])
        wait_for("a pass", lambda n=i: len(deletions(log)) == 3 + n)
    took = statistics.median(deletions(log)[2:]) / 1000
    deleted = statistics.median(values(log, r"deleted\" entries=(\d+)")[2:])
    sync = statistics.median(values(log, r"full=0 .* took_us=(\d+)")) / 1000
    print(f"{n_entries:8} {took:10.1f} {deleted:8.0f} {sync:8.2f}", flush=True)


def main():
    print(" entries    pass ms  deleted  sync ms")
    for n_entries in map(int, sys.argv[1:] or (0, 100000, 500000)):
        with tempfile.TemporaryDirectory() as directory, \
                tempfile.TemporaryFile("w+", encoding="utf-8") as log:
            node = Node(directory)
            try:
                measure(node, n_entries, log)
            finally:
                node.close()


if __name__ == "__main__":
    main()
