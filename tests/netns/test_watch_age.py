# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told when nothing is heard of the API server: to whom it matters, and in the metrics."""
import json
import re

from fakeapi import answers
from node import wait_for
from rig import web
from test_process import fast_clock

SPEED = 30  # three minutes of silence are six seconds
RESOURCES = ("services", "endpointslices", "nodes", "servicecidrs")


def ask(rig, path):
    status, _, body = rig.host.http(f"http://127.0.0.1:10256{path}")
    return status, json.loads(body) if status else None


def metrics(rig, name):
    """Per resource."""
    body = rig.host.http("http://127.0.0.1:10249/metrics")[2]
    return {resource: float(value) for resource, value in
            re.findall(rf'^kproxy_{name}{{resource="(\w+)"}} (\S+)$', body, re.M)}


def start(rig, speed=1):
    rig.start_synced("--healthz-bind-address=127.0.0.1:10256",
                     "--metrics-bind-address=127.0.0.1:10249",
                     env=fast_clock(rig.directory, speed) if speed > 1 else None)
    for resource in RESOURCES:
        rig.server.bookmark(resource)


def status_is(rig, path, status):
    return lambda: ask(rig, path)[0] == status


def everyone(rig, stale):
    def check():
        status, body = ask(rig, "/readyz")
        return status and all(w["stale"] == stale for w in body["watches"].values())
    return check


def test_server_that_freezes(rig):
    start(rig, SPEED)
    wait_for("ready", status_is(rig, "/readyz", 200))
    before = rig.kernel()
    rig.server.thawed.clear()
    wait_for("not ready", status_is(rig, "/readyz", 503), 60)
    wait_for("all watches are stale", everyone(rig, True), 60)
    for path in ("/healthz", "/livez"):  # traffic goes on as it did
        wait_for(path, status_is(rig, path, 200))
    wait_for("metrics", lambda: metrics(rig, "watch_stale") == dict.fromkeys(RESOURCES, 1))
    assert min(metrics(rig, "watch_silence_seconds").values()) > 180
    assert rig.kernel() == before
    rig.server.thawed.set()
    rig.server.put(*web(1, 9))
    rig.wait_equal(60)
    # Without bookmarks from time to time it would soon be stale again.
    def is_ready():
        for resource in RESOURCES:
            rig.server.bookmark(resource)
        return ask(rig, "/readyz")[0] == 200
    wait_for("ready", is_ready, 60)


def test_server_that_is_away(rig):
    start(rig, SPEED)
    rig.server.stop()
    wait_for("not ready", status_is(rig, "/readyz", 503), 60)
    wait_for("healthy", status_is(rig, "/healthz", 200))
    body = ask(rig, "/healthz")[1]
    assert body["healthy"] is True and body["nodeEligible"] is True
    rig.server.start()
    wait_for("ready", status_is(rig, "/readyz", 200), 60)


def test_metrics(rig):
    start(rig)
    assert metrics(rig, "lists_total") == dict.fromkeys(RESOURCES, 1)
    assert metrics(rig, "watches_total") == dict.fromkeys(RESOURCES, 1)
    assert metrics(rig, "watch_stale") == dict.fromkeys(RESOURCES, 0)
    assert metrics(rig, "request_failures_total") == dict.fromkeys(RESOURCES, 0)
    assert metrics(rig, "refused_objects_total") == dict.fromkeys(RESOURCES, 0)
    assert set(metrics(rig, "watch_silence_seconds")) == set(RESOURCES)

    rig.server.end_watches()
    wait_for("new watches", lambda: metrics(rig, "watches_total")["services"] == 2)
    assert metrics(rig, "request_failures_total")["services"] == 0
    bad = web(1, 5)[0]
    bad["spec"]["ports"] = "none"
    rig.server.put(bad)
    wait_for("a refused object", lambda: metrics(rig, "refused_objects_total")["services"] == 1)
    rig.server.fail("watch", "services", answers(500))
    rig.server.end_watches()
    wait_for("a failure", lambda: metrics(rig, "request_failures_total")["services"] == 1)
    assert metrics(rig, "lists_total")["services"] == 1
    rig.server.compact()
    rig.server.put(*web(2, 5))
    rig.server.compact()
    rig.server.end_watches()
    wait_for("a new list", lambda: metrics(rig, "lists_total")["services"] == 2)


def test_body_tells_when_the_server_was_heard(rig):
    start(rig)
    body = ask(rig, "/healthz")[1]
    assert set(body["watches"]) == set(RESOURCES)
    for watch in body["watches"].values():
        assert watch["stale"] is False and watch["lastHeard"] <= body["currentTime"]


def test_manifests_have_no_watches(node):
    node.start("--metrics-bind-address=127.0.0.1:10249")
    assert "watches" not in json.loads(node.http("http://127.0.0.1:10256/readyz")[2])
    assert "kproxy_watch" not in node.http("http://127.0.0.1:10249/metrics")[2]
