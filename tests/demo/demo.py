# SPDX-License-Identifier: GPL-2.0-or-later
"""A node, three server pods, a client pod and an outside client; kproxy balances between them."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../netns"))
from node import KPROXY, Node, endpointslice, node_object, service, wait_for  # noqa: E402

CLUSTER_IP, PORTS = "10.96.0.10", [("http", "TCP", 80, 30080)]


def scale(node, pods):
    node.write("web.json", node_object(), service("web", [CLUSTER_IP], PORTS),
               endpointslice("web-1", "web", [f"10.180.0.{n}" for n in pods],
                             [("http", "TCP", 8080)]))


def show(node, client, pods):
    want = {f"pod{n}" for n in pods}
    wait_for("the change is in the kernel",
             lambda: set(client.ask(CLUSTER_IP, 80, count=30).servers) == want)
    for who, source, address, port in (("client pod ", client, CLUSTER_IP, 80),
                                       ("outside    ", node.outside, Node.IP4, 30080)):
        got = source.ask(address, port, count=300)
        counts = "  ".join(f"{name}: {n}" for name, n in sorted(got.servers.items()))
        print(f"  {who} -> {address}:{port:<6} 300 connections   {counts}")


def play(node):
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    scale(node, [1, 2, 3])
    node.start()
    print("\nService default/web with three endpoints:")
    show(node, client, [1, 2, 3])
    print("\nScaled down to two, by editing the manifest:")
    scale(node, [1, 3])
    show(node, client, [1, 3])
    print("\n$ kproxy dump")
    print(node.run(KPROXY, "dump").stdout)
    if "--keep" in sys.argv:
        input(f"Still running; manifests in {node.directory}, node: ip netns exec {node.ns} sh.\n"
              "Enter ends it. ")


def main():
    with tempfile.TemporaryDirectory() as directory:
        node = Node(directory)
        try:
            play(node)
        finally:
            node.close()


main()
