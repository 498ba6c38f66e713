#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast does a change in the API reach the kernel, and what does watching cost?

Everything runs in one network namespace: the API server for tests, its load generator, kproxy, and a
listener for nftables' notifications, which the kernel sends when it commits.  Needs root and
KPROXY_APISERVER=DIR with the programs apiserver and loadgen.

    bench/api.py [--services 10000] [--endpoints 5] [--rate 200] [--seconds 60]
"""
import argparse
import ctypes
import ipaddress
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "tests/netns"))
from node import KPROXY, Host, wait_for  # noqa: E402

BIN = os.environ.get("KPROXY_APISERVER", "")
CLONE_NEWNET, NETLINK_NETFILTER, NFNLGRP_NFTABLES = 0x40000000, 12, 7
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, SO_RCVBUFFORCE = 270, 1, 33
PORT = 6443


class Notifications:
    """What the kernel reports of its tables, with the time of each report."""

    def __init__(self, namespace):
        self.reports, self.running, self.lost = [], True, False
        ready = threading.Event()
        self.thread = threading.Thread(target=self._work, args=(namespace, ready))
        self.thread.start()
        ready.wait()

    def _work(self, namespace, ready):
        with open(f"/run/netns/{namespace}", encoding="utf-8") as f:
            ctypes.CDLL(None).setns(f.fileno(), CLONE_NEWNET)
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        s.bind((0, 0))
        s.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        s.settimeout(0.2)
        ready.set()
        while self.running:
            try:
                data = s.recv(1 << 20)
                self.reports.append((time.time_ns(), data))
            except TimeoutError:
                pass
            except OSError:
                self.lost = True

    def stop(self):
        self.running = False
        self.thread.join()


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


class Bench:
    def __init__(self, directory):
        self.directory, self.dir_server = directory, os.path.join(directory, "server")
        self.host = Host(f"kp-{secrets.token_hex(4)}-bench")
        self.host.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
        os.mkdir(self.dir_server)
        with open(os.path.join(directory, "server.log"), "w", encoding="utf-8") as log:
            self.server = self.host.popen(os.path.join(BIN, "apiserver"), "--out", self.dir_server,
                                          "--secure-port", PORT, stdout=log, stderr=log)
        wait_for("the API server", lambda: os.path.exists(f"{self.dir_server}/ready"), 60)
        self.kproxy = None

    def loadgen(self, *argv):
        return self.host.run(os.path.join(BIN, "loadgen"), *argv, env={
            **os.environ, "KUBECONFIG": f"{self.dir_server}/admin.kubeconfig"})

    def curl(self):
        """Seconds to download both lists; a compact answer, as kproxy gets it."""
        with open(f"{self.dir_server}/token", encoding="utf-8") as f:
            token = f.read().strip()
        common = ["-sS", "-A", "bench", "--http2", "--cacert", f"{self.dir_server}/ca.crt",
                  "-H", f"Authorization: Bearer {token}", "-o", "/dev/null"]
        base = f"https://127.0.0.1:{PORT}"
        start = time.monotonic()
        self.host.run("curl", *common, f"{base}/api/v1/services", "--next", *common,
                      f"{base}/apis/discovery.k8s.io/v1/endpointslices")
        return time.monotonic() - start

    def start(self, *flags):
        """Seconds from the start until all objects are known, and until the kernel has them."""
        start, known = time.monotonic(), None
        self.kproxy = self.host.popen(
            KPROXY, "--mode=nft", f"--kubeconfig={self.dir_server}/kproxy.kubeconfig",
            "--hostname-override=node-0", *flags, stderr=subprocess.PIPE)
        for line in self.kproxy.stderr:
            if "all objects are known" in line:
                known = time.monotonic() - start
                self.peak_listing = self.memory("VmHWM")
            if 'msg="sync done"' in line:
                break
        self.log, done = [], time.monotonic() - start
        threading.Thread(target=lambda p: self.log.extend(p.stderr), args=(self.kproxy,),
                         daemon=True).start()
        return known, done

    def stop(self):
        self.kproxy.send_signal(signal.SIGTERM)
        self.kproxy.wait()
        self.host.run(KPROXY, "--cleanup")

    def memory(self, field):
        with open(f"/proc/{self.kproxy.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(field)) / 1024

    def cpu(self):
        with open(f"/proc/{self.kproxy.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wakeups(self, seconds):
        """Voluntary context switches in a second, while nothing happens."""
        def switches():
            with open(f"/proc/{self.kproxy.pid}/status", encoding="utf-8") as f:
                return next(int(line.split()[1]) for line in f
                            if line.startswith("voluntary_ctxt_switches"))
        before = switches()
        time.sleep(seconds)
        return (switches() - before) / seconds

    def churn(self, rate, seconds):
        path = os.path.join(self.directory, "churn.jsonl")
        notifications = Notifications(self.host.ns)
        cpu = self.cpu()
        self.loadgen("churn", "--rate", rate, "--duration", f"{seconds}s", "--log", path)
        time.sleep(1)
        cpu = self.cpu() - cpu
        notifications.stop()
        with open(path, encoding="utf-8") as f:
            changes = [json.loads(line) for line in f]
        return changes, notifications, cpu

    def close(self):
        self.host.close()


def latencies(changes, reports):
    """Milliseconds from a write's return to the report that names its address; None: no report."""
    result, first = [], 0
    for change in sorted(changes, key=lambda c: c["sent_ns"]):
        needle = ipaddress.ip_address(change["address"]).packed
        while first < len(reports) and reports[first][0] < change["sent_ns"]:
            first += 1
        found = next((t for t, data in reports[first:first + 2000] if needle in data), None)
        result.append(None if found is None else (found - change["done_ns"]) / 1e6)
    return result


def measure(bench, args):
    bench.loadgen("fill", "--services", args.services, "--endpoints", args.endpoints)
    print(f"{args.services} Services, {args.endpoints} endpoints each, {os.cpu_count()} CPUs")

    curl = [bench.curl() for _ in range(5)]
    starts = []
    for _ in range(5):
        starts.append(bench.start())
        peak, peak_listing, after = bench.memory("VmHWM"), bench.peak_listing, bench.memory("VmRSS")
        bench.stop()
    curl, known, ready = (statistics.median(v) for v in (curl, *zip(*starts)))
    print(f"curl, both lists             {curl:.2f} s")
    print(f"start until objects are known {known:.2f} s, {known / curl:.1f} x curl")
    print(f"start until ready            {ready:.2f} s, {ready / curl:.1f} x curl")
    print(f"resident memory              {peak_listing:.1f} MiB while listing, {peak:.1f} MiB in the "
          f"first sync, {after:.1f} MiB after")

    bench.start()
    time.sleep(2)
    print(f"idle                         {bench.wakeups(10):.1f} wake-ups/s")
    changes, notifications, cpu = bench.churn(args.rate, args.seconds)
    print(f"resident memory after churn  {bench.memory('VmRSS'):.1f} MiB")
    bench.stop()
    all_ms = latencies(changes, notifications.reports)
    ms = [v for v in all_ms if v is not None]
    print(f"churn                        {len(changes)} changes in {args.seconds} s, "
          f"{len(all_ms) - len(ms)} without a report"
          f"{', reports lost' if notifications.lost else ''}")
    print(f"write's return to commit     p50 {percentile(ms, 50):.2f} ms, p99 "
          f"{percentile(ms, 99):.2f} ms, max {max(ms):.2f} ms")
    print(f"CPU of kproxy                {cpu / len(changes) * 1e6:.0f} ms per 1000 changes")

    bench.start("--log-level=debug")
    changes, _, _ = bench.churn(args.rate, 10)
    took = [int(line.split("took_us=")[1].split()[0]) for line in bench.log if "took_us=" in line]
    bench.stop()
    print(f"syncs                        {len(took)} for {len(changes)} changes, of which in the "
          f"sync itself p50 {percentile(took, 50)} us, p99 {percentile(took, 99)} us")


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("services", 10000), ("endpoints", 5), ("rate", 200), ("seconds", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    if not BIN or os.geteuid() != 0:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        try:
            measure(bench, parser.parse_args())
        finally:
            bench.close()


main()
