# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures kproxy, as bench/README.md tells, and writes the results into docs/performance.md.

Everything happens in network namespaces with random names, which go away at the end."""
import argparse
import contextlib
import ipaddress
import json
import os
import random
import resource
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/netns"))
import cluster  # noqa: E402
import node  # noqa: E402
import report  # noqa: E402

KUBE_PROXY_CHANGES = 5
DIALERS = 4
STICKY_ENDPOINTS = [str(a) for a in ipaddress.ip_network("10.180.2.0/23")][:500]
CLIENTS = ipaddress.ip_network("10.180.128.0/17")
# Client and servers share a processor: the rate tells what a connection costs, and does not depend
# on where the scheduler puts them.
PINNED = ["taskset", "-c", str(max(os.sched_getaffinity(0)))]


def log(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def busy_jiffies():
    with open("/proc/stat", encoding="ascii") as f:
        fields = list(map(int, f.readline().split()[1:9]))
    return sum(fields) - fields[3] - fields[4], sum(fields)


def settle():
    """Removing a large table goes on in the background: waits until the machine is idle, or 5 s."""
    deadline = time.monotonic() + 5
    busy, total = busy_jiffies()
    while time.monotonic() < deadline:
        time.sleep(0.2)
        new_busy, new_total = busy_jiffies()
        if new_busy - busy < 0.1 * (new_total - total):
            return
        busy, total = new_busy, new_total


@contextlib.contextmanager
def namespace():
    host = node.Host(f"kp-{secrets.token_hex(4)}-bench")
    try:
        yield host
    finally:
        host.run("nft", "flush", "ruleset", check=False)
        host.close()
        settle()


def dialed(host, *argv):
    """Connections a second; measured again when a starved machine made none."""
    for _ in range(5):
        rate = float(run_in(host, *argv).stdout)
        if rate:
            return rate
    raise RuntimeError(f"no connection: {argv}")


def run_in(host, *argv):
    """As host.run(), without the file systems that `ip netns exec` mounts: that takes as long as
    what is measured here."""
    return node.run("nsenter", f"--net=/run/netns/{host.ns}", *argv)


def count_objects(host):
    listing = json.loads(host.run("nft", "-j", "-t", "list", "ruleset").stdout)["nftables"]
    return {kind: sum(kind in o for o in listing) for kind in ("chain", "rule")}


class Sizes:
    """Clusters on disk, one directory for each size."""

    def __init__(self, directory):
        self.directory = directory

    def manifests(self, n, objects=cluster.service_objects):
        path = os.path.join(self.directory, f"{objects.__name__}-{n}")
        if not os.path.isdir(path):
            os.mkdir(path)
            cluster.write_manifests(os.path.join(path, "cluster.json"), n, objects)
        return path

    def sticky(self):
        """Two Services with the same endpoints, the second with affinity."""
        path = os.path.join(self.directory, "sticky")
        os.mkdir(path)
        items = [o for name, ip, affinity in (("plain", cluster.cluster_ip(0), "None"),
                                              ("sticky", cluster.cluster_ip(1), "ClientIP"))
                 for o in cluster.one_service(name, ip, STICKY_ENDPOINTS, sessionAffinity=affinity)]
        cluster.write_objects(os.path.join(path, "cluster.json"), items)
        return path

    def script(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path


def run_kproxy(args, manifests):
    with namespace() as host:
        program = os.path.join(args.build, "bench/sync")
        result = json.loads(host.run(program, manifests, args.changes).stdout)
        result["objects"] = count_objects(host)
    return result


def timed_nft(host, script):
    """Seconds of `nft -f`, and how many of them in the kernel."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run_in(host, "nft", "-f", script)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    return end - start, after.ru_stime - before.ru_stime


def run_kube_proxy_shape(sizes, n, count):
    """'count': also count what was made, which takes a while."""
    with namespace() as host:
        script = sizes.script("load.nft", cluster.kube_proxy_shape(n))
        cold_s, kernel_s = timed_nft(host, script)
        changes = [timed_nft(host, sizes.script("change.nft", cluster.kube_proxy_change(s)))[0]
                   for s in range(0, n, n // KUBE_PROXY_CHANGES)]
        return {"cold_s": cold_s, "kernel_s": kernel_s, "change_s": statistics.median(changes),
                "objects": count_objects(host) if count else None}


def daemon_memory(sizes, n):
    """Resident memory in MB of a daemon that has synced: now, and at its highest."""
    host = node.Node(sizes.manifests(n))
    try:
        host.start()
        with open(f"/proc/{host.daemon.pid}/status", encoding="ascii") as f:
            status = dict(line.split(":", 1) for line in f)
        return [int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM")]
    finally:
        host.stop()
        host.run("nft", "flush", "ruleset")
        host.close()
        settle()


def measure_syncs(args, sizes):
    results = {n: {"kproxy": [], "kube_proxy": []} for n in args.services}
    for i in range(args.rounds):
        for n in args.services:
            log(f"round {i + 1} of {args.rounds}: {n} Services")
            results[n]["kproxy"].append(run_kproxy(args, sizes.manifests(n)))
            if n <= args.kube_proxy_max:
                results[n]["kube_proxy"].append(run_kube_proxy_shape(sizes, n, i == 0))
    for n in args.services:
        log(f"memory of the daemon: {n} Services")
        results[n]["memory_mb"] = daemon_memory(sizes, n)
    return results


class ConnectionTest:
    """A node with the given number of Services, endpoints of the first one, and a client pod."""

    def __init__(self, args, sizes, n):
        self.program = [*PINNED, os.path.join(args.build, "bench/connect")]
        self.milliseconds = args.dial_ms
        self.node = node.Node(sizes.manifests(n))
        try:
            self.client = self.node.pod(250)
            # Records of closed connections would otherwise pile up.
            self.node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
            self.client.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
            for number in range(1, cluster.N_ENDPOINTS + 1):
                server = self.node.pod(number).popen(*self.program, "serve", cluster.TARGET_PORT,
                                                     stdout=subprocess.PIPE)
                assert server.stdout.readline() == "ready\n"
            self.node.once()
        except BaseException:
            self.node.close()
            raise

    def rate(self, target):
        address, port = {"direct": (",".join(cluster.endpoints(0)), cluster.TARGET_PORT),
                         "service": (cluster.cluster_ip(0), cluster.PORT)}[target]
        return dialed(self.client, *self.program, "dial", address, port, self.milliseconds,
                      DIALERS)

    def close(self):
        self.node.run("nft", "flush", "ruleset")
        self.node.close()


def measure_connections(args, sizes):
    results = []
    with contextlib.ExitStack() as stack:
        tests = {}
        for n in args.connection_services:
            log(f"node for connections: {n} Services")
            tests[n] = ConnectionTest(args, sizes, n)
            stack.callback(tests[n].close)
        settle()
        cases = [(n, target) for n in tests for target in ("direct", "service")]
        for i in range(args.connection_rounds + 1):
            random.shuffle(cases)
            result = {case: tests[case[0]].rate(case[1]) for case in cases}
            if i > 0:  # the first one warms up
                results.append(result)
    settle()
    return results


class AffinityTest:
    """A node with two Services, without and with affinity, and a pod that has many addresses."""

    def __init__(self, args, sizes):
        self.program = [*PINNED, os.path.join(args.build, "bench/connect")]
        self.milliseconds = args.dial_ms
        self.node = node.Node(sizes.sticky())
        try:
            # Records of closed connections would otherwise pile up.
            self.node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
            self.client, servers = self.node.pod(250), self.node.pod(1)
            self.client.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
            self.node.give_networks(self.client, str(CLIENTS))
            self.node.give_networks(servers, "10.180.2.0/23")
            server = servers.popen(*self.program, "serve", cluster.TARGET_PORT,
                                   stdout=subprocess.PIPE)
            assert server.stdout.readline() == "ready\n"
            self.node.once()
        except BaseException:
            self.node.close()
            raise

    def rate(self, affinity, clients):
        source = [CLIENTS[0]] if clients == "new" else []
        self.node.run("nft", "flush", "map", "ip", "kproxy", "affinity-clients")
        return dialed(self.client, *self.program, "dial", cluster.cluster_ip(affinity),
                      cluster.PORT, self.milliseconds, DIALERS, *source)

    def close(self):
        self.node.run("nft", "flush", "ruleset")
        self.node.close()


def measure_affinity(args, sizes):
    log(f"affinity: {len(STICKY_ENDPOINTS)} endpoints")
    test, results = AffinityTest(args, sizes), []
    try:
        cases = [(affinity, clients) for affinity in (False, True) for clients in ("one", "new")]
        for i in range(args.connection_rounds + 1):
            random.shuffle(cases)
            result = {case: test.rate(*case) for case in cases}
            if i > 0:  # the first one warms up
                results.append(result)
    finally:
        test.close()
    return results


def measure_features(args, sizes):
    results = {n: [] for n in args.feature_services}
    for i in range(args.rounds):
        for n in args.feature_services:
            log(f"round {i + 1} of {args.rounds}: {n} Services with all features")
            results[n].append(run_kproxy(args, sizes.manifests(n, cluster.all_features)))
    return results


def parse_args():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", default="build", help="build directory")
    p.add_argument("--quick", action="store_true", help="a few seconds; writes no file")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--services", type=int, nargs="+", default=[100, 1000, 10000, 30000])
    p.add_argument("--kube-proxy-max", type=int, default=10000, metavar="N",
                   help="load kube-proxy's shape for up to N Services; 30000 takes a quarter of an "
                   "hour each round")
    p.add_argument("--changes", type=int, default=2000)
    p.add_argument("--feature-services", type=int, nargs="+", default=[100, 1000, 10000],
                   help="numbers of Services with all features")
    p.add_argument("--only-features", action="store_true",
                   help="measure and write only what concerns affinity and all features")
    p.add_argument("--connection-services", type=int, nargs="+", default=[1, 1000, 30000])
    p.add_argument("--connection-rounds", type=int, default=100)
    p.add_argument("--dial-ms", type=int, default=100)
    p.add_argument("--output", default="docs", help="directory of performance.md and the plots")
    args = p.parse_args()
    if args.quick:
        args.services, args.rounds, args.changes = [10, 100], 1, 100
        args.connection_services, args.connection_rounds = [1, 100], 2
        args.feature_services = [10, 100]
    args.build = os.path.abspath(args.build)
    return args


def main():
    args = parse_args()
    if os.geteuid() != 0:
        sys.exit("the benchmark makes network namespaces: run it as root")
    if not args.quick and not args.only_features:
        report.check()
    node.KPROXY = os.path.join(args.build, "kproxy")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="kproxy-bench-")
    try:
        sizes = Sizes(directory)
        sections = {}
        if not args.only_features:
            syncs = measure_syncs(args, sizes)
            connections = measure_connections(args, sizes)
            sections["measured"] = report.text(syncs, connections)
        sections["features"] = report.features_text(measure_features(args, sizes),
                                                    measure_affinity(args, sizes))
    finally:
        shutil.rmtree(directory)
    print("\n".join(sections.values()))
    if not args.quick:
        report.write(args.output, sections)
        if not args.only_features:
            report.plot(args.output, syncs, connections)


main()
