# SPDX-License-Identifier: GPL-2.0-or-later
"""Events on the API server: what is told, how often, and that nothing waits for it."""
import os
import secrets
import time

import pytest
import yaml

import fakeapi
from fakeapi import answers, status
from node import service, wait_for
from rig import PORTS, web
from test_health import Owner, balanced, occupy, owned


def one_event(rig, reason):
    wait_for(reason, lambda: rig.server.events_of(reason), 20)
    events = rig.server.events_of(reason)
    assert len(events) == 1, events
    return events[0]


def n_writes(rig):
    return rig.server.count("create", "events") + rig.server.count("patch", "events")


def test_start(rig):  # SY-15
    rig.start_synced()
    event = one_event(rig, "Starting")
    assert event["regarding"] == {"apiVersion": "v1", "kind": "Node", "name": "node1",
                                  "uid": "node1"}
    assert event["metadata"]["namespace"] == "default"
    assert (event["type"], event["action"]) == ("Normal", "StartKubeProxy")
    assert (event["reportingController"], event["reportingInstance"]) == ("kproxy", "node1")
    assert "mode nft" in event["note"]
    create = next(r for r in rig.server.requests if r.verb == "create")
    assert create.headers["content-type"] == "application/json"


def test_repairs_are_one_event_with_a_count(rig):
    rig.start_synced()
    for number in range(1, 6):
        rig.host.run("nft", "flush ruleset")
        wait_for("the repair", lambda n=number: rig.log().count("not as they should be") == n)
        rig.wait_equal()
    wait_for("the count", lambda: one_event(rig, "RulesRepaired").get("series", {})
             .get("count") == 5, 30)
    patch = next(r for r in rig.server.requests if r.verb == "patch")
    assert patch.headers["content-type"] == "application/merge-patch+json"
    assert patch.path.endswith(one_event(rig, "RulesRepaired")["metadata"]["name"])


def allowed(rules, request):
    """What RBAC says of a request."""
    group = request.path.split("/")[2] if request.path.startswith("/apis/") else ""
    return any(group in rule["apiGroups"] and request.resource in rule["resources"] and
               request.verb in rule["verbs"] for rule in rules)


def test_our_cluster_role_is_what_we_need(rig):
    with open(os.path.join(os.path.dirname(__file__), "../../deploy/clusterrole.yaml"),
              encoding="utf-8") as f:
        rules = next(o for o in yaml.safe_load_all(f) if o["kind"] == "ClusterRole")["rules"]
    rig.start_synced()
    for number in (1, 2):
        rig.host.run("nft", "flush ruleset")
        wait_for("the repair", lambda n=number: rig.log().count("not as they should be") == n)
    wait_for("the count", lambda: rig.server.count("patch", "events"), 20)
    requests = [r for r in rig.server.requests if r.path != "/version"]
    assert all(allowed(rules, r) for r in requests)
    asked = {(r.resource, r.verb) for r in requests}
    assert asked == {(resource, verb) for rule in rules for resource in rule["resources"]
                     for verb in rule["verbs"]}, "more is allowed than is needed"


def test_an_event_that_the_server_has_no_more_is_made_anew(rig):
    rig.start_synced()
    for number in (1, 2, 3):
        rig.host.run("nft", "flush ruleset")
        wait_for("the repair", lambda n=number: rig.log().count("not as they should be") == n)
        if number == 1:
            name = one_event(rig, "RulesRepaired")["metadata"]["name"]
            del rig.server.events["default", name]
        if number == 2:
            wait_for("the patch", lambda: rig.server.count("patch", "events") == 1, 20)
    assert one_event(rig, "RulesRepaired")["metadata"]["name"] != name


def test_syncs_that_fail(rig):
    rig.start_synced()
    owner = Owner(rig.host)
    owner.take(delete=True)
    wait_for("the tables are someone else's", lambda: owned(rig.host))
    rig.server.put(*web(3, 3))
    event = one_event(rig, "FailedSync")
    assert event["type"] == "Warning" and "rules are as before" in event["note"]
    owner.let_go()
    rig.wait_equal()


def test_addresses_that_are_taken(rig):  # HZ-8, MS-2: told before the server is known
    occupy(rig.host, "127.0.0.1", 10249)
    occupy(rig.host, "127.0.0.1", 10256)
    rig.start_synced("--healthz-bind-address=127.0.0.1", "--metrics-bind-address=127.0.0.1")
    for reason, port in (("FailedToStartProxierHealthcheck", 10256),
                         ("FailedToStartMetricServer", 10249)):
        event = one_event(rig, reason)
        assert event["type"] == "Warning"
        assert f"127.0.0.1:{port}: Address already in use" in event["note"]


def test_health_check_port_that_is_taken(rig):  # HC-6
    occupy(rig.host, "192.0.2.1", 32123)
    lb = balanced(32123, ips=["10.96.0.20"])
    lb["metadata"]["uid"] = "00000000-1111-2222-3333-444444444444"
    rig.server.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"},
                    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}})
    rig.server.put(lb)
    rig.start()
    event = one_event(rig, "FailedToStartServiceHealthcheck")
    assert event["regarding"] == {"apiVersion": "v1", "kind": "Service", "namespace": "default",
                                  "name": "lb", "uid": lb["metadata"]["uid"]}
    assert event["metadata"]["namespace"] == "default" and event["action"] == "Listen"
    assert "32123" in event["note"] and "already in use" in event["note"]


def test_a_thousand_conflicts_are_ten_events(rig):  # FE-4
    rig.server.put(*(service(f"late{n:04}", [f"10.97.{n >> 8}.{n & 255}"], PORTS,
                             externalIPs=["203.0.113.9"]) for n in range(1000)))
    rig.start()
    wait_for("all are in the log", lambda: rig.log().count("another Service has it") == 999, 60)
    wait_for("ten events", lambda: len(rig.server.events_of("FrontendConflict")) == 10, 30)
    rig.server.put(*web(3, 3))
    wait_for("changes go on", lambda: (rig.kernel() or {}).get("10.96.1.3") == {"10.180.0.3"}, 30)
    assert len(rig.server.events_of("FrontendConflict")) == 10
    assert "externalIPs 203.0.113.9:80/TCP is not served, Service default/late0000 has it" in \
        rig.server.events_of("FrontendConflict")[0]["note"]


def test_settings_of_the_host_that_cannot_be_written(rig):  # HS-3
    if rig.host.run("test", "-w", "/proc/sys/net/netfilter/nf_conntrack_max",
                    check=False).returncode == 0:
        pytest.skip("before 5.13, any namespace could set the machine's maximum")
    rig.start_synced("--conntrack-max-per-core=1", "--conntrack-min=77777")
    note = one_event(rig, "FailedToSetHostSettings")["note"]
    assert note == "cannot set /proc/sys/net/netfilter/nf_conntrack_max to 77777: Permission denied"


def test_socket_hooks_that_cannot_be_had(rig):
    rig.start_synced("--mode=bpf", "--bpf-root=/dev/null")
    assert "goes through nft: " in one_event(rig, "SocketHooksUnavailable")["note"]


REFUSALS = {"403": answers(403, status(403, "Forbidden", "no events for you"),
                           headers=["Audit-Id: 1234-5678"]),
            "500": answers(500), "404": answers(404), "html": answers(200, b"<html>", "text/html"),
            "closed": fakeapi.closes, "reset": fakeapi.resets}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_takes_no_events(rig, name):
    rig.server.fail("create", "events", REFUSALS[name], times=1000)
    rig.start_synced()
    wait_for("the refusal", lambda: "cannot write events" in rig.log())
    for number in range(1, 4):
        rig.host.run("nft", "flush ruleset")
        wait_for("the repair", lambda n=number: rig.log().count("not as they should be") == n)
    rig.server.put(*web(3, 3))
    rig.wait_equal()
    assert rig.log().count("cannot write events") == 1
    # Starting and three repairs; libcurl repeats what a closed connection lost.
    assert rig.server.count("create", "events") <= 4 * 2
    assert all(rig.server.count("list", r) == 1 for r in ("services", "endpointslices", "nodes"))
    if name == "403":
        assert 'audit_id="1234-5678"' in rig.log() and "deploy/clusterrole.yaml" in rig.log()


def test_a_server_that_hangs_holds_nothing_up(rig):
    rig.server.fail("create", "events", lambda request: time.sleep(3600), times=1000)
    rig.start_synced()
    for _ in range(3):
        rig.host.run("nft", "flush ruleset")
        rig.wait_equal()
    rig.server.put(*web(3, 3))
    rig.wait_equal()
    assert rig.server.count("create", "events") == 1


def test_nothing_is_asked_while_the_server_is_away(rig):
    rig.start_synced()
    one_event(rig, "Starting")
    before = n_writes(rig)
    rig.server.stop()
    wait_for("the loss is noticed", lambda: "verb=connect" in rig.log(), 20)
    rig.host.run("nft", "flush ruleset")
    wait_for("the repair", lambda: "not as they should be" in rig.log())
    assert n_writes(rig) == before
    rig.server.start()
    one_event(rig, "RulesRepaired")


def test_no_events_with_manifests(node):
    node.write("x.json", service(f"x{secrets.token_hex(2)}", ["10.96.0.1"], PORTS))
    node.start("--log-level=debug", stderr=open(os.path.join(node.directory, "log"), "w",
                                                encoding="utf-8"))
    node.run("nft", "flush ruleset")
    wait_for("the repair", lambda: node.dump()["services"])
    with open(os.path.join(node.directory, "log"), encoding="utf-8") as f:
        assert "module=api" not in f.read()
