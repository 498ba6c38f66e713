# SPDX-License-Identifier: GPL-2.0-or-later
"""What load balancers, the kubelet and autoscalers are told over HTTP."""
import json
import re
import sys
from datetime import datetime

import pytest
from memory import SANITIZED, n_fds, rss_kb
from node import Node, endpointslice, node_object, service, wait_for
from test_traffic import web

HEALTH = "http://127.0.0.1:10256"
PORT = 31000


def ask(node, path):
    status, headers, body = node.http(HEALTH + path)
    return status, json.loads(body) if status else None, headers


class Owner:
    """Takes our tables away: nobody but their owner can change them while it lives."""

    def __init__(self, node):
        self.nft = node.popen("nft", "-i", stdin=-1, stdout=-1)

    def take(self, delete):
        for family in ("ip", "ip6"):
            command = f"delete table {family} kproxy; " if delete else ""
            self.nft.stdin.write(f"{command}add table {family} kproxy {{ flags owner; }}\n")
        self.nft.stdin.flush()

    def let_go(self):
        self.nft.kill()
        self.nft.wait()


def owned(node):
    return "flags owner" in node.run("nft", "list", "tables", check=False).stdout + node.run(
        "nft", "list", "table", "ip", "kproxy", check=False).stdout


def start(node, *extra, **kwargs):
    """Without waiting for the first sync."""
    node.daemon = node.popen(*node.argv("--healthz-bind-address=127.0.0.1:10256", *extra), **kwargs)
    wait_for("the server is there", lambda: node.http(HEALTH + "/livez")[0] != 0)


def test_answers(node):  # HZ-1, HZ-2, HZ-4, HZ-6
    web(node, [1])
    node.start()
    for path in ("/healthz", "/livez", "/readyz"):
        status, body, headers = ask(node, path)
        assert status == 200
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert body["healthy"] is True
        assert set(body["status"]) == {"IPv4", "IPv6"}
        for family in body["status"].values():
            assert family["healthy"] is True
            datetime.fromisoformat(family["lastUpdated"].replace("Z", "+00:00"))
        assert body["lastUpdated"] == body["currentTime"]
        assert ("nodeEligible" in body) == (path == "/healthz")
    assert node.http(HEALTH + "/")[0] == 404


def test_first_sync_and_failing_syncs(node):  # HZ-3, HZ-6, HZ-7
    web(node, [1])
    owner = Owner(node)
    owner.take(delete=False)
    wait_for("the tables are someone else's", lambda: owned(node))
    start(node, "--iptables-sync-period=4s")
    assert ask(node, "/readyz")[0] == 503  # no rules yet
    assert ask(node, "/livez")[0] == 200   # nothing has been waiting for long
    wait_for("two sync periods have passed", lambda: ask(node, "/livez")[0] == 503, 60)
    status, body, _ = ask(node, "/healthz")
    assert (status, body["healthy"], body["nodeEligible"]) == (503, False, True)
    assert body["lastUpdated"] == "0001-01-01T00:00:00Z"
    owner.let_go()
    for path in ("/livez", "/healthz", "/readyz"):
        wait_for(f"{path} recovers", lambda: ask(node, path)[0] == 200, 60)


def test_repair_fails_and_succeeds_again(node):  # HZ-3, HZ-6
    web(node, [1])
    node.start("--iptables-sync-period=1s")
    owner = Owner(node)
    owner.take(delete=True)
    wait_for("unhealthy", lambda: ask(node, "/livez")[0] == 503)
    body = ask(node, "/readyz")[1]
    assert body["lastUpdated"] < body["currentTime"]  # the last time that all was well
    assert body["lastUpdated"] == body["status"]["IPv4"]["lastUpdated"]
    owner.let_go()
    wait_for("healthy", lambda: ask(node, "/livez")[0] == 200, 60)


def test_node_that_goes(node):  # HZ-5, ND-6
    web(node, [1])
    node.start()
    own, rest = node_object(), [service("web", ["10.96.0.10"], [("http", "TCP", 80)])]
    for change, eligible in (
            (lambda o: o["spec"].update(taints=[{"key": "ToBeDeletedByClusterAutoscaler"}]), False),
            (lambda o: o["spec"].update(taints=[{"key": "node.kubernetes.io/unreachable"}]), True),
            (lambda o: o["metadata"].update(deletionTimestamp="2024-01-01T00:00:00Z"), False)):
        own = node_object()
        own["spec"] = {}
        change(own)
        node.write("web.json", own, *rest)
        wait_for("the change is seen",
                 lambda: ask(node, "/healthz")[0] == (200 if eligible else 503))
        status, body, _ = ask(node, "/healthz")
        assert body["healthy"] is True and body["nodeEligible"] is eligible
        assert ask(node, "/livez")[0] == 200
    node.write("web.json", node_object(), *rest)
    wait_for("the Node is as before", lambda: ask(node, "/healthz")[0] == 200)
    node.write("web.json", *rest)
    wait_for("the Node is gone", lambda: ask(node, "/healthz")[0] == 503)


def test_node_that_was_never_seen_is_eligible(node):  # HZ-5
    node.write("web.json", service("web", ["10.96.0.10"], [("http", "TCP", 80)]))
    node.start()
    assert ask(node, "/healthz")[0] == 200


OCCUPY = "import socket, sys, time; s = socket.create_server((sys.argv[1], int(sys.argv[2])), " \
         "family=socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET); " \
         "print('ready', flush=True); time.sleep(100)"


def occupy(node, address, port):
    process = node.popen(sys.executable, "-c", OCCUPY, address, port, stdout=-1)
    assert process.stdout.readline() == "ready\n"
    return process


def test_occupied_address_is_tried_again(node, tmp_path):  # HZ-8, MS-2
    other = occupy(node, "127.0.0.1", 10249)
    web(node, [1])
    log = (tmp_path / "log").open("w")
    node.start("--metrics-bind-address=127.0.0.1:10249", stderr=log)
    lines = [l for l in (tmp_path / "log").read_text().splitlines() if "level=error" in l]
    assert len(lines) == 1
    assert "127.0.0.1:10249" in lines[0] and "Address already in use" in lines[0]
    other.kill()
    other.wait()
    wait_for("it listens", lambda: node.http("http://127.0.0.1:10249/healthz")[2] == "ok", 20)


# --- health check ports of Services ---

def balanced(port=PORT, name="lb", ips=("10.96.0.20", "fd00:10:96::20"), **spec):
    return service(name, list(ips), [("http", "TCP", 80, 30090)],
                   **{"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                      "healthCheckNodePort": port, **spec})


def slices(name, v4, v6=(), port=8080):
    ports = [("http", "TCP", port)]
    return [endpointslice(f"{name}-4", name, v4, ports),
            endpointslice(f"{name}-6", name, v6, ports, "IPv6")]


def check(node, address, port=PORT):
    status, headers, body = node.http(f"http://{address}:{port}/any/path")
    return status, headers.get("X-Load-Balancing-Endpoint-Weight"), body and json.loads(body) \
        if status else None


def weights(node, port=PORT):
    return tuple((s, w) for s, w, _ in (check(node, Node.IP4, port),
                                        check(node, f"[{Node.IP6}]", port)))


def test_health_check_port_counts_local_endpoints(node):  # HC-1 ... HC-4, HC-7, HC-8
    v4 = ["10.180.0.1", "10.180.0.2"]
    node.write("lb.json", node_object(), balanced(), *slices("lb", v4, ["fd00:10:180::1"]))
    node.start()
    status, headers, body = node.http(f"http://{Node.IP4}:{PORT}/")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "2"
    assert json.loads(body) == {"service": {"namespace": "default", "name": "lb"},
                                "localEndpoints": 2, "serviceProxyHealthy": True}
    assert "\t" in body
    assert weights(node) == ((200, "2"), (200, "1"))
    assert check(node, "127.0.0.1")[0] == 0  # only where node ports are served

    one = slices("lb", v4, ["fd00:10:180::1"])
    one[0]["endpoints"][0]["nodeName"] = "node2"
    one[1]["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    node.write("lb.json", node_object(), balanced(), *one)
    wait_for("counts follow", lambda: weights(node) == ((200, "1"), (503, "0")))
    node.write("lb.json", node_object(), balanced())
    wait_for("no endpoints", lambda: weights(node) == ((503, "0"), (503, "0")))


def test_health_check_port_of_several_ports_counts_addresses(node):  # HC-3
    both = service("lb", ["10.96.0.20"], [("a", "TCP", 80, 30090), ("b", "TCP", 81, 30091)],
                   type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=PORT)
    node.write("lb.json", node_object(), both,
               endpointslice("x", "lb", ["10.180.0.1"], [("a", "TCP", 1), ("b", "TCP", 2)]),
               endpointslice("y", "lb", ["10.180.0.1", "10.180.0.2"], [("b", "TCP", 3)]),
               endpointslice("z", "lb", ["10.180.0.3"], [("other", "TCP", 4)]))
    node.start()
    assert weights(node) == ((200, "2"), (0, None))


def test_health_check_port_opens_moves_and_closes(node):  # HC-5
    v4 = slices("lb", ["10.180.0.1"], ["fd00:10:180::1"])
    node.write("lb.json", node_object(), balanced(), *v4)
    node.start()
    good, gone = ((200, "1"), (200, "1")), ((0, None), (0, None))
    assert weights(node) == good
    node.write("lb.json", node_object(), balanced(PORT + 1), *v4)
    wait_for("it moves", lambda: weights(node, PORT + 1) == good)
    assert weights(node) == gone
    for other in (balanced(externalTrafficPolicy="Cluster"), balanced(type="NodePort")):
        node.write("lb.json", node_object(), other, *v4)
        wait_for("it closes", lambda: weights(node, PORT + 1) == gone)
        node.write("lb.json", node_object(), balanced(PORT + 1), *v4)
        wait_for("it opens", lambda: weights(node, PORT + 1) == good)
    node.write("lb.json", node_object(), balanced(PORT + 1, ips=["10.96.0.20"]), *v4)
    wait_for("IPv6 closes", lambda: weights(node, PORT + 1) == ((200, "1"), (0, None)))
    node.write("lb.json", node_object(), *v4)
    wait_for("the Service is gone", lambda: weights(node, PORT + 1) == gone)


def test_health_check_port_where_node_ports_are_served(node):  # HC-1, NP-1
    node.write("lb.json", node_object(), balanced(),
               *slices("lb", ["10.180.0.1"], ["fd00:10:180::1"]))
    node.start("--nodeport-addresses=all")
    for address in (Node.IP4, "127.0.0.1", f"[{Node.IP6}]", "[::1]"):
        assert check(node, address)[0] == 200
    node.stop()
    node.start("--nodeport-addresses=198.51.100.0/24")
    assert check(node, "198.51.100.1")[0] == 200
    assert check(node, Node.IP4)[0] == 0


def test_health_check_port_follows_the_node_address(node):
    own = node_object()
    own["status"]["addresses"][0]["address"] = "198.51.100.1"
    rest = [balanced(), *slices("lb", ["10.180.0.1"], ["fd00:10:180::1"])]
    node.write("lb.json", node_object(), *rest)
    node.start()
    assert check(node, Node.IP4)[0] == 200
    node.write("lb.json", own, *rest)
    wait_for("it moves", lambda: check(node, "198.51.100.1")[0] == 200)
    assert check(node, Node.IP4)[0] == 0


@pytest.mark.parametrize("address, other_family", [(Node.IP4, f"[{Node.IP6}]"),
                                                   (Node.IP6, Node.IP4)])
def test_health_check_port_that_is_taken(node, tmp_path, address, other_family):  # HC-6
    other = occupy(node, address, PORT)
    objects = [balanced(), *slices("lb", ["10.180.0.1"], ["fd00:10:180::1"])]
    node.write("lb.json", node_object(), *objects)
    log = (tmp_path / "log").open("w")
    node.start(stderr=log)
    assert check(node, other_family)[0] == 200  # the other family does not suffer
    node.write("x.json", service("x", ["10.96.0.30"], [("http", "TCP", 80)]))
    wait_for("another sync", lambda: "x" in [s["name"] for s in node.dump()["services"]])
    lines = [l for l in (tmp_path / "log").read_text().splitlines() if "level=error" in l]
    assert len(lines) == 1, lines
    assert re.search(rf"service=default/lb port={PORT} .*{re.escape(address)}.*already in use",
                     lines[0])
    other.kill()
    other.wait()
    node.write("x.json", service("y", ["10.96.0.30"], [("http", "TCP", 80)]))
    wait_for("it is had", lambda: weights(node) == ((200, "1"), (200, "1")))


def test_health_check_port_passes_from_one_service_to_another(node):
    a, b = (balanced(name=n, ips=[ip]) for n, ip in (("a", "10.96.0.21"), ("b", "10.96.0.22")))
    for s, port in ((a, 30091), (b, 30092)):
        s["spec"]["ports"][0]["nodePort"] = port
    node.write("b.json", node_object(), b, *slices("b", ["10.180.0.1"]))
    node.start()
    assert check(node, Node.IP4)[2]["service"]["name"] == "b"
    node.write("b.json", node_object(), a, *slices("a", ["10.180.0.1"]))
    wait_for("it is a's", lambda: check(node, Node.IP4)[0] == 200 and
             check(node, Node.IP4)[2]["service"]["name"] == "a")


def test_health_check_port_while_syncs_fail(node):  # HC-2, HC-4
    node.write("lb.json", node_object(), balanced(), *slices("lb", ["10.180.0.1"]))
    node.start("--iptables-sync-period=1s")
    owner = Owner(node)
    owner.take(delete=True)
    wait_for("unhealthy", lambda: check(node, Node.IP4)[0] == 503)
    _, weight, body = check(node, Node.IP4)
    assert weight == "1" and body["localEndpoints"] == 1
    assert body["serviceProxyHealthy"] is False


# --- slow and hostile clients ---

HOSTILE = r"""
import select, socket, sys, time, urllib.request
address, kind = ("127.0.0.1", 10256), sys.argv[1]
clients = []
def connect():
    s = socket.create_connection(address)
    s.settimeout(5)
    clients.append(s)
    return s
if kind == "idle":
    for _ in range(1000):
        connect()
elif kind == "bytes":
    for _ in range(50):
        connect().send(b"G")
elif kind == "headers":
    s = connect()
    try:
        for i in range(10000):
            s.sendall(b"X-%d: " % i + b"x" * 1000 + b"\r\n" if i else b"GET /healthz HTTP/1.1\r\n")
    except OSError:
        pass
elif kind == "body":
    s = connect()
    s.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
    try:
        for _ in range(1000):
            s.sendall(b"x" * 10000)
    except OSError:
        pass
elif kind == "deaf":
    for _ in range(200):
        connect().send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
start = time.monotonic()
for _ in range(20):
    assert urllib.request.urlopen("http://127.0.0.1:10256/healthz", timeout=5).status == 200
print("served", flush=True)
if kind == "bytes":  # a byte now and then does not keep a connection for ever
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for s in clients:
            try:
                s.send(b"E")
            except OSError:
                print("cut off", flush=True)
                sys.exit()
        time.sleep(0.1)
"""


def test_no_descriptors_left(node):
    web(node, [1])
    node.start()
    limit = n_fds(node.daemon.pid) + 8
    node.run("prlimit", f"--pid={node.daemon.pid}", f"--nofile={limit}:{limit}")
    hostile = node.popen(sys.executable, "-c", HOSTILE, "idle", stdout=-1)
    assert hostile.stdout.readline() == "served\n"
    assert n_fds(node.daemon.pid) <= limit
    hostile.kill()
    hostile.wait()
    wait_for("the clients are gone", lambda: n_fds(node.daemon.pid) <= limit - 8)
    node.run("prlimit", f"--pid={node.daemon.pid}", f"--nofile={limit - 8}:{limit}")
    assert node.http(HEALTH + "/livez")[0] == 0  # not even one more
    node.run("prlimit", f"--pid={node.daemon.pid}", f"--nofile={limit}:{limit}")
    wait_for("it answers again", lambda: node.http(HEALTH + "/livez")[0] == 200)


def test_stop_with_open_ports_and_clients(node):
    node.write("lb.json", node_object(), balanced(), *slices("lb", ["10.180.0.1"]))
    node.start("--metrics-bind-address=127.0.0.1:10249")
    hostile = node.popen(sys.executable, "-c", HOSTILE, "idle", stdout=-1)
    assert hostile.stdout.readline() == "served\n"
    assert node.stop() == 0
    assert check(node, Node.IP4)[0] == 0


@pytest.mark.parametrize("kind", ["idle", "bytes", "headers", "body", "deaf"])
def test_hostile_clients_are_no_hindrance(node, kind):
    web(node, [1])
    node.start()
    before_fds, before_kb = n_fds(node.daemon.pid), rss_kb(node.daemon.pid)
    hostile = node.popen(sys.executable, "-c", HOSTILE, kind, stdout=-1)
    assert hostile.stdout.readline() == "served\n"
    assert n_fds(node.daemon.pid) <= before_fds + 130
    grown_kb = rss_kb(node.daemon.pid) - before_kb
    print(f"{kind}: {grown_kb} kB more")
    # 128 connections of 16 KiB, and a little of libmicrohttpd's own for each.
    assert grown_kb < (64 if SANITIZED else 4) * 1024
    web(node, [1, 2])
    wait_for("syncs go on", lambda: len(
        [e for s in node.dump()["services"] for e in s["endpoints"]]) == 8)
    if kind == "bytes":
        assert hostile.stdout.readline() == "cut off\n"
    hostile.kill()
    hostile.wait()
    wait_for("nothing is left", lambda: n_fds(node.daemon.pid) <= before_fds)
