# SPDX-License-Identifier: GPL-2.0-or-later
"""How requests are sent, and what their answers' headers tell."""
import os

import pytest

import fakeapi
from fakeapi import answers, status
from node import wait_for
from rig import SERVER, Rig, make_ca, web

RESOURCES = ("services", "endpointslices", "nodes", "servicecidrs")


@pytest.fixture(params=("plain", "tls"))
def any_rig(tmp_path, request):
    """HTTP/1.1 with and without TLS; returns what start() needs as well."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    certificate = make_ca(tmp_path, "server") if request.param == "tls" else None
    rig = Rig(tmp_path, certificate=certificate)
    try:
        yield rig, rig.kubeconfig(SERVER, {"certificate-authority": certificate[0]}) \
            if certificate else rig.kubeconfig()
    finally:
        rig.close()


def test_all_watches_begin_when_no_connection_is_left(any_rig):  # LC-3
    """libcurl has to open four connections at once, none of which will ever be free for another."""
    rig, kubeconfig = any_rig

    def answer_and_close(request):
        rig.server.respond(request)
        fakeapi.closes(request)

    for resource in RESOURCES:
        rig.server.fail("list", resource, answer_and_close)
    rig.server.fail("create", "events", answer_and_close, times=1000)
    rig.start(kubeconfig=kubeconfig)
    for resource in RESOURCES:
        wait_for(f"watch of {resource}", lambda r=resource: rig.server.count("watch", r) > 0)
    rig.server.fail("create", "events", answers(500), times=1000)
    for _ in range(2):
        before = [rig.server.count("watch", r) for r in RESOURCES]
        rig.server.drop_connections()
        for resource, n in zip(RESOURCES, before):
            wait_for(f"watch of {resource}",
                     lambda r=resource, n=n: rig.server.count("watch", r) > n, 20)


@pytest.mark.parametrize("burst, qps, flags", [
    (10, 5, []), (2, 8, ["--kube-api-burst=2", "--kube-api-qps=8"])], ids=["default", "flags"])
def test_requests_are_limited_and_watches_are_not(rig, burst, qps, flags):  # RF-31
    rig.server.minor, rig.server.page_size = "30", 1
    rig.server.put(*(o for n in range(3, 30) for o in web(n, n)))
    rig.server.fail("list", "services", answers(410, status(410, "Expired")))
    rig.start(*flags)

    def pages():
        return [r.time for r in rig.server.requests if r.verb != "watch"]

    wait_for("the burst is over", lambda: len(pages()) > 12, 30)
    # The lists of the others are done: their watches go on while the pages come one by one.
    rig.server.end_watches()
    wait_for("the watch goes on", lambda: rig.server.count("watch", "nodes") > 1, 30)
    n_pages = len(pages())
    rig.wait_equal(60)
    assert n_pages < len(pages()), "the watch has waited for the pages"
    times = pages()
    for i, start in enumerate(times):
        for n, end in enumerate(times[i:]):
            # They leave in turn, and arrive a little less so.
            assert n <= burst + qps * (end - start) + 2, "too many requests"


def test_failures_are_logged_with_the_servers_ids(rig):  # RF-20
    ids = ["Audit-Id: 9c1b-aa", "X-Kubernetes-PF-FlowSchema-UID: 77-f5"]
    rig.server.fail("list", "services", answers(403, status(403, "Forbidden", "no"), headers=ids))

    def broken_stream(request):
        request.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"audit-id:  stream-1 \r\nTransfer-Encoding: chunked\r\n\r\n")
        request.chunk({"type": "ERROR", "object": status(500, "InternalError")})
        request.end_stream()

    rig.server.fail("watch", "endpointslices", broken_stream)
    rig.start_synced()
    line = next(l for l in rig.log().splitlines() if "verb=list resource=services error=" in l)
    assert 'audit_id="9c1b-aa" flow_schema="77-f5"' in line
    wait_for("the stream", lambda: 'audit_id="stream-1"' in rig.log())


def test_warnings_are_logged_once(rig):  # RF-20
    old = 'Warning: 299 - "v1 EndpointSlice is \\"old\\""'

    def warns(request):
        request.answer(200, request.server.list_body(request),
                       headers=[old, 'Warning: 299 - "also"', "Warning: nonsense"])

    for resource in RESOURCES:
        rig.server.fail("list", resource, warns)
    rig.start_synced()
    lines = [l for l in rig.log().splitlines() if "the API server warns" in l]
    assert len(lines) == 2, lines
    assert 'text="v1 EndpointSlice is \\"old\\""' in lines[0] and 'text="also"' in lines[1]
