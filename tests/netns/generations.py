# SPDX-License-Identifier: GPL-2.0-or-later
"""Who committed to a namespace's nf_tables, and when, as the kernel tells all who listen."""
import sys

from node import wait_for

LISTENER = r"""
import socket, struct, time
SUBSYSTEM, NEWGEN, PROCESS_NAME = 10, 15, 3
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
s.bind((0, 1 << 6))  # NFNLGRP_NFTABLES
print("ready", flush=True)
def attributes(data):
    while data:
        size, kind = struct.unpack_from("HH", data)
        yield kind, data[4:size]
        data = data[size + 3 & ~3:]
while True:
    data, now = s.recv(1 << 20), time.monotonic()
    while data:
        size, kind = struct.unpack_from("IH", data)
        if kind == SUBSYSTEM << 8 | NEWGEN:
            process = dict(attributes(data[20:size]))[PROCESS_NAME]
            print(now, process.rstrip(b"\0").decode(), flush=True)
        data = data[size + 3 & ~3:]
"""


class Generations:
    def __init__(self, host, path):
        self.path = path
        self.process = host.popen(sys.executable, "-c", LISTENER, stdout=path.open("w"))
        wait_for("the listener is ready", lambda: self.lines() == ["ready"])
        self.mark()

    def lines(self):
        return self.path.read_text().splitlines()

    def mark(self):
        """What counts is what comes from here on."""
        self.n_before = len(self.lines())

    def repair_ms(self):
        """From what somebody else did first to kproxy's last commit; None when one of them is missing.
        By name: the kernel tells pids as they are outside of all pid namespaces."""
        news = [(float(when), who) for when, who in
                (line.split(maxsplit=1) for line in self.lines()[self.n_before:])]
        theirs = [when for when, who in news if who != "kproxy"]
        ours = [when for when, who in news if who == "kproxy"]
        return (ours[-1] - theirs[0]) * 1000 if theirs and ours else None

    def close(self):
        self.process.kill()
        self.process.wait()
