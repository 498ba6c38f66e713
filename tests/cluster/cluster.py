# SPDX-License-Identifier: GPL-2.0-or-later
"""kproxy in a node of network namespaces, watching an API server outside of them.

The namespaces have no way out, so a relay listens inside the node's and connects from outside; the
certificate is still checked against the server's own name.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../netns"))
from fakeapi import listen_in  # noqa: E402
from node import KPROXY, LEAVE_MAX, Node, run, wait_for  # noqa: E402

RELAY_PORT = 6443


class Relay:
    """Forwards connections from the namespace to the server."""

    def __init__(self, namespace, host, port):
        self.target = (host, port)
        self.listener = listen_in(namespace, RELAY_PORT)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                inside, _ = self.listener.accept()
            except OSError:
                return
            try:
                outside = socket.create_connection(self.target, 5)
                outside.settimeout(None)
            except OSError:
                inside.close()
                continue
            for a, b in ((inside, outside), (outside, inside)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._copy, args=(a, b), daemon=True).start()

    @staticmethod
    def _copy(source, target):
        try:
            while (data := source.recv(1 << 18)):
                target.sendall(data)
        except OSError:
            pass
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Cluster:
    """A cluster that KUBECONFIG describes; 'node_name' is whose node kproxy plays."""

    def __init__(self, kubeconfig, kproxy_kubeconfig=None):
        self.kubeconfig = kubeconfig
        self.kproxy_kubeconfig = kproxy_kubeconfig or kubeconfig
        nodes = self.get("nodes")
        self.node_name = nodes[0]["metadata"]["name"] if nodes else "node1"

    def kubectl(self, *argv, **kwargs):
        return run("kubectl", f"--kubeconfig={self.kubeconfig}", *argv, **kwargs)

    def get(self, resource):
        return json.loads(self.kubectl("get", resource, "-A", "-o", "json").stdout)["items"]

    def apply(self, *objects):
        self.kubectl("create", "-f", "-", input=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": objects}))


class ClusterNode(Node):
    """The node of namespaces, its kproxy on the cluster."""

    def __init__(self, cluster):
        self.directory_owner = tempfile.TemporaryDirectory()
        super().__init__(self.directory_owner.name)
        self.cluster = cluster
        self.log_path = os.path.join(self.directory, "log")
        self.kubeconfig = os.path.join(self.directory, "kubeconfig")
        host, port = self._write_kubeconfig()
        self.relay = Relay(self.ns, host, port)

    def _write_kubeconfig(self):
        """The cluster's own kubeconfig with the relay's address; paths stay as they are."""
        with open(self.cluster.kproxy_kubeconfig, encoding="utf-8") as f:
            config = yaml.safe_load(f)
        base = os.path.dirname(os.path.abspath(self.cluster.kproxy_kubeconfig))
        context = next(c["context"] for c in config["contexts"]
                       if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        for where, names in ((cluster, ["certificate-authority"]),
                             (user, ["client-certificate", "client-key", "tokenFile"])):
            for name in names:
                if name in where:
                    where[name] = os.path.join(base, where[name])
        url = urllib.parse.urlsplit(cluster["server"])
        cluster["server"] = f"{url.scheme}://127.0.0.1:{RELAY_PORT}{url.path}"
        cluster.setdefault("tls-server-name", url.hostname)
        with open(self.kubeconfig, "w", encoding="utf-8") as f:
            yaml.safe_dump(config, f)
        return url.hostname, url.port or 443

    def argv(self, *extra):
        return [KPROXY, "--mode=nft", f"--kubeconfig={self.kubeconfig}", "--log-level=debug",
                f"--hostname-override={self.cluster.node_name}", *LEAVE_MAX,
                "--cluster-cidr=10.180.0.0/16,fd00:10:180::/64", *extra]

    def start(self, *extra):
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.daemon = self.popen(
                *self.argv("--healthz-bind-address=127.0.0.1:10256", *extra), stderr=log)
        wait_for("kproxy is ready", self.is_ready, 60)

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def kernel(self):
        """{(cluster IP, protocol, port): {(address, port)}}"""
        return {(f["address"], s["protocol"], f["port"]):
                {(e["address"], e["port"]) for e in s["endpoints"]}
                for s in self.dump()["services"] for f in s["frontends"]
                if f["type"] == "ClusterIP"}

    def wait_equal(self, seconds=30):
        """Waits until the kernel holds what the API server says."""
        deadline = time.monotonic() + seconds
        while True:
            want, have = desired(self.cluster), self.kernel()
            if want == have:
                return len(want)
            assert time.monotonic() < deadline, (
                f"missing or different: {[k for k in want if want[k] != have.get(k)][:5]}, "
                f"too many: {[k for k in have if k not in want][:5]}")
            time.sleep(0.2)

    def close(self):
        self.relay.close()
        super().close()
        self.directory_owner.cleanup()


def usable(endpoints):
    """EP-1: the ready ones, else those that still serve while they end."""
    def condition(e, name, default):
        value = e.get("conditions", {}).get(name)
        return default if value is None else value

    ready = [e for e in endpoints if condition(e, "ready", True)]
    return ready or [e for e in endpoints
                     if condition(e, "serving", condition(e, "ready", True)) and
                     condition(e, "terminating", False)]


def desired(cluster):
    """What kernel() must be, computed from the API's objects in another way than kproxy does it."""
    slices = {}
    for s in cluster.get("endpointslices"):
        owner = s["metadata"].get("labels", {}).get("kubernetes.io/service-name")
        slices.setdefault((s["metadata"]["namespace"], owner), []).append(s)
    result = {}
    for service in cluster.get("services"):
        meta, spec = service["metadata"], service["spec"]
        opted_out = {"service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"}
        if spec.get("clusterIP", "None") in ("", "None") or spec["type"] == "ExternalName" or \
                opted_out & set(meta.get("labels", {})):
            continue
        for port in spec.get("ports", []):
            for ip in spec["clusterIPs"]:
                family = "IPv6" if ":" in ip else "IPv4"
                found = [(e, p["port"]) for s in slices.get((meta["namespace"], meta["name"]), [])
                         if s["addressType"] == family for p in s.get("ports") or []
                         if p.get("name", "") == port.get("name", "") and
                         p.get("protocol", "TCP") == port.get("protocol", "TCP")
                         for e in s.get("endpoints") or []]
                good = usable([e for e, _ in found])
                result[ip, port.get("protocol", "TCP"), port["port"]] = {
                    (e["addresses"][0], p) for e, p in found if e in good}
    return result


class ApiServer:
    """The API server for tests, from the binaries in KPROXY_APISERVER."""

    def __init__(self, directory, *flags):
        self.directory, self.flags = str(directory), flags
        self.bin = os.environ["KPROXY_APISERVER"]
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = None
        self.start()

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self):
        if os.path.exists(self.path("ready")):
            os.unlink(self.path("ready"))
        with open(self.path("log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.bin, "apiserver"), "--out", self.directory, "--secure-port",
                 str(self.port), *self.flags], stdout=log, stderr=log)
        wait_for("the API server", lambda: os.path.exists(self.path("ready")), 60)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cluster(self):
        """Has at least one Node."""
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a-node"}}
        run("kubectl", "--kubeconfig=" + self.path("admin.kubeconfig"), "apply", "-f", "-",
            input=json.dumps(node))
        return Cluster(self.path("admin.kubeconfig"), self.path("kproxy.kubeconfig"))

    def loadgen(self, *argv):
        return run(os.path.join(self.bin, "loadgen"), *argv,
                   env={**os.environ, "KUBECONFIG": self.path("admin.kubeconfig")})

    def loadgen_in_background(self, *argv):
        return subprocess.Popen([os.path.join(self.bin, "loadgen"), *argv],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env={**os.environ, "KUBECONFIG": self.path("admin.kubeconfig")})

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.process.wait()
