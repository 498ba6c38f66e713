# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that can happen to a node, mixed at random, for SOAK_SECONDS.

The objects of a scripted API server change, the server restarts and loses its history, kproxy is killed
and restarted, others flush our rules, all from one SOAK_SEED, which is printed.  After each step what
'kproxy dump' tells has to become what the objects ask for; the longest time that it did not is printed,
and memory and descriptors must not grow.
"""
import json
import os
import random
import re
import signal
import time

from fakeapi import FakeServer
from memory import SANITIZED, n_fds, rss_kb
from node import KPROXY, endpoint, endpointslice, node_object, service, wait_for

MODES = ("nft", "bpf")

SECONDS = float(os.environ.get("SOAK_SECONDS", "40"))
N_SERVICES = 12
FOREIGN = ["flush ruleset", "delete table ip kproxy", "flush table ip6 kproxy",
           "flush chain ip kproxy dispatch", "flush map ip kproxy services",
           "flush map ip6 kproxy endpoints",
           # Not all packets: while kproxy is down, its way to the API server would be barred for good.
           "add rule ip kproxy dispatch ip daddr 10.96.0.0/16 drop",
           "add element ip kproxy cluster-ips { 10.96.99.99 }", "add chain ip kproxy theirs"]
STABLE4, STABLE6 = "10.96.0.10", "fd00:10:96::10"
PORTS, TARGETS = [("http", "TCP", 80)], [("http", "TCP", 8080)]


def address(family, number):
    return f"10.96.1.{number}" if family == "IPv4" else f"fd00:10:96::1{number:02}"


def pod_address(family, number):
    return f"10.180.2.{number}" if family == "IPv4" else f"fd00:10:180::2:{number:x}"


def leads_to(policy, affinity_s, endpoints):
    """Affinity is nothing to tell of where there are no endpoints."""
    return policy, affinity_s if endpoints else 0, set(endpoints)


class Model:
    """The objects on the server, and what they ask for: of each Service, where its frontends lead."""

    def __init__(self, server, rng):
        self.server, self.rng, self.wanted = server, rng, {}
        server.put(node_object())
        pods4, pods6 = ["10.180.0.1", "10.180.0.2"], ["fd00:10:180::1", "fd00:10:180::2"]
        server.put(service("stable", [STABLE4, STABLE6], PORTS),
                   endpointslice("stable-4", "stable", pods4, TARGETS),
                   endpointslice("stable-6", "stable", pods6, TARGETS, "IPv6"))
        self.wanted["stable"] = {STABLE4: leads_to("Cluster", 0, pods4),
                                 STABLE6: leads_to("Cluster", 0, pods6)}
        for number in range(1, N_SERVICES + 1):
            self.put(number)

    def put(self, number):
        """Makes or changes a Service and its endpoints."""
        rng, name, node_port = self.rng, f"s{number}", 30100 + number
        families = rng.choice((["IPv4"], ["IPv6"], ["IPv4", "IPv6"]))
        policies = rng.choices(("Cluster", "Local"), k=2)
        affinity, has_node_port = rng.choice(("None", "ClientIP")), rng.random() < 0.5
        extra = {"type": "NodePort", "externalTrafficPolicy": policies[1]} if has_node_port else {}
        ports = [PORTS[0] + (node_port,)] if has_node_port else PORTS
        self.server.put(service(name, [address(f, number) for f in families], ports,
                                internalTrafficPolicy=policies[0], sessionAffinity=affinity, **extra))
        seconds = 10800 if affinity == "ClientIP" else 0
        self.wanted[name] = {}
        for family in ("IPv4", "IPv6"):
            by_policy = self.put_endpoints(name, family)
            if family not in families:
                continue
            # Without endpoints the policy does not matter.
            inside, outside = policies if by_policy["Cluster"] else ("Cluster", "Cluster")
            self.wanted[name][address(family, number)] = leads_to(inside, seconds, by_policy[inside])
            if has_node_port:
                self.wanted[name][f"{family}:{node_port}"] = leads_to(outside, seconds,
                                                                      by_policy[outside])

    def put_endpoints(self, name, family):
        pods = self.rng.sample(range(1, 200), self.rng.choice((0, 1, 2, 3, 17)))
        nodes = {pod_address(family, pod): self.rng.choice(("node1", "node2")) for pod in pods}
        self.server.put(endpointslice(f"{name}-{family.lower()}", name,
                                      [endpoint(ip, node) for ip, node in nodes.items()],
                                      TARGETS, family))
        return {"Cluster": set(nodes), "Local": {ip for ip, n in nodes.items() if n == "node1"}}

    def delete(self, number):
        name = f"s{number}"
        if self.wanted.pop(name, None) is not None:
            self.server.delete("services", name)
            for family in ("ipv4", "ipv6"):
                self.server.delete("endpointslices", f"{name}-{family}")

    def frontends(self):
        return {key: value for frontends in self.wanted.values() for key, value in frontends.items()}


def frontends_of(service_port):
    """What a part of the dump says, as in Model.wanted."""
    for f in service_port["frontends"]:
        endpoints = service_port["localEndpoints" if f["policy"] == "Local" else "endpoints"]
        yield (f["address"] or f"{service_port['family']}:{f['port']}",
               leads_to(f["policy"], service_port["affinitySeconds"],
                        [e["address"] for e in endpoints]))


class Soak:
    def __init__(self, node, log, rng):
        self.node, self.log, self.rng = node, log, rng
        self.server = FakeServer(node.ns)
        self.model = Model(self.server, rng)
        self.config = os.path.join(node.directory, "kubeconfig")
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"current-context": "a",
                       "contexts": [{"name": "a", "context": {"cluster": "b", "user": "c"}}],
                       "clusters": [{"name": "b", "cluster": {"server": "http://127.0.0.1:6443"}}],
                       "users": [{"name": "c", "user": {}}]}, f)
        self.settled_ms = {}  # kind of step -> times until all was right

    def start(self):
        argv = [a for a in self.node.argv(f"--kubeconfig={self.config}",
                                          "--healthz-bind-address=127.0.0.1:10256")
                if not a.startswith("--manifests")]
        # Or what the sanitizer keeps of freed memory grows up to 256 MB.
        self.node.daemon = self.node.popen(*argv, stderr=self.log, env={
            **os.environ, "ASAN_OPTIONS": "quarantine_size_mb=16"})
        wait_for("kproxy is ready", self.node.is_ready, 60)

    def installed(self):
        result = self.node.run(KPROXY, "dump", "-o", "json", *self.node.dump_argv(), check=False)
        services = json.loads(result.stdout)["services"] if result.returncode == 0 else []
        return {key: value for s in services for key, value in frontends_of(s)}

    def differences(self):
        """Frontend -> what there is, what should be."""
        have, want = self.installed(), self.model.frontends()
        return {key: (have.get(key), want.get(key)) for key in {*have, *want}
                if have.get(key) != want.get(key)}

    def wait_settled(self, seconds):
        start = time.monotonic()
        try:
            wait_for("the kernel has what the objects ask for", lambda: not self.differences(),
                     seconds)
        except AssertionError:
            print(self.differences())
            raise
        return (time.monotonic() - start) * 1000

    # --- steps ---

    def change(self):
        for _ in range(self.rng.randrange(1, 6)):
            number = self.rng.randrange(1, N_SERVICES + 1)
            (self.model.put if self.rng.random() < 0.8 else self.model.delete)(number)

    def flush(self):
        # Our table may not be there, after another flush.
        self.node.run("nft", self.rng.choice(FOREIGN), check=False)

    def reload(self):
        self.node.daemon.send_signal(signal.SIGHUP)

    def restart_server(self):
        self.server.stop()
        self.change()
        if self.rng.random() < 0.5:
            self.server.compact()
        self.server.start()

    def end_watches(self):
        self.server.end_watches()
        self.change()

    def kill(self):
        self.node.stop(signal.SIGKILL)
        if self.rng.random() < 0.5:
            self.change()
        if self.rng.random() < 0.5:
            self.flush()
        self.start()

    def stop(self):
        assert self.node.stop() == 0
        self.change()
        self.start()

    RESTARTS = {kill: 2, stop: 2}
    STEPS = {change: 20, flush: 20, end_watches: 4, reload: 2, restart_server: 1}

    def step(self, kinds):
        """One to three things at once; then all has to become right."""
        steps = self.rng.choices(list(kinds), list(kinds.values()), k=self.rng.randrange(1, 4))
        for step in steps:
            step(self)
        names = " + ".join(sorted({step.__name__ for step in steps}))
        # When the client looks for its server again is a matter of its back-off.
        seconds = 60 if self.restart_server.__func__ in steps else 30
        self.settled_ms.setdefault(names, []).append(self.wait_settled(seconds))

    def run(self, seconds, kinds, at_least=10):
        n_steps, end = 0, time.monotonic() + seconds
        while n_steps < at_least or time.monotonic() < end:
            self.step(kinds)
            n_steps += 1

    # --- what must not grow ---

    def usage(self):
        """Memory, and the most descriptors of some moments: watches that ended come back."""
        n = []
        for _ in range(20):
            n.append(n_fds(self.node.daemon.pid))
            time.sleep(0.1)
        return rss_kb(self.node.daemon.pid), max(n)

    def report_log(self, text):
        starts, took_us = text.count('msg="starting"'), re.findall(r"took_us=(\d+)", text)
        print(f"{starts} starts, {text.count('repaired')} repairs, {text.count('sync failed')} failed "
              f"syncs, longest {max(map(int, took_us)) / 1000:.0f} ms")

    def report(self, first, last):
        """Apart when the API server was restarted: then the client's back-off counts."""
        all_times = sorted((ms, names) for names, all_ms in self.settled_ms.items() for ms in all_ms)
        restarts = [t for t in all_times if "restart_server" in t[1]]
        for what, times in (("without", [t for t in all_times if t not in restarts]),
                            ("with", restarts)):
            if not times:
                continue
            print(f"{self.node.mode}: {len(times)} steps {what} a restart of the server; ms until all "
                  f"was right: median {times[len(times) // 2][0]:.0f}, "
                  f"{sum(ms > 1000 for ms, _ in times)} over 1000, longest")
            for ms, names in times[-3:]:
                print(f"  {ms:.0f} after {names}")
        print(f"VmRSS {first[0]} -> {last[0]} kB; descriptors {first[1]} -> {last[1]}")


def test_soak(node, tmp_path):
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"SOAK_SEED={seed}")
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    with (tmp_path / "log").open("w") as log:
        soak = Soak(node, log, random.Random(seed))
        soak.start()
        load = client.load(STABLE4, 80, n_clients=2)
        soak.run(SECONDS / 2, soak.STEPS | soak.RESTARTS)
        # From here on it is one process, which is compared with itself.
        soak.kill()
        soak.run(0, soak.STEPS)
        first = soak.usage()
        soak.run(SECONDS / 2, soak.STEPS)
        last = soak.usage()
        soak.report(first, last)
        soak.report_log((tmp_path / "log").read_text())
        assert last[0] - first[0] < (16 if SANITIZED else 2) * 1024
        # A repair of the hooks needs a second set of them for a moment; connections come and go.
        wait_for("no more descriptors than before",
                 lambda: n_fds(node.daemon.pid) <= first[1] + 2)
        assert all(answers.servers for answers in load.stop())
        for ip in (STABLE4, STABLE6):
            got = client.ask(ip, 80, count=50)
            assert not got.errors and len(got.servers) == 2
        assert node.stop() == 0
        soak.server.stop()
