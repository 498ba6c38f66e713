# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics have the values that they should have, and change when they should."""
import json
import re
import shutil
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest
from node import endpointslice, node_object, service, wait_for
from test_health import Owner
from test_traffic import TARGETS, web

METRICS = "http://127.0.0.1:10249"
LINE = re.compile(r'([a-z0-9_]+)(?:\{((?:[a-z_]+="[^"]*",?)*)\})? ([-+0-9.e]+)$')


def start(node, *extra, **kwargs):
    node.start("--metrics-bind-address=127.0.0.1:10249", *extra, **kwargs)


def read(node):
    """Values by name and labels, as they are written."""
    status, headers, text = node.http(METRICS + "/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    values, typed = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in typed
            typed[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = LINE.match(line).groups()
            base = re.sub("_(bucket|sum|count)$", "", name)
            assert base in typed or name in typed, line
            key = f"{name}{{{labels}}}" if labels else name
            assert key not in values, f"twice: {key}"
            values[key] = float(value)
    return values


class Change:
    """The difference that something makes."""

    def __init__(self, node):
        self.node, self.before = node, read(node)

    def __call__(self, key):
        return read(self.node).get(key, 0) - self.before.get(key, 0)


def v4(name):
    return name + '{ip_family="IPv4"}'


def v6(name):
    return name + '{ip_family="IPv6"}'


def test_other_paths(node):  # MS-1
    web(node, [1])
    start(node)
    assert node.http(METRICS + "/healthz")[::2] == [200, "ok"]
    assert node.http(METRICS + "/proxyMode")[::2] == [200, "nftables"]
    assert node.http(METRICS + "/other")[0] == 404
    status, headers, body = node.http(METRICS + "/configz")
    config = json.loads(body)["kubeproxy.config.k8s.io"]
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert config["kind"] == "KubeProxyConfiguration"
    assert config["mode"] == "nftables"
    assert config["hostnameOverride"] == "node1"
    assert config["clusterCIDR"] == "10.180.0.0/16,fd00:10:180::/64"
    assert config["metricsBindAddress"] == "127.0.0.1:10249"
    assert config["nodePortAddresses"] == ["primary"]
    assert config["nftables"] == {"masqueradeBit": 14, "masqueradeAll": False, "syncPeriod": "30s",
                                  "minSyncPeriod": "0s"}


def test_address_without_port_and_ipv6(node):
    web(node, [1])
    node.start("--metrics-bind-address=::1")
    assert node.http("http://[::1]:10249/healthz")[0] == 200


def test_wildcard_of_ipv6_takes_ipv4_too(node):
    web(node, [1])
    node.start("--metrics-bind-address=[::]:10300")
    assert node.http("http://[::1]:10300/healthz")[0] == 200
    assert node.http("http://127.0.0.1:10300/healthz")[0] == 200


def test_promtool_has_no_complaint(node):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    web(node, [1])
    start(node)
    node.http("http://127.0.0.1:10256/healthz")
    text = node.http(METRICS + "/metrics")[2]
    result = subprocess.run([promtool, "check", "metrics"], input=text, text=True,
                            capture_output=True, check=False)
    # kube-proxy's own name for a gauge.
    known = 'kubeproxy_sync_proxy_rules_no_local_endpoints_total non-counter metrics should not ' \
            'have "_total" suffix'
    assert [l for l in (result.stdout + result.stderr).splitlines() if l != known] == []


def test_syncs(node):  # ME-1, ME-2, ME-4, ME-5, ME-6
    web(node, [1])
    start(node)
    first = read(node)
    for family in (v4, v6):
        assert first[family("kubeproxy_sync_proxy_rules_duration_seconds_count")] == 1
        assert first[family("kubeproxy_sync_full_proxy_rules_duration_seconds_count")] == 1
        assert first[family("kubeproxy_sync_partial_proxy_rules_duration_seconds_count")] == 0
        assert 0 < first[family("kubeproxy_sync_proxy_rules_duration_seconds_sum")] < 5
        synced = first[family("kubeproxy_sync_proxy_rules_last_timestamp_seconds")]
        queued = first[family("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds")]
        assert time.time() - 60 < queued <= synced <= time.time()
    assert first["kproxy_transactions_total"] == 1
    change = Change(node)
    web(node, [1, 2])
    wait_for("a sync", lambda: change(
        v4("kubeproxy_sync_partial_proxy_rules_duration_seconds_count")) > 0)
    after = read(node)
    assert change("kubeproxy_sync_proxy_rules_endpoint_changes_total") == 2
    assert change("kubeproxy_sync_proxy_rules_service_changes_total") == 0
    assert after["kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == 0
    assert after["kubeproxy_sync_proxy_rules_service_changes_pending"] == 0
    assert change(v4("kubeproxy_sync_full_proxy_rules_duration_seconds_count")) == 0
    assert change("kproxy_transactions_total") == 1
    assert change("kproxy_transaction_operations_total") > 0
    assert change("kproxy_transaction_bytes_total") > 100
    assert change(v4("kubeproxy_sync_proxy_rules_last_timestamp_seconds")) > 0
    assert change(v4("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds")) > 0


def test_what_is_served(node):
    web(node, [1, 2, 3])
    start(node)
    got = read(node)
    assert got["kproxy_services"] == 1
    for family in (v4, v6):  # a cluster IP and a node port for each of two service ports
        assert got[family("kproxy_frontends")] == 4
        assert got[family("kproxy_endpoints")] == 6
    assert got["kproxy_frontend_conflicts"] == 0
    node.write("x.json", service("x", ["10.96.0.99"], [("http", "TCP", 80, 30080)]))
    wait_for("a conflict", lambda: read(node)["kproxy_frontend_conflicts"] == 1)
    assert read(node)["kproxy_services"] == 2
    web(node, [1])
    wait_for("fewer endpoints", lambda: read(node)[v4("kproxy_endpoints")] == 2)


def test_no_local_endpoints(node):  # ME-7
    local = service("lb", ["10.96.0.20"], [("http", "TCP", 80, 30090)], type="NodePort",
                    externalTrafficPolicy="Local", internalTrafficPolicy="Local")
    slice_ = endpointslice("lb", "lb", ["10.180.0.1"], [("http", "TCP", 8080)])
    name = 'kubeproxy_sync_proxy_rules_no_local_endpoints_total' \
           '{ip_family="IPv4",traffic_policy="%s"}'
    node.write("lb.json", node_object(), local, slice_)
    start(node)

    def got():
        values = read(node)
        return values[name % "internal"], values[name % "external"]
    assert got() == (0, 0)
    slice_["endpoints"][0]["nodeName"] = "node2"
    node.write("lb.json", node_object(), local, slice_)
    wait_for("both policies", lambda: got() == (1, 1))
    del local["spec"]["internalTrafficPolicy"]
    node.write("lb.json", node_object(), local, slice_)
    wait_for("external only", lambda: got() == (0, 1))
    node.write("lb.json", node_object(), local)  # no endpoints anywhere: nothing is missing here
    wait_for("none", lambda: got() == (0, 0))


def test_failures_and_repairs(node):  # ME-8
    web(node, [1])
    start(node, "--iptables-sync-period=1s")
    change = Change(node)
    node.run("nft", "flush map ip kproxy services")
    wait_for("the repair", lambda: change("kproxy_repairs_total") == 1)
    assert change(v4("kubeproxy_sync_proxy_rules_nftables_sync_failures_total")) == 0
    owner = Owner(node)
    owner.take(delete=True)
    wait_for("failures", lambda: change(
        v6("kubeproxy_sync_proxy_rules_nftables_sync_failures_total")) >= 2)
    web(node, [1, 2])
    wait_for("changes wait", lambda: read(node)[
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == 1)
    owner.let_go()
    wait_for("nothing waits", lambda: read(node)[
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == 0)


def triggered(node, numbers, when):
    name = "endpoints.kubernetes.io/last-change-trigger-time"
    slice_ = endpointslice("web-4", "web", [f"10.180.0.{n}" for n in numbers], TARGETS)
    slice_["metadata"]["annotations"] = {name: when}
    node.write("web.json", node_object(),
               service("web", ["10.96.0.10"], [("http", "TCP", 80), ("dns", "UDP", 53)]), slice_)


def stamp(seconds_ago):
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ")


def test_network_programming_latency(node):  # ME-3, ES-11
    name = "kubeproxy_network_programming_duration_seconds"
    triggered(node, [1], stamp(100))  # before the start
    start(node)
    time.sleep(1.1)  # what comes now happened 1 s ago, and still after the start
    change = Change(node)
    assert change.before[v4(name + "_count")] == 0
    triggered(node, [1, 2], stamp(1))
    wait_for("a sample", lambda: change(v4(name + "_count")) == 1)
    assert 1 <= change(v4(name + "_sum")) < 5
    assert change(f'{name}_bucket{{ip_family="IPv4",le="0.5"}}') == 0
    assert change(f'{name}_bucket{{ip_family="IPv4",le="+Inf"}}') == 1
    assert change(v6(name + "_count")) == 0
    triggered(node, [1, 2], stamp(0))  # nothing but the annotation has changed
    triggered(node, [1, 2, 3], "yesterday")
    wait_for("the change is synced", lambda: read(node)[v4("kproxy_endpoints")] == 6)
    assert change(v4(name + "_count")) == 1
    bounds = [float(b) for b in re.findall(r'IPv4",le="([0-9.]+)"', "".join(
        k for k in change.before if k.startswith(name + "_bucket")))]
    assert bounds == [0, 0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30)]


def test_deleted_flows(node):  # ME-9
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1])
    start(node)
    change = Change(node)
    assert client.ask("10.96.0.10", 53, "udp", 3).servers == {"pod1": 3}
    assert client.ask("fd00:10:96::10", 53, "udp", 2).servers == {"pod1": 2}
    assert read(node)["kproxy_conntrack_entries"] >= 5
    assert read(node)["kproxy_conntrack_max_entries"] > 1000
    web(node, [2])
    name = "kubeproxy_conntrack_reconciler_deleted_entries_total"
    wait_for("the flows are deleted", lambda: (change(v4(name)), change(v6(name))) == (3, 2))
    assert change(v4("kubeproxy_conntrack_reconciler_sync_duration_seconds_count")) >= 1


def test_health(node):  # HZ-9
    node.write("lb.json", node_object(), service(
        "lb", ["10.96.0.20"], [("http", "TCP", 80, 30090)], type="LoadBalancer",
        externalTrafficPolicy="Local", healthCheckNodePort=31000))
    start(node)
    change = Change(node)
    for _ in range(3):
        node.http("http://127.0.0.1:10256/healthz")
    node.http("http://127.0.0.1:10256/livez")
    assert change('kubeproxy_proxy_healthz_total{code="200"}') == 3
    assert change('kubeproxy_proxy_livez_total{code="200"}') == 1
    assert change.before["kproxy_health_check_ports"] == 1
    assert change.before["kproxy_health_check_ports_failed"] == 0
    own = node_object()
    own["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    node.write("lb.json", own)
    wait_for("the port is gone", lambda: read(node)["kproxy_health_check_ports"] == 0)
    node.http("http://127.0.0.1:10256/healthz")
    assert change('kubeproxy_proxy_healthz_total{code="503"}') == 1


def test_process(node):
    web(node, [1])
    start(node)
    got = read(node)
    with open(f"/proc/{node.daemon.pid}/statm", encoding="ascii") as f:
        assert got["process_virtual_memory_bytes"] == int(f.read().split()[0]) * 4096
    assert 1e6 < got["process_resident_memory_bytes"] < got["process_virtual_memory_bytes"]
    assert 5 < got["process_open_fds"] < 50 < got["process_max_fds"]
    assert 0 < got["process_cpu_seconds_total"] < 60
    assert time.time() - 60 < got["process_start_time_seconds"] <= time.time()
    assert [k for k in got if k.startswith("kproxy_build_info{version=")]


def test_scrapes_leave_nothing_behind(node):
    web(node, [1])
    start(node)
    fds = read(node)["process_open_fds"]
    keys = set(read(node))
    for _ in range(50):
        read(node)
    # The socket of the scrape before may still be closing.
    wait_for("no descriptor is left open", lambda: read(node)["process_open_fds"] <= fds)
    assert set(read(node)) == keys
