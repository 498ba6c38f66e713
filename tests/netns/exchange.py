# SPDX-License-Identifier: GPL-2.0-or-later
"""Were there connections to endpoints that the Service did not have?  Decided by the order of events.

Two Services of each family share a pool of addresses and change places in it all the time.  A change is
written, and the next one follows when kproxy has said that it is in the kernel.  Each client notes when its
connect() began and ended, and which address answered.  So an answer is right when the Service had that address at
some time in between: from when the change was written that brought it, until the change was in the kernel that took it.
There is no tolerance: a connect() that begins after an endpoint's removal was acknowledged must not meet it."""
import bisect
import json
import os
import select
import subprocess
import sys
import time

from node import endpointslice, node_object, service

SERVICES = {"a4": "10.96.0.10", "b4": "10.96.0.11", "a6": "fd00:10:96::10", "b6": "fd00:10:96::11"}
POOLS = {"4": [f"10.181.0.{i}" for i in range(1, 17)],
         "6": [f"fd00:10:181::{i:x}" for i in range(1, 17)]}
N_ENDPOINTS = 4

CLIENT = r"""
import json, signal, socket, sys, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
services, seen = json.loads(sys.argv[1]), []
while not stop:
    for name, ip in services.items():
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as s:
            s.settimeout(5)
            begin = end = time.monotonic_ns()
            try:
                s.connect((ip, 80))
                end = time.monotonic_ns()
                answer = s.recv(99).decode().split()[0]
            except OSError as e:
                answer = repr(e)
        seen.append((name, begin, end, answer))
print(json.dumps(seen))
"""


def endpoints(name, i):
    """Of a Service after change i: a window that moves on; now and then both change places at once."""
    pool = POOLS[name[1]]
    first = i if (name[0] == "a") == (i // 5 % 2 == 0) else i + len(pool) // 2
    return [pool[(first + k) % len(pool)] for k in range(N_ENDPOINTS)]


class Exchange:
    def __init__(self, node):
        self.node, self.buffer = node, b""
        self.written, self.done, self.took_us = [], [], []  # of change i; ns, ns, of the sync alone
        pod = node.pod(250)
        node.give_networks(pod, "10.181.0.0/24", "fd00:10:181::/64")
        pod.serve("", 8080)
        self.client_host = node.pod(249)
        node.write("services.json", node_object(), *(service(name, [ip], [("http", "TCP", 80)])
                                                     for name, ip in SERVICES.items()))
        self.write()
        node.start("--log-level=debug", stderr=subprocess.PIPE)
        os.set_blocking(node.daemon.stderr.fileno(), False)
        self.wait_done()

    def write(self):
        i = len(self.written)
        self.written.append(time.monotonic_ns())
        self.node.write("slices.json", *(
            endpointslice(f"{name}-1", name, endpoints(name, i), [("http", "TCP", 8080)],
                          f"IPv{name[1]}") for name in SERVICES))

    def lines(self):
        """What kproxy has logged since the last time; waits for something."""
        fd = self.node.daemon.stderr.fileno()
        assert select.select([fd], [], [], 30)[0], "kproxy says nothing"
        *lines, self.buffer = (self.buffer + os.read(fd, 1 << 16)).split(b"\n")
        return lines

    def wait_done(self):
        while True:
            done = [line for line in self.lines() if b'"sync done"' in line and b" ops=0 " not in line]
            if done:
                assert len(done) == 1
                self.done.append(time.monotonic_ns())
                self.took_us.append(int(done[0].split(b" took_us=")[1].split()[0]))
                return

    def run(self, seconds, n_clients=2):
        """Returns what clients saw: (service, begin, end, answer)."""
        clients = [self.client_host.popen(sys.executable, "-c", CLIENT, json.dumps(SERVICES),
                                          stdout=subprocess.PIPE) for _ in range(n_clients)]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.write()
            self.wait_done()
        for client in clients:
            client.terminate()
        return [tuple(row) for client in clients for row in json.loads(client.communicate()[0])]

    def is_right(self, name, begin, end, answer):
        # State i may be met from written[i] until done[i + 1].
        for i in range(max(0, bisect.bisect_left(self.done, begin) - 1), len(self.written)):
            if self.written[i] > end:
                return False
            if answer in endpoints(name, i):
                return True
        return False

    def age_ns(self, name, begin, answer):
        """How long before connect() the change was written that took this endpoint away; 0 when none did."""
        newest = bisect.bisect_right(self.written, begin) - 1
        if answer in endpoints(name, newest):
            return 0
        i = newest
        while i > 0 and answer not in endpoints(name, i - 1):
            i -= 1
        return begin - self.written[i]
