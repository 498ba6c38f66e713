# SPDX-License-Identifier: GPL-2.0-or-later
"""A node, three server pods, a client pod and an outside client; kproxy balances between them."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../netns"))
from node import KPROXY, Node, endpointslice, node_object, service, wait_for  # noqa: E402

CLUSTER_IP, PORTS, CONNECTIONS = "10.96.0.10", [("http", "TCP", 80, 30080)], 300


def scale(node, pods):
    node.write("web.json", node_object(), service("web", [CLUSTER_IP], PORTS),
               endpointslice("web-1", "web", [f"10.180.0.{n}" for n in pods],
                             [("http", "TCP", 8080)]))


def show(node, client, pods):
    want = {f"pod{n}" for n in pods}
    wait_for("the change is in the kernel",
             lambda: set(client.ask(CLUSTER_IP, 80, count=30).servers) == want)
    for who, source, kind, address, port in (
            ("client pod", client, "ClusterIP", CLUSTER_IP, 80),
            ("outside client", node.outside, "NodePort", Node.IP4, 30080)):
        got = source.ask(address, port, count=CONNECTIONS)
        counts = "  ".join(f"{name}: {n}" for name, n in sorted(got.servers.items()))
        print(f"  {who:<14} -> {kind:<9} {f'{address}:{port}':<15} {CONNECTIONS} connections  "
              f"{counts}")
        if got.errors:
            sys.exit(f"errors: {got.errors}")


def play(node, log):
    print(f"Mode {node.mode}: a node of network namespaces, 3 server pods, a client pod, an outside "
          "client.")
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    scale(node, [1, 2, 3])
    print(f"\n$ {' '.join(node.argv())} &")
    node.start(stderr=log)
    print("\nService default/web with three endpoints:")
    show(node, client, [1, 2, 3])
    print("\nScaled down to two, by editing the manifest:")
    scale(node, [1, 3])
    show(node, client, [1, 3])
    print("\n$ kproxy dump")
    print(node.run(KPROXY, "dump", *node.dump_argv()).stdout, end="")
    if node.hooks:
        print(f"\nThe hooks made {node.hooks.counters()['connected']} of these connections; those "
              "from outside are nft's.")
        return
    print("\n$ nft list map ip kproxy services")
    print(node.run("nft", "list", "map", "ip", "kproxy", "services").stdout, end="")


def keep(node, log):
    if "--keep" in sys.argv:
        input(f"""
Still running.
  a shell on the node:        nsenter --net=/run/netns/{node.ns}
  a shell in the client pod:  nsenter --net=/run/netns/kp-{node.id}-pod9  (try: nc {CLUSTER_IP} 80)
  manifests to edit:          {node.directory}
  kproxy's log:               {log.name}
Enter ends it. """)


def demo(mode):
    with tempfile.TemporaryDirectory() as work:
        directory = os.path.join(work, "manifests")
        os.mkdir(directory)
        node = Node(directory, mode)
        try:
            with open(os.path.join(work, "kproxy.log"), "w", encoding="utf-8") as log:
                play(node, log)
                keep(node, log)
        finally:
            node.close()


def main():
    for mode in ("nft", "bpf"):
        demo(mode)
        print()
    print("All namespaces are gone again.")


main()
