# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to an API server, on a real one."""
import json
import os
import secrets
import signal
import time

import pytest

from cluster import ClusterNode
from node import wait_for
from test_any_cluster import make_web


@pytest.fixture
def cluster(api_server):
    return api_server.cluster()


@pytest.mark.parametrize("services", [1000, 10000])
def test_many_services(api_server, services):
    api_server.loadgen("fill", "--services", services, "--endpoints", 5)
    node = ClusterNode(api_server.cluster())
    try:
        node.start()
        assert node.wait_equal() == services
        api_server.loadgen("churn", "--rate", "200", "--duration",
                           "60s" if os.environ.get("KPROXY_SLOW") else "3s")
        node.wait_equal()
    finally:
        node.close()


def n_lists(node, resource):
    """How often kproxy has asked for a list."""
    return sum('msg="request"' in line and f"/{resource}?" in line and "watch=1" not in line
               for line in node.log().splitlines())


def test_kill_and_restart(api_server, node):
    api_server.loadgen("fill", "--services", "200", "--endpoints", "5")
    node.start()
    node.wait_equal()
    before, lists = node.kernel(), n_lists(node, "endpointslices")
    api_server.kill()
    wait_for("the loss is noticed", lambda: "keeping the objects" in node.log())
    assert node.kernel() == before and node.is_ready()
    api_server.start()
    make_web(node.cluster, "default", "10.180.0.1")
    node.wait_equal(60)
    # The server's memory of changes begins anew, so it may ask for a list; never for two.
    assert n_lists(node, "endpointslices") <= lists + 1


def test_compaction_during_an_outage(api_server, node):
    api_server.loadgen("fill", "--services", "200", "--endpoints", "5")
    node.start()
    node.wait_equal()
    lists = n_lists(node, "endpointslices")
    node.daemon.send_signal(signal.SIGSTOP)
    api_server.loadgen("churn", "--rate", "100", "--duration", "2s")
    api_server.signal(signal.SIGUSR1)
    wait_for("the compaction", lambda: "compacted" in open(api_server.path("log")).read())
    node.daemon.send_signal(signal.SIGCONT)
    node.wait_equal(60)
    api_server.loadgen("churn", "--rate", "100", "--duration", "1s")
    node.wait_equal(60)
    assert n_lists(node, "endpointslices") <= lists + 2


def test_orderly_restart_under_churn(api_server, node):
    api_server.loadgen("fill", "--services", "200", "--endpoints", "5")
    node.start()
    churn = api_server.loadgen_in_background("churn", "--rate", "50", "--duration", "6s")
    for _ in range(2):
        api_server.signal(signal.SIGTERM)
        api_server.process.wait()
        api_server.start()
    churn.wait()
    node.wait_equal(60)


def test_token_rotation(api_server, node):
    make_web(node.cluster, "default", "10.180.0.1")
    node.start()
    with open(api_server.path("token"), encoding="utf-8") as f:
        old = f.read().strip()
    for _ in range(2):
        new = secrets.token_hex(16)
        for name in ("tokens.csv", "token"):
            with open(api_server.path(name), encoding="utf-8") as f:
                text = f.read().replace(old, new)
            with open(api_server.path(name + ".new"), "w", encoding="utf-8") as f:
                f.write(text)
            os.rename(api_server.path(name + ".new"), api_server.path(name))
        old = new
        api_server.signal(signal.SIGTERM)
        api_server.process.wait()
        api_server.start()
        api_server.cluster().kubectl("patch", "endpointslice", "web-1", "--type=json", "-p",
                                     '[{"op": "replace", "path": "/endpoints/0/addresses/0", '
                                     f'"value": "10.180.0.{ord(new[0])}"}}]')
        node.wait_equal(60)
        assert new not in node.log()


@pytest.mark.server_flags("--authorize")
def test_least_privilege(api_server, node):
    make_web(node.cluster, "default", "10.180.0.1")
    node.start()
    node.wait_equal()
    # a refusal is an error line; the digits of its status may be in any time or version
    assert "level=error" not in node.log()


def events(node, *argv):
    """Those of the own Node and of the Services, as kubectl sees them."""
    return json.loads(node.cluster.kubectl("get", "events.v1.events.k8s.io", "-A", "-o", "json",
                                           *argv).stdout)["items"]


@pytest.mark.server_flags("--authorize")
def test_events(api_server, node):  # SY-15, with the least privilege
    node.start()
    node.wait_equal()
    wait_for("the start", lambda: any(e["reason"] == "Starting" for e in events(node)), 20)
    start = next(e for e in events(node) if e["reason"] == "Starting")
    assert start["regarding"]["name"] == node.cluster.node_name
    assert start["metadata"]["namespace"] == "default"
    for number in (1, 2, 3):
        node.run("nft", "flush ruleset")
        wait_for("the repair", lambda n=number: node.log().count("not as they should be") == n, 20)
    wait_for("the count is patched", lambda: [
        e.get("series", {}).get("count") for e in events(node)
        if e["reason"] == "RulesRepaired"] == [3], 30)
    assert "cannot write events" not in node.log()


def test_event_of_a_service_carries_its_uid(api_server, node):
    web = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default"},
           "spec": {"ports": [{"name": "http", "port": 80}], "externalIPs": ["203.0.113.9"]}}
    for name in ("first", "second"):
        web["metadata"]["name"] = name
        node.cluster.apply(web)
    node.start()
    wait_for("the conflict", lambda: any(e["reason"] == "FrontendConflict" for e in events(node)),
             20)
    event = next(e for e in events(node) if e["reason"] == "FrontendConflict")
    loser = node.cluster.kubectl("get", "service", event["regarding"]["name"], "-o",
                                 "jsonpath={.metadata.uid}").stdout
    assert event["regarding"]["uid"] == loser and len(loser) == 36


def test_streamed_lists(api_server, node):
    api_server.loadgen("fill", "--services", "500", "--endpoints", "5")
    node.start("--stream-lists")
    assert node.wait_equal() == 500
    assert n_lists(node, "services") == 0


@pytest.mark.server_flags("--feature-gates", "WatchList=false")
def test_streamed_lists_of_a_server_that_cannot(api_server, node):
    api_server.loadgen("fill", "--services", "50", "--endpoints", "5")
    node.start("--stream-lists")
    assert node.wait_equal() == 50
    assert n_lists(node, "services") >= 1


@pytest.mark.server_flags("--max-requests-inflight", "1")
def test_a_busy_server(api_server, node):
    api_server.loadgen("fill", "--services", "50", "--endpoints", "5", "--workers", "1")
    node.start()
    node.wait_equal(60)


def test_one_connection_for_everything(api_server, node):  # LC-3
    node.start()
    wait_for("all watches", lambda: node.log().count("watch=1") == 4)
    inode = {os.readlink(f"/proc/{node.daemon.pid}/fd/{fd}")
             for fd in os.listdir(f"/proc/{node.daemon.pid}/fd")}
    established = [line.split() for line in node.run("cat", "/proc/net/tcp").stdout.splitlines()
                   if line.split()[3] == "01"]
    assert sum(f"socket:[{c[9]}]" in inode for c in established) == 1


@pytest.mark.skipif(not os.environ.get("KPROXY_SLOW"), reason="takes 4 minutes, needs KPROXY_SLOW=1")
def test_frozen_server(api_server, node):  # RF-25, RF-27, over HTTP/2
    make_web(node.cluster, "default", "10.180.0.1")
    node.start()
    node.wait_equal()
    # A bookmark needs a version that has moved on.
    node.cluster.kubectl("create", "namespace", "moves-on")
    time.sleep(80)
    api_server.signal(signal.SIGSTOP)
    try:
        wait_for("the silence is noticed", lambda: "overdue" in node.log(), 155)
    finally:
        api_server.signal(signal.SIGCONT)
    node.cluster.kubectl("delete", "endpointslice", "web-1")
    node.wait_equal(20)
