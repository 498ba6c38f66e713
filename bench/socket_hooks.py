# SPDX-License-Identifier: GPL-2.0-or-later
"""What the socket hooks do while things change, as bench/README.md tells; prints the figures of docs/bpf.md.

Everything happens in network namespaces with random names, which go away at the end."""
import argparse
import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/netns"))
import exchange  # noqa: E402
import node  # noqa: E402
import test_hooks  # noqa: E402
import test_hooks_udp  # noqa: E402
from test_hooks import script  # noqa: E402
from test_traffic import IP4, web  # noqa: E402


@contextlib.contextmanager
def new_node():
    with tempfile.TemporaryDirectory(prefix="kproxy-bench-") as directory:
        node_ = node.Node(directory, "bpf")
        try:
            yield node_
        finally:
            node_.close()


def ms(values_ns):
    values = sorted(values_ns)
    return (f"median {statistics.median(values) / 1e6:.1f}, "
            f"99 % {values[int(len(values) * 0.99)] / 1e6:.1f}, max {values[-1] / 1e6:.1f} ms")


def churn(seconds):
    """Changes one after the other, and which endpoints clients meet meanwhile."""
    with new_node() as node_:
        changes = exchange.Exchange(node_)
        seen = changes.run(seconds)
        ages = [changes.age_ns(name, begin, answer) for name, begin, _, answer in seen]
        took = [done - written for written, done in zip(changes.written, changes.done)]
        print(f"churn: {len(took)} changes and {len(seen)} connections in {seconds} s; from written "
              f"to in the kernel: {ms(took[1:])}")
        print(f"churn: of it the sync: {ms(us * 1000 for us in changes.took_us[1:])}")
        print(f"churn: {sum(not changes.is_right(*row) for row in seen)} connections to an endpoint that "
              "the Service did not have")
        print(f"churn: {sum(age > 0 for age in ages)} connections began between the writing of a "
              f"removal and its end; the last one {max(ages) / 1e6:.1f} ms after it was written")


def wait_for_line(process, text):
    while text not in process.stderr.readline():
        pass
    return time.monotonic_ns()


def sockets(n):
    """Connected UDP sockets whose only endpoint is replaced."""
    with new_node() as node_:
        for number in (1, 2):
            node_.pod(number, 8080)
        client = node_.pod(9)
        web(node_, [1])
        node_.start(stderr=subprocess.PIPE)
        clients = test_hooks_udp.Connected(client, IP4, n)
        took = []
        for number in (2, 1, 2, 1, 2):
            start = time.monotonic_ns()
            web(node_, [number])
            took.append(wait_for_line(node_.daemon, "connected UDP sockets moved") - start)
            assert f"pod{number}" in clients.ask()
        print(f"sockets: {n} connected UDP sockets moved, from the change written: {ms(took)}")
        clients.close()


def on_cpu_ns(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0])


def looks(seconds, repeats):
    """What it costs to look after the hooks, and how long it takes to put them back."""
    with new_node() as node_:
        web(node_, [1])
        node_.start(stderr=subprocess.PIPE)
        before = on_cpu_ns(node_.daemon.pid)
        time.sleep(seconds)
        used = on_cpu_ns(node_.daemon.pid) - before
        print(f"looks: {used / seconds / 1e7:.3f} % of a core while nothing happens")
        took = []
        for _ in range(repeats):
            start = time.monotonic_ns()
            os.unlink(os.path.join(node_.hooks.bpf, "kproxy", "link-connect4"))
            took.append(wait_for_line(node_.daemon, "repaired") - start)
        print(f"looks: a removed pin is back after: {ms(took)}")


def run_stats(node_):
    """{program: (nanoseconds, runs)} of the hooks."""
    return {p["name"]: (p.get("run_time_ns", 0), p.get("run_cnt", 0))
            for p in json.loads(node.run("bpftool", "-j", "prog", "show").stdout)
            if p["id"] in test_hooks.attached(node_)}


def hook_costs(n):
    """What the kernel says of the time in each hook, its own two readings of the clock included."""
    cases = {
        "connect4, not a Service": "udp(ip).connect((direct, 8080))",
        "connect4, TCP": "s = tcp(ip); s.connect((ip, 80)); s.recv(99)",
        "connect4, UDP": "udp(ip).connect((ip, 53))",
        "sendmsg4, UDP": "udp(ip).sendto(b'?', (ip, 53))",
    }
    with new_node() as node_, contextlib.closing(os.fdopen(
            ctypes.CDLL("libbpf.so.1").bpf_enable_stats(0))):
        pod = node_.pod(1, 8080)
        client = node_.pod(9)
        web(node_, [1])
        node_.start()
        for case, code in cases.items():
            before, name = run_stats(node_), case.split(",")[0]
            script(client, f"ip, direct = sys.argv[1:]\nfor _ in range({n}): {code}\nout(1)", IP4,
                   pod.ip4)
            time_ns, runs = (a - b for a, b in zip(run_stats(node_)[name], before[name]))
            print(f"hooks: {case}: {time_ns / runs:.0f} ns")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", default="build", help="build directory")
    p.add_argument("--seconds", type=int, default=60, help="of churn")
    p.add_argument("--sockets", type=int, default=10000)
    args = p.parse_args()
    if os.geteuid() != 0:
        sys.exit("the benchmark makes network namespaces: run it as root")
    node.KPROXY = os.path.abspath(os.path.join(args.build, "kproxy"))
    if args.seconds:
        churn(args.seconds)
    sockets(args.sockets)
    looks(10, 50)
    hook_costs(20000)


main()
