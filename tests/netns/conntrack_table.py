# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills the connection tracking table with UDP entries that nobody uses, as of clients of one server.

They stay for an hour, or as long as their network namespace.
"""
import socket
import struct
import sys

from node import Host

NEW_ENTRY = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
REQUEST_CREATE = 0x1 | 0x400
TUPLE_ORIG, TUPLE_REPLY, STATUS, TIMEOUT, NESTED = 1, 2, 3, 7, 0x8000
SEEN_REPLY_ASSURED_CONFIRMED = 0xe
MESSAGES_AT_ONCE = 200


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def half(kind, src, dst, sport, dport):
    ip = attribute(1, src) + attribute(2, dst)
    ports = attribute(1, b"\x11") + attribute(2, struct.pack("!H", sport)) + \
        attribute(3, struct.pack("!H", dport))
    return attribute(kind | NESTED, attribute(1 | NESTED, ip) + attribute(2 | NESTED, ports))


def message(client):
    server = bytes((203, 0, 113, 1))
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + \
        half(TUPLE_ORIG, client, server, 4000, 53) + half(TUPLE_REPLY, server, client, 53, 4000) + \
        attribute(TIMEOUT, struct.pack("!I", 3600)) + \
        attribute(STATUS, struct.pack("!I", SEEN_REPLY_ASSURED_CONFIRMED))
    return struct.pack("=IHHII", 16 + len(body), NEW_ENTRY, REQUEST_CREATE, 0, 0) + body


def fill(count):
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
    netlink.setblocking(False)
    mark = struct.pack("!I", 0x0b000001)
    head, tail = message(mark).split(mark, 1)
    middle, tail = tail.split(mark, 1)
    for start in range(0, count, MESSAGES_AT_ONCE):
        clients = [struct.pack("!I", 0x0b000000 + i)
                   for i in range(start, min(start + MESSAGES_AT_ONCE, count))]
        netlink.sendto(b"".join(head + c + middle + c + tail for c in clients), (0, 0))
        try:
            refused = netlink.recv(4096)
        except BlockingIOError:
            continue
        sys.exit(f"the kernel refuses an entry: error {struct.unpack_from('=i', refused, 16)[0]}")


def fill_table(node, count):
    """All namespaces share one table, but each has a limit of entries.  What the node may not have goes
    into namespaces that are closed with it."""
    limit = int(node.run("sysctl", "-n", "net.netfilter.nf_conntrack_max").stdout) - 10000
    host = node
    while count > 0:
        host.run(sys.executable, __file__, min(count, limit))
        count -= limit
        if count > 0:
            host = Host(f"{node.ns}-table{len(node.hosts)}")
            node.hosts.append(host)


if __name__ == "__main__":
    fill(int(sys.argv[1]))
