# SPDX-License-Identifier: GPL-2.0-or-later
"""kproxy and the scripted API server in a namespace of their own."""
import json
import os
import secrets

from fakeapi import FakeServer
from node import KPROXY, LEAVE_MAX, Host, endpointslice, run, service, wait_for

SERVER = "https://127.0.0.1:6443"
PORTS = [("http", "TCP", 80)]


def web(number, *endpoints):
    name = f"web{number}"
    return (service(name, [f"10.96.1.{number}"], PORTS),
            endpointslice(name, name, [f"10.180.0.{e}" for e in endpoints],
                          [("http", "TCP", 8080)]))


class Rig:
    """kproxy and the fake in one namespace."""

    def __init__(self, directory, **server):
        self.directory, self.ca = str(directory), (server.get("certificate") or [None])[0]
        self.host = Host(f"kp-{secrets.token_hex(4)}-api")
        self.host.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
        self.server = FakeServer(self.host.ns, **server)
        self.server.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}})
        self.server.put(*web(1, 1, 2), *web(2, 3))
        self.process = None

    def kubeconfig(self, server="http://127.0.0.1:6443", cluster=None, user=None):
        path = os.path.join(self.directory, "kubeconfig")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"current-context": "a",
                       "contexts": [{"name": "a", "context": {"cluster": "b", "user": "c"}}],
                       "clusters": [{"name": "b", "cluster": {"server": server, **(cluster or {})}}],
                       "users": [{"name": "c", "user": user or {}}]}, f)
        return path

    @property
    def log_path(self):
        return os.path.join(self.directory, "log")

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def start(self, *flags, kubeconfig=None, env=None, wrapper=()):
        """'kubeconfig' None: a plain one; "": none at all."""
        source = [] if kubeconfig == "" else [f"--kubeconfig={kubeconfig or self.kubeconfig()}"]
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = self.host.popen(
                *wrapper, os.path.abspath(KPROXY), "--mode=nft", *source,
                "--hostname-override=node1", "--log-level=debug", *LEAVE_MAX, *flags, stderr=log,
                env={**os.environ, **(env or {})})

    def start_synced(self, *flags, **kwargs):
        self.start(*flags, **kwargs)
        self.wait_equal()
        for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
            wait_for(f"watch of {resource}",
                     lambda r=resource: self.server.count("watch", r) > 0)

    def kernel(self):
        """Cluster IP -> set of endpoints, as the kernel has them."""
        dump = self.host.run(KPROXY, "dump", "-o", "json", check=False)
        if dump.returncode:
            return None
        return {f["address"]: {e["address"] for e in s["endpoints"]}
                for s in json.loads(dump.stdout)["services"] for f in s["frontends"]}

    def desired(self):
        with self.server.lock:
            objects = dict(self.server.objects)
        result = {o["spec"]["clusterIP"]: set() for k, o in objects.items() if k[0] == "services"}
        for key, obj in objects.items():
            owner = obj["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            owner = objects.get(("services", "default", owner))
            if key[0] == "endpointslices" and owner:
                result[owner["spec"]["clusterIP"]] |= {a for e in obj["endpoints"]
                                                       for a in e["addresses"]}
        return result

    def wait_equal(self, seconds=20):
        wait_for("the kernel equals the server", lambda: self.kernel() == self.desired(), seconds)

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self):
        self.server.stop()
        self.host.close()


def make_ca(directory, name):
    key, cert = f"{directory}/{name}.key", f"{directory}/{name}.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.test")
    return cert, key
