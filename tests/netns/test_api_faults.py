# SPDX-License-Identifier: GPL-2.0-or-later
"""The API client against a server that fails on purpose.  After each fault the kernel must hold what
the server holds, a list must be asked for only where the protocol demands it, and nothing may be
asked in a tight loop."""
import json
import os
import re
import signal
import time

import pytest

import fakeapi
from fakeapi import answers, error_event, status, streams
from node import KPROXY, run, wait_for
from rig import Rig, web

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
