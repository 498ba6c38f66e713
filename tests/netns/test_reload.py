# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGHUP: the source and the kernel are read again, whatever was believed before."""
import os
import signal

from fakeapi import answers
from node import endpointslice, service, wait_for
from rig import PORTS, SERVER, web
from test_process import Daemon
from test_traffic import web as local_web


def reload(rig):
    os.kill(rig.process.pid, signal.SIGHUP)


def full_syncs(rig):
    return sum("full=1" in line for line in rig.log().splitlines())


def addresses(node):
    return {e["address"] for s in node.dump()["services"] for e in s["endpoints"]}


def test_manifests_are_read_again(node, tmp_path, tmp_path_factory):
    node.write("web.json", service("web", ["10.96.0.10"], PORTS),
               endpointslice("web-4", "web", ["10.180.0.1"], PORTS))
    daemon = Daemon(node, tmp_path)
    daemon.wait_for("full=1")
    # Written by another name of the file, which the directory is not told of.
    other = tmp_path_factory.mktemp("other") / "web.json"
    os.link(os.path.join(node.directory, "web.json"), other)
    other.write_text(other.read_text().replace("10.180.0.1", "10.180.0.2"))
    daemon.send(signal.SIGHUP)
    daemon.wait_for("full=1", 2)
    assert addresses(node) == {"10.180.0.2"}
    assert len(daemon.lines('msg="reading everything again"')) == 1
    daemon.send(signal.SIGHUP)
    daemon.wait_for("full=1", 3)
    assert "ops=0" in daemon.lines("full=1")[2]
    assert daemon.stop() == 0


def test_sighup_while_waiting_is_not_the_end(node, tmp_path):
    local_web(node, [1])
    first = Daemon(node, tmp_path)
    first.wait_for("sync done")
    second = Daemon(node, tmp_path, name="log2")
    second.wait_for("waiting for it")
    second.send(signal.SIGHUP)
    first.stop()
    second.wait_for("sync done")


def test_everything_is_listed_again(rig):  # RF-10
    rig.start_synced()
    # What the watches never told, as after a fault of the server.
    with rig.server.lock:
        rig.server.objects.pop(("services", "default", "web2"))
    before, n_syncs = rig.kernel(), full_syncs(rig)
    assert "10.96.1.2" in before
    reload(rig)
    rig.wait_equal()
    for resource in ("services", "endpointslices", "nodes", "servicecidrs"):
        assert rig.server.count("list", resource) == 2
    wait_for("a full sync", lambda: full_syncs(rig) > n_syncs)
    rig.server.put(*web(1, 7))  # and the watches go on
    rig.wait_equal()
    assert rig.n_fds() < 40


def test_the_newest_is_asked_for(rig):  # RF-3
    rig.start_synced()
    reload(rig)
    wait_for("a list", lambda: rig.server.count("list", "services") == 2)
    assert all("resourceVersion" not in r.query for r in rig.server.requests
               if (r.verb, r.resource) == ("list", "services"))


def test_rules_stay_while_the_server_is_away(rig):
    rig.start_synced()
    before = rig.kernel()
    rig.server.stop()
    for _ in range(3):
        reload(rig)
    wait_for("the failure", lambda: "request failed, keeping the objects" in rig.log())
    assert rig.kernel() == before
    assert rig.process.poll() is None
    rig.server.start()
    rig.server.put(*web(3, 9))
    rig.wait_equal(60)


def test_refusals_do_not_end_a_running_proxy(rig):
    """Before the first list they do: the URL is wrong.  Now the rules are worth more."""
    rig.start_synced()
    before = rig.kernel()
    rig.server.fail("list", "services", answers(404), times=2)
    reload(rig)
    wait_for("the faults", rig.server.wait_faults)
    assert rig.kernel() == before and rig.process.poll() is None
    rig.server.put(*web(3, 9))
    rig.wait_equal(60)


def test_storm(rig):
    """At any time: while the version is asked for, while lists come, while syncs run."""
    rig.start_synced()
    for number in range(100):
        rig.server.put(*web(number % 5, number % 200 + 1))
        reload(rig)
    rig.wait_equal(60)
    assert rig.n_fds() < 60
    os.kill(rig.process.pid, signal.SIGTERM)
    assert rig.process.wait(30) == 0


def test_token_of_the_kubeconfig(tls_rig):
    """Inline, where nothing but the file itself tells that there is a new one."""
    cluster = {"certificate-authority": tls_rig.ca}
    tls_rig.server.tokens = ["secret-1"]
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(SERVER, cluster, {"token": "secret-1"}))
    tls_rig.server.tokens = ["secret-2"]
    tls_rig.kubeconfig(SERVER, cluster, {"token": "secret-2"})
    reload(tls_rig)
    tls_rig.server.put(*web(1, 9))
    tls_rig.wait_equal()
    assert "secret" not in tls_rig.log()


def test_kubeconfig_that_cannot_be_used(rig):
    rig.start_synced()
    with open(os.path.join(rig.directory, "kubeconfig"), "w", encoding="utf-8") as f:
        f.write("current-context: [\n")
    reload(rig)
    wait_for("the error", lambda: "going on with the old one" in rig.log())
    assert rig.log().count("level=error") == 1
    rig.server.put(*web(1, 9))
    rig.wait_equal()


def test_certificate_that_cannot_be_used(tls_rig):
    cluster = {"certificate-authority": tls_rig.ca}
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(SERVER, cluster))
    bad = os.path.join(tls_rig.directory, "bad.crt")
    with open(bad, "w", encoding="utf-8") as f:
        f.write("no certificate\n")
    tls_rig.kubeconfig(SERVER, {"certificate-authority": bad})
    reload(tls_rig)
    wait_for("the error", lambda: "going on with the old one" in tls_rig.log())
    tls_rig.server.put(*web(1, 9))
    tls_rig.wait_equal()


def test_plugin_is_run_again(tls_rig):
    path = os.path.join(tls_rig.directory, "token")
    plugin = {"exec": {"command": "sh", "apiVersion": "client.authentication.k8s.io/v1",
                       "interactiveMode": "Never", "args": [
        "-c", 'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        f'"status":{{"token":"\'$(cat {path})\'"}}}}\'']}}
    tls_rig.server.tokens = ["one", "two"]
    for token in ("one", "two"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(token)
        if token == "one":
            tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
                SERVER, {"certificate-authority": tls_rig.ca}, plugin))
    reload(tls_rig)
    wait_for("the new token", lambda: tls_rig.server.requests[-1].headers.get("authorization") ==
             "Bearer two")


def test_server_moves(rig):
    """The kubeconfig names another server: its objects replace those of the first."""
    rig.start_synced()
    other = type(rig.server)(rig.host.ns, port=6444)
    other.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}}, *web(3, 30))
    first, rig.server = rig.server, other
    rig.kubeconfig("http://127.0.0.1:6444")
    reload(rig)
    rig.wait_equal()
    assert set(rig.kernel()) == {"10.96.1.3"}
    n = len(first.requests)
    other.put(*web(3, 31))
    rig.wait_equal()
    assert len(first.requests) == n
    first.stop()
