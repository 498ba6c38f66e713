# SPDX-License-Identifier: GPL-2.0-or-later
"""The API client against a server that fails on purpose.  After each fault the kernel must hold what
the server holds, a list must be asked for only where the protocol demands it, and nothing may be
asked in a tight loop."""
import json
import os
import re
import secrets
import shutil
import signal
import time

import pytest

import fakeapi
from fakeapi import FakeServer, answers, error_event, status, streams
from node import KPROXY, LEAVE_MAX, Host, endpointslice, run, service, wait_for

PORTS = [("http", "TCP", 80)]


def web(number, *endpoints):
    name = f"web{number}"
    return (service(name, [f"10.96.1.{number}"], PORTS),
            endpointslice(name, name, [f"10.180.0.{e}" for e in endpoints],
                          [("http", "TCP", 8080)]))


class Rig:
    """kproxy and the fake in one namespace."""

    def __init__(self, directory, **server):
        self.directory = str(directory)
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


@pytest.fixture
def rig(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    rig = Rig(tmp_path)
    try:
        yield rig
    finally:
        rig.close()


# --- every way for a list to fail, before the first sync ---

LIST_FAULTS = {
    "410": answers(410, status(410, "Expired")),
    "too-large-version": answers(504, status(504, "Timeout", "Too large resource version: 9")),
    "429": answers(429, b"Too many requests", "text/plain", ["Retry-After: 1"]),
    "500": answers(500),
    "502-html": answers(502, b"<html>bad gateway</html>", "text/html"),
    "503-retry": answers(503, status(503), headers=["Retry-After: 1"]),
    "504": answers(504),
    "403": answers(403, status(403, "Forbidden", "no")),
    "wrong-type": answers(200, b"<html>log in</html>", "text/html"),
    "garbage": answers(200, b"{]"),
    "another-list": answers(200, {"kind": "PodList", "apiVersion": "v1", "items": [],
                                  "metadata": {"resourceVersion": "7"}}),
    "no-version": answers(200, {"kind": "ServiceList", "apiVersion": "v1", "items": [],
                                "metadata": {}}),
    "a-status": answers(200, status(500, "InternalError")),
    "cut": fakeapi.cut_in_the_middle,
    "reset": fakeapi.resets,
    "closed": fakeapi.closes,
    "half-a-header": fakeapi.raw(b"HTTP/1.1 200 O"),
    "not-http": fakeapi.raw(b"SSH-2.0-OpenSSH\r\n"),
    "ends-within-an-item": streams(b'{"kind":"ServiceList","metadata":{"resourceVersion":"7"},'
                                   b'"items":[{"metadata":{"name":"x"'),
}


# libcurl repeats a request by itself when a used connection ends before the answer, and the protocol
# wants an answer to a lost version at once.
AT_ONCE = {"410", "too-large-version", "reset", "closed", "half-a-header", "not-http"}


@pytest.mark.parametrize("name", LIST_FAULTS)
def test_list_fails(rig, name):  # 1.5
    rig.server.fail("list", "services", LIST_FAULTS[name])
    rig.start()
    wait_for("the fault", rig.server.wait_faults)
    if name not in AT_ONCE:
        assert not rig.kernel(), "synced without a complete list"
    rig.wait_equal()
    lists = [r for r in rig.server.requests if (r.verb, r.resource) == ("list", "services")]
    assert len(lists) == 2
    if name not in AT_ONCE:
        assert lists[1].time - lists[0].time > 0.7, "not waited"


# --- every way for a watch to end ---

WATCH_FAULTS = {  # name: (fault, lists of endpointslices afterwards)
    "410": (answers(410, status(410, "Expired")), True),
    "410-event": (error_event(status(410, "Expired")), True),
    "410-gone-event": (error_event(status(410, "Gone")), True),
    "too-large-version": (answers(504, status(504, "Timeout", details={
        "causes": [{"reason": "ResourceVersionTooLarge"}]})), True),
    "too-large-version-event": (error_event(status(504, "Timeout", details={
        "causes": [{"reason": "ResourceVersionTooLarge"}]})), True),
    "429": (answers(429, status(429, "TooManyRequests"), headers=["Retry-After: 1"]), False),
    "429-event": (error_event(status(429, "TooManyRequests",
                                     details={"retryAfterSeconds": 1})), False),
    "500": (answers(500), False),
    "500-event": (error_event(status(500, "InternalError")), False),
    "503-retry": (answers(503, status(503), headers=["Retry-After: 1"]), False),
    "504": (answers(504), False),
    "401": (answers(401), False),
    "401-event": (error_event(status(401, "Unauthorized")), False),
    "403": (answers(403), False),
    "403-event": (error_event(status(403, "Forbidden")), False),
    "404": (answers(404), True),
    "redirect": (answers(302, b"", headers=["Location: http://127.0.0.1:1/"]), False),
    "406": (answers(406), False),
    "closed": (fakeapi.closes, False),
    "reset": (fakeapi.resets, False),
    "empty": (streams(b""), False),
    "wrong-type": (answers(200, b"<html></html>", "text/html"), False),
    "cut-event": (streams(b'{"type":"ADDED","object":{"kind":"Endp'), False),
    "garbage": (streams(b"garbage\n"), True),
    "not-json": (streams(b'{"type":"ADDED","object":{"a":tru}}\n'), True),
    "invalid-utf8": (streams(b'{"type":"ADDED","object":{"a":"\xff"}}\n'), True),
    "duplicate-keys": (streams(b'{"type":"ADDED","type":"ADDED","object":{}}\n'), True),
    "a-list": (streams(b'{"kind":"EndpointSliceList","metadata":{},"items":[]}'), True),
    "deep": (streams(b'{"type":"ADDED","object":' + b'{"a":' * 200), True),
}
SLOW = {"redirect", "406"}  # wait for half a minute: shown in the unit tests


@pytest.mark.parametrize("name", [n for n in WATCH_FAULTS if n not in SLOW])
def test_watch_ends(rig, name):  # 1.5, RF-14
    fault, relists = WATCH_FAULTS[name]
    rig.start_synced()
    rig.server.fail("watch", "endpointslices", fault)
    n_fds = rig.n_fds()
    rig.server.end_watches()
    wait_for("the fault", rig.server.wait_faults)
    rig.server.put(*web(1, 2), *web(3, 7, 8))
    rig.server.delete("services", "web2")
    rig.wait_equal()
    assert rig.server.count("list", "endpointslices") == (2 if relists else 1)
    assert rig.server.count("list", "services") == 1, "another resource was listed"
    assert rig.server.count("watch", "endpointslices") <= 5
    assert rig.n_fds() <= n_fds


def test_events_that_mean_nothing(rig):  # RF-12, RF-15
    rig.start_synced()
    slice1 = json.loads(json.dumps(rig.server.objects["endpointslices", "default", "web1"]))
    slice1["metadata"]["resourceVersion"] = str(rig.server.version)
    bad = json.loads(json.dumps(slice1))
    bad["endpoints"] = "none"
    unknown = json.loads(json.dumps(slice1))
    unknown["metadata"]["name"] = "never-seen"
    for kind, obj in (("ADDED", slice1), ("ADDED", slice1), ("MODIFIED", bad),
                      ("DELETED", unknown), ("SOMETHING", slice1)):
        rig.server.emit("endpointslices", json.dumps({"type": kind, "object": obj}).encode())
    large = b'{"type":"MODIFIED","object":{"x":"' + b"y" * (4 << 20) + b'"}}\n'
    rig.server.emit("endpointslices", large)
    rig.server.put(*web(2, 9))
    rig.wait_equal()
    assert rig.server.count("list", "endpointslices") == 1
    assert rig.server.count("watch", "endpointslices") == 1
    assert "expected a list" in rig.log() and "larger than 3 MiB" in rig.log()


def test_a_stream_in_single_bytes(rig):
    rig.start_synced()
    rig.server.put(*web(1, 5))
    rig.wait_equal()
    for byte in json.dumps({"type": "BOOKMARK", "object": {
            "kind": "EndpointSlice", "metadata": {"resourceVersion": "500"}}}).encode() + b"\n":
        rig.server.emit("endpointslices", bytes([byte]))
    with rig.server.lock:
        rig.server.version = 600
    rig.server.put(*web(1, 6))
    rig.wait_equal()
    assert rig.server.count("watch", "endpointslices") == 1


def test_one_gigabyte_of_spaces(rig):
    def spaces(request):
        request.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\n")
        block = b" " * (1 << 20)
        for _ in range(1024):
            request.chunk(block)
        request.end_stream()

    rig.server.fail("list", "services", spaces)
    rig.start()
    rig.wait_equal(60)
    with open(f"/proc/{rig.process.pid}/status", encoding="utf-8") as f:
        peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
    assert peak < (120 << 10 if "san" in KPROXY else 40 << 10)


def test_pages(rig):  # RF-4, RF-6
    rig.server.minor, rig.server.page_size = "30", 2
    for number in range(3, 10):
        rig.server.put(*web(number, number))
    rig.server.fail("list", "services", answers(410, status(410, "Expired")))
    rig.start_synced()
    lists = [r for r in rig.server.requests if (r.verb, r.resource) == ("list", "services")]
    assert "limit" not in lists[0].query and lists[0].query["resourceVersion"] == "0"
    assert [r.query["limit"] for r in lists[1:]] == ["500"] * 5
    assert all("resourceVersion" not in r.query for r in lists[1:])


def test_lists_as_streams(rig):  # 1.6
    rig.start_synced("--stream-lists")
    rig.server.put(*web(1, 9))
    rig.wait_equal()
    assert rig.server.count("list", "services") == 0
    assert rig.server.count("watch", "services") == 1


def test_lists_as_streams_on_a_server_that_cannot(rig):  # RF-21
    for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
        rig.server.fail("watch", resource, answers(422, status(422, "Invalid", "sendInitialEvents")))
    rig.start_synced("--stream-lists")
    assert rig.server.count("list", "services") == 1


def test_relist_removes_what_has_gone(rig):  # RF-10, 410 during an outage
    rig.start_synced()
    rig.server.stop()
    rig.server.delete("services", "web2")
    rig.server.put(*web(1, 4), *web(3, 5))
    rig.server.compact()
    before = rig.kernel()
    time.sleep(1)
    assert rig.kernel() == before, "the kernel changed while the server was away"
    rig.server.start()
    rig.wait_equal(40)
    assert rig.server.count("list", "services") == 2
    assert "keeping the objects" in rig.log()


def test_one_request_at_a_time_looks_for_a_server_that_is_away(rig):  # RF-18
    rig.start_synced()
    for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
        rig.server.fail("watch", resource, fakeapi.closes, times=1000)
    n_before = len(rig.server.requests)
    rig.server.drop_connections()
    time.sleep(6)
    # libcurl itself repeats a request once when a used connection turns out to be closed.
    assert len(rig.server.requests) - n_before <= 4 * 2 + 4 * 2
    first = re.search(r"verb=connect .* retry_ms=(\d+)", rig.log())
    assert int(first[1]) <= 1600, "several failures at once counted as several in a row"


def test_selectors(rig):  # IN-1..4, RF-1
    rig.server.fail("list", "services", answers(400, status(400, "BadRequest", "field selector")))
    rig.start_synced()
    wanted = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
    for r in rig.server.requests:
        if r.resource in ("services", "endpointslices", "servicecidrs"):
            assert r.query["labelSelector"] == wanted
        if r.resource == "nodes":
            assert r.query["fieldSelector"] == "metadata.name=node1"
        assert r.headers.get("accept-encoding") is None
        assert r.headers["user-agent"].startswith("kproxy/")
    services = [r for r in rig.server.requests if r.resource == "services"]
    assert services[0].query["fieldSelector"] == "spec.clusterIP!=None"
    assert all("fieldSelector" not in r.query for r in services[1:])


def test_service_cidrs_are_optional(rig):  # IN-8
    rig.server.fail("list", "servicecidrs", answers(404), times=100)
    rig.start()
    rig.wait_equal()
    assert rig.server.count("list", "servicecidrs") == 1


def test_wrong_url_fails_at_once(rig):
    rig.server.fail("list", "services", answers(404), times=100)
    rig.start()
    assert rig.process.wait(10) == 1
    assert "services: 404" in rig.log()


def test_says_what_is_missing(rig):
    cases = (("http://nowhere.invalid:6443", "name not found (DNS)"),
             ("http://127.0.0.1:1", "cannot connect (TCP)"),
             ("https://127.0.0.1:6443", "TLS handshake failed"))
    for url, text in cases:
        rig.start(kubeconfig=rig.kubeconfig(url))
        wait_for(text, lambda t=text: t in rig.log())
        os.kill(rig.process.pid, signal.SIGTERM)
        assert rig.process.wait(10) == 0
    rig.server.fail("list", "services", answers(403, status(
        403, "Forbidden", 'cannot list resource "services"')))
    rig.start()
    wait_for("the hint", lambda: "deploy/clusterrole.yaml" in rig.log())
    assert 'verb=list resource=services error="403 Forbidden: cannot list' in rig.log()


def test_manifests_and_api_exclude_each_other(rig):
    r = run(KPROXY, "--manifests=/tmp", "--master=http://x", check=False)
    assert r.returncode == 2 and "one source only" in r.stderr


# --- TLS and credentials ---

def make_ca(directory, name):
    key, cert = f"{directory}/{name}.key", f"{directory}/{name}.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.test")
    return cert, key


@pytest.fixture
def tls_rig(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    certificate = make_ca(tmp_path, "server")
    rig = Rig(tmp_path, certificate=certificate)
    rig.ca = certificate[0]
    try:
        yield rig
    finally:
        rig.close()


SERVER = "https://127.0.0.1:6443"


def test_only_the_clusters_ca_is_trusted(tls_rig):
    other, _ = make_ca(tls_rig.directory, "other")
    tls_rig.start(kubeconfig=tls_rig.kubeconfig(SERVER, {"certificate-authority": other}))
    wait_for("refusal", lambda: "certificate is not trusted (TLS)" in tls_rig.log())
    assert not tls_rig.server.requests
    # The file is read again: the right CA is enough, without a restart (CF-7).
    with open(tls_rig.ca, "rb") as good, open(other, "wb") as f:
        f.write(good.read())
    tls_rig.wait_equal()


def in_private_mounts(rig, script):
    """A wrapper that runs kproxy after 'script', whose mounts nobody else sees."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if run(*unshare, "true", check=False).returncode:
        pytest.skip("mounts cannot be private here")
    path = os.path.join(rig.directory, "wrapper")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"""#!/bin/sh
exec {" ".join(unshare)} sh -ec '{script}; exec "$@"' sh "$@"
""")
    os.chmod(path, 0o755)
    return path


def test_the_systems_cas_are_not_trusted_beside_the_clusters(tls_rig):  # LC-5
    other, _ = make_ca(tls_rig.directory, "other")
    certs = os.path.join(tls_rig.directory, "certs")
    os.mkdir(certs)
    shutil.copy(tls_rig.ca, f"{certs}/server.pem")
    run("openssl", "rehash", certs)
    wrapper = in_private_mounts(tls_rig, f"mount --bind {certs} /etc/ssl/certs")
    tls_rig.start(kubeconfig=tls_rig.kubeconfig(SERVER, {"certificate-authority": other}),
                  wrapper=[wrapper])
    wait_for("refusal", lambda: "certificate is not trusted (TLS)" in tls_rig.log())
    assert not tls_rig.server.requests


def test_in_a_pod(tls_rig):  # 2.3, CF-5
    tls_rig.server.tokens = ["secret-1"]
    account = "/run/secrets/kubernetes.io/serviceaccount"
    wrapper = in_private_mounts(
        tls_rig, f"mount -t tmpfs none /run; mkdir -p {account}; "
        f"cp {tls_rig.ca} {account}/ca.crt; printf secret-1 >{account}/token")
    env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    tls_rig.start_synced(kubeconfig="", wrapper=[wrapper], env=env)
    assert "secret" not in tls_rig.log()
    os.kill(tls_rig.process.pid, signal.SIGTERM)
    assert tls_rig.process.wait(10) == 0
    tls_rig.start(kubeconfig="", wrapper=[wrapper], env={**env, "KUBERNETES_SERVICE_PORT": "1"})
    wait_for("the hint", lambda: "only works once a proxy has" in tls_rig.log())


def test_client_certificate(tls_rig):  # CF-7
    clients, key = make_ca(tls_rig.directory, "client")
    others, _ = make_ca(tls_rig.directory, "others")
    tls_rig.server.client_ca = others
    tls_rig.start(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": tls_rig.ca},
        {"client-certificate": clients, "client-key": key}))
    wait_for("refusal", lambda: "request failed" in tls_rig.log())
    tls_rig.server.client_ca = clients
    tls_rig.wait_equal()
    # A new certificate is used for the next connection, without a restart.
    new, new_key = make_ca(tls_rig.directory, "new")
    os.rename(new, clients)
    os.rename(new_key, key)
    tls_rig.server.client_ca = clients
    tls_rig.server.drop_connections()
    tls_rig.server.put(*web(1, 9))
    tls_rig.wait_equal()


def test_tls_server_name(tls_rig):  # LC-6
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": "server.crt", "tls-server-name": "api.test"}))
    assert {r.headers["host"] for r in tls_rig.server.requests} == {"127.0.0.1:6443"}


def test_token_rotation(tls_rig):  # CF-6
    path = os.path.join(tls_rig.directory, "token")

    def set_token(token):
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(token + "\n")
        os.rename(path + ".new", path)
        tls_rig.server.tokens = [token]

    set_token("secret-1")
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": tls_rig.ca}, {"tokenFile": "token"}))
    for number in range(2, 5):
        set_token(f"secret-{number}")
        tls_rig.server.end_watches()
        tls_rig.server.put(*web(1, number + 10))
        tls_rig.wait_equal(5)
    assert tls_rig.server.count("list", "services") == 1
    assert "secret" not in tls_rig.log()


PLUGIN = """#!/bin/sh
n=$(cat "$DIR/n"); echo $((n + 1)) > "$DIR/n"
echo "$KUBERNETES_EXEC_INFO" > "$DIR/info"
echo "a remark" >&2
cat <<END
{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",
 "status":{"token":"secret-$n"}}
END
"""


def test_exec_plugin(tls_rig):  # CF-8, CF-9
    directory = tls_rig.directory
    with open(f"{directory}/plugin", "w", encoding="utf-8") as f:
        f.write(PLUGIN)
    os.chmod(f"{directory}/plugin", 0o755)
    with open(f"{directory}/n", "w", encoding="utf-8") as f:
        f.write("1")
    tls_rig.server.tokens = ["secret-1"]
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": tls_rig.ca},
        {"exec": {"command": "./plugin", "apiVersion": "client.authentication.k8s.io/v1",
                  "interactiveMode": "Never", "env": [{"name": "DIR", "value": directory}]}}))
    tls_rig.server.tokens = ["secret-2"]
    tls_rig.server.end_watches()
    tls_rig.server.put(*web(1, 9))
    tls_rig.wait_equal(5)
    with open(f"{directory}/n", encoding="utf-8") as f:
        assert f.read() == "3\n", "one run at start, one after the 401"
    with open(f"{directory}/info", encoding="utf-8") as f:
        assert json.load(f)["spec"] == {"interactive": False}
    assert "a remark" in tls_rig.log() and "secret" not in tls_rig.log()


def test_stops_at_any_time(tls_rig):
    plugin = {"exec": {"command": "sleep", "args": ["1000"],
                       "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}}
    for user, ready in ((plugin, "watching the API server"), ({}, "the API server answers"),
                        ({}, "all objects are known")):
        tls_rig.start(kubeconfig=tls_rig.kubeconfig(SERVER, {"certificate-authority": tls_rig.ca},
                                                    user))
        wait_for(ready, lambda r=ready: r in tls_rig.log())
        os.kill(tls_rig.process.pid, signal.SIGTERM)
        assert tls_rig.process.wait(10) == 0
        os.unlink(tls_rig.log_path)


def test_check(rig):
    def check(*flags):
        return rig.host.run(KPROXY, f"--kubeconfig={rig.kubeconfig()}", "--check", *flags,
                            check=False)

    for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
        rig.server.fail("watch", resource, streams(b""), times=3)
    good = check("--hostname-override=node1")
    assert good.returncode == 0 and good.stdout.count("ok ") == 10, good.stdout
    assert not rig.server.events, "more than a dry run"
    rig.server.fail("create", "events", answers(403, status(403, "Forbidden")))
    without = check("--hostname-override=node1")
    assert without.returncode == 0, without.stdout
    assert "create events          not allowed, we do without" in without.stdout
    rig.server.fail("list", "endpointslices", answers(403, status(403, "Forbidden", "no way")))
    bad = check("--hostname-override=node2")
    assert bad.returncode == 1
    assert "FAIL  list endpointslices" in bad.stdout and "deploy/clusterrole.yaml" in bad.stdout


def test_no_credentials_without_tls(rig):  # CF-3
    rig.start_synced(kubeconfig=rig.kubeconfig(user={"token": "secret"}))
    assert all("authorization" not in r.headers for r in rig.server.requests)
    assert "sending no credentials" in rig.log() and "secret" not in rig.log()


def test_dead_peer(tmp_path):  # RF-24
    """The peer vanishes without a word: its packets are dropped in both directions."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    rig = Rig(tmp_path)
    try:
        rig.start_synced()
        rules = "table inet hole { chain c { type filter hook input priority -300; " \
                "tcp dport 6443 ct state established drop; tcp sport 6443 ct state established drop; }; }"
        rig.host.run("nft", "-f", "-", input=rules)
        start = time.monotonic()
        rig.server.put(*web(1, 8))
        wait_for("the loss is noticed", lambda: "broke off" in rig.log(), 40)
        assert time.monotonic() - start < 35
        rig.host.run("nft", "delete", "table", "inet", "hole")
        rig.wait_equal(20)
        assert rig.server.count("list", "services") == 1
    finally:
        rig.close()


@pytest.mark.skipif(not os.environ.get("KPROXY_SLOW"), reason="takes 3 minutes, needs KPROXY_SLOW=1")
def test_frozen_server(rig):  # RF-25, RF-27
    """The server's kernel still acknowledges, but nothing answers."""
    rig.start_synced()
    for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
        rig.server.bookmark(resource)
    rig.server.put(*web(1, 7))
    rig.wait_equal()
    rig.server.thawed.clear()
    start = time.monotonic()
    wait_for("the silence is noticed", lambda: "overdue" in rig.log(), 160)
    rig.server.thawed.set()
    rig.server.put(*web(1, 8))
    rig.wait_equal(20)
    assert time.monotonic() - start < 180
    assert rig.server.count("list", "services") == 1
