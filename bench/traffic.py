# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Service's traffic costs in each mode, as bench/README.md tells; writes docs/performance-traffic.md.

Everything happens in network namespaces with random names, which go away at the end."""
import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tests/netns")]
import cluster  # noqa: E402
import node  # noqa: E402
import report  # noqa: E402

MODES = ("kube-proxy", "nft", "bpf")  # the first is a ruleset of its shape
IP, PODS = "10.96.0.10", (1, 2, 3)
POD_IPS = [f"10.180.0.{n}" for n in PODS]
IPERF_IP, IPERF_PORT = "10.96.0.11", 5201
# (name, protocol, port of the Service, port of the server)
PORTS = (("connect", "TCP", 80, 8080), ("request", "TCP", 81, 8081), ("datagram", "UDP", 81, 8081))
# Client and servers share a processor: rates then tell what the work costs.
PINNED = ["taskset", "-c", str(max(os.sched_getaffinity(0)))]
# iperf3's client has a processor for itself: left to the scheduler, some runs get half of what others do.
PINNED_APART = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
TITLES = {"connections": "new TCP connections, 1/s", "tcp": "TCP requests on one connection, 1/s",
          "tcp_p50": "TCP request, median, µs", "tcp_p99": "TCP request, 99 %, µs",
          "udp": "UDP requests, 1/s", "udp_p50": "UDP request, median, µs",
          "udp_p99": "UDP request, 99 %, µs", "iperf1": "iperf3, 1 stream, Gbit/s",
          "iperf8": "iperf3, 8 streams, Gbit/s"}


class Bench:
    """A node in one mode, with two Services, their servers, and clients in a pod and on the node."""

    def __init__(self, args, directory, mode):
        self.args = args
        manifests = os.path.join(directory, mode)
        os.mkdir(manifests)
        self.node = node.Node(manifests, "bpf" if mode == "bpf" else "nft")
        try:
            self.clients = {"pod": self.node.pod(250), "node": self.node}
            for host in self.clients.values():
                host.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535")
            self.node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close=1")
            for number in PODS:
                self.serve(self.node.pod(number))
            self.program_kernel(mode)
        except BaseException:
            self.node.close()
            raise

    def program_kernel(self, mode):
        """The connections of one iperf3 have to meet in one server."""
        if mode == "kube-proxy":
            ports = [cluster.ServicePort(f"bench/web/{proto.lower()}/{name}", IP, proto.lower(), port,
                                         POD_IPS, target) for name, proto, port, target in PORTS]
            ports.append(cluster.ServicePort("bench/iperf/tcp/", IPERF_IP, "tcp", IPERF_PORT,
                                             POD_IPS[:1], IPERF_PORT))
            self.node.run("nft", "-f", "-", input=cluster.kube_proxy_ruleset(ports, "10.180.0.0/16"))
            return
        self.node.write("web.json", node.node_object(), node.service(
            "web", [IP], [(n, proto, port) for n, proto, port, _ in PORTS]),
            node.endpointslice("web-4", "web", POD_IPS,
                               [(n, proto, target) for n, proto, _, target in PORTS]))
        self.node.write("iperf.json", node.service("iperf", [IPERF_IP], [("", "TCP", IPERF_PORT)]),
                        node.endpointslice("iperf-4", "iperf", POD_IPS[:1], [("", "TCP", IPERF_PORT)]))
        self.node.once()

    def program(self, name):
        return [*PINNED, os.path.join(self.args.build, "bench", name)]

    def serve(self, pod):
        for name, port in (("connect", 8080), ("request", 8081)):
            server = pod.popen(*self.program(name), "serve", port, stdout=subprocess.PIPE)
            assert server.stdout.readline() == "ready\n"
        pod.popen(*PINNED, "iperf3", "-s", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        node.wait_for("iperf3 listens", lambda: f":{IPERF_PORT}" in pod.run("ss", "-Hltn").stdout)

    def measure(self, what, client, direct):
        address = POD_IPS[0] if direct else IPERF_IP if what.startswith("iperf") else IP
        ports = {name: target if direct else port for name, _, port, target in PORTS}
        run, ms = self.clients[client].run, self.args.ms
        if what == "connections":
            addresses = ",".join(POD_IPS) if direct else IP
            return {what: float(run(*self.program("connect"), "dial", addresses, ports["connect"], ms,
                                    4).stdout)}
        if what in ("tcp", "udp"):
            rate, median, high = map(float, run(*self.program("request"), what, address,
                                                ports["request"], ms).stdout.split())
            return {what: rate, f"{what}_p50": median, f"{what}_p99": high}
        out = json.loads(run(*PINNED_APART, "iperf3", "-J", "-c", address, "-t", self.args.iperf_s, "-P",
                             what[-1]).stdout)
        return {what: out["end"]["sum_received"]["bits_per_second"] / 1e9}

    def close(self):
        self.node.close()


def measure_round(benches, kinds):
    """Each case once, in random order: (client, mode, path) -> {figure: value}."""
    result = {}
    for what in kinds:
        cases = [(client, mode, path) for client in ("pod", "node") for mode in benches
                 for path in ("direct", "service")]
        random.shuffle(cases)
        for client, mode, path in cases:
            result.setdefault((client, mode, path), {}).update(
                benches[mode].measure(what, client, path == "direct"))
    return result


def spread(values, form):
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


def ratios(rounds, figure, ours, theirs):
    return [r[ours][figure] / r[theirs][figure] for r in rounds]


def table(*head, rows):
    return [f"\n| | {' | '.join(head)} |", "| --- " + len(head) * "| ---: " + "|",
            *(f"| {title} | {' | '.join(cells)} |" for title, cells in rows)]


def text(rounds, figures):
    """For each kind of client what was measured, and what became of it within each round."""
    lines = []
    for client in ("pod", "node"):
        def service(mode, client=client):
            return client, mode, "service"
        measured, compared = [], []
        for figure in figures:
            form = "{:.0f}" if TITLES[figure].endswith("1/s") else "{:.1f}"
            measured.append((TITLES[figure], [spread([r[service(mode)][figure] for r in rounds], form)
                                              for mode in MODES]))
            pairs = [(service(mode), (client, mode, "direct")) for mode in MODES]
            pairs += [(service(b), service(a)) for a, b in itertools.combinations(MODES, 2)]
            compared.append((TITLES[figure], [spread(ratios(rounds, figure, *pair), "{:.3f}")
                                              for pair in pairs]))
        lines += [f"\nFrom {'a pod' if client == 'pod' else 'the node'}:",
                  *table(*MODES, rows=measured),
                  *table(*(f"{mode} / direct" for mode in MODES),
                         *(f"{b} / {a}" for a, b in itertools.combinations(MODES, 2)), rows=compared)]
    return "\n".join(lines) + "\n"


def plot(path, rounds, figures):
    report.plot_bars(path, {
        f"from {'a pod' if client == 'pod' else 'the node'} (µs: less is better)": {
            mode: [ratios(rounds, figure, (client, mode, "service"), (client, mode, "direct"))
                   for figure in figures] for mode in MODES}
        for client in ("pod", "node")}, [TITLES[figure] for figure in figures],
        "through the Service / to the pod directly")


def parse_args():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", default="build", help="build directory")
    p.add_argument("--quick", action="store_true", help="a few seconds; writes no file")
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--ms", type=int, default=300, help="of each rate")
    p.add_argument("--iperf-s", type=int, default=1, help="of each throughput")
    p.add_argument("--only", nargs="+", default=["connections", "tcp", "udp", "iperf1", "iperf8"])
    p.add_argument("--output", default="docs/performance-traffic.md")
    args = p.parse_args()
    if args.quick:
        args.rounds, args.ms = 1, 50
        args.only = [what for what in args.only if not what.startswith("iperf")]
    else:
        report.check()
    args.build = os.path.abspath(args.build)
    return args


def main():
    args = parse_args()
    if os.geteuid() != 0:
        sys.exit("the benchmark makes network namespaces: run it as root")
    node.KPROXY = os.path.join(args.build, "kproxy")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="kproxy-bench-") as directory, \
            contextlib.ExitStack() as stack:
        benches = {}
        for mode in MODES:
            benches[mode] = Bench(args, directory, mode)
            stack.callback(benches[mode].close)
        measure_round(benches, ["connections"])  # warms up
        rounds = [measure_round(benches, args.only) for _ in range(args.rounds)]
        hooked = benches["bpf"].node.hooks.counters()
    assert hooked["connected"] > 0 and ("udp" not in args.only or hooked["sent"] > 0)
    figures = [figure for figure in TITLES if figure in rounds[0]["pod", "nft", "service"]]
    print(text(rounds, figures))
    if args.quick:
        return
    image = os.path.splitext(args.output)[0] + ".png"
    plot(image, rounds, figures)
    with open(args.output, encoding="utf-8") as f:
        head = f.read().split("<!-- measured: begin -->")[0]
    with open(args.output, "w", encoding="utf-8") as f:
        f.write(f"{head}<!-- measured: begin -->\n{args.rounds} rounds. *kube-proxy* is a ruleset of the "
                f"shape of its nftables mode (`bench/cluster.py`).\n{text(rounds, figures)}\n"
                f"![Through the Service, against the pod directly]({os.path.basename(image)})\n"
                "<!-- measured: end -->\n")


main()
