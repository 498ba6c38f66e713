# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever is wrong with the input: one line that says what and where, and everything else is served.

default/victim is the object that goes wrong, default/web the one that must not notice.
"""
import json
import os
import re
import secrets
import shutil
import signal
import subprocess

import pytest

from node import KPROXY, LEAVE_MAX, Host, endpointslice, service, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
VICTIM, OTHER = "10.96.0.20", "10.96.0.10"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def text_of(*objects):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1)


def victim(**spec):
    good = service("victim", [VICTIM], [("http", "TCP", 80)])
    return {**good, "spec": {**good["spec"], **spec}}


def victim_slice(addresses=("10.180.0.2",), name="victim-a"):
    return endpointslice(name, "victim", addresses, [("http", "TCP", 8080)])


def victim_text(service_object, addresses=("10.180.0.3",)):
    return text_of(service_object, victim_slice(addresses, "victim-b"))


def port(**members):
    return victim_text(victim(ports=[{"name": "http", "port": 80, **members}]))


def annotated(size):
    return victim_text({**victim(), "metadata": {"annotations": {"note": size * "x"},
                                                 "name": "victim"}})


GOOD = victim_text(victim())
IS_VICTIM = 'document=1 object=1 line=5 name="Service default/victim" '

# The suffix of the file, what it holds instead of GOOD, and what the one line says after its name.
CASES = {
    "broken YAML": ("yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: victim\nspec: [\n",
                    'document=1 line=4 error="YAML: '),
    "tabs in YAML": ("yaml", "apiVersion: v1\nkind: Service\nmetadata:\n\tname: victim\n",
                     'document=1 line=4 error="YAML: found character that cannot start any token'),
    "truncated YAML": ("yaml", GOOD[:-200], 'error="YAML: '),
    "truncated JSON": ("json", GOOD[:-200],
                       'document=1 line=43 error="JSON: ends before everything is closed"'),
    "a list for an object": ("yaml", victim_text(victim(ports={"http": 80})),
                             IS_VICTIM + 'error="spec.ports: expected a list, got an object"'),
    "a string for a number": ("json", port(port="80"), IS_VICTIM +
                              'error="spec.ports[0].port: expected a whole number, got a string"'),
    "a number for an address": ("json", victim_text(victim(clusterIP=7)), IS_VICTIM +
                                'error="spec.clusterIP: expected a string, got a number"'),
    "port 0": ("json", port(port=0),
               IS_VICTIM + 'error="spec.ports[0].port: 0 is not in 1..65535"'),
    "port 65536": ("json", port(port=65536),
                   IS_VICTIM + 'error="spec.ports[0].port: 65536 is not in 1..65535"'),
    "node port 65536": ("json", port(nodePort=65536),
                        IS_VICTIM + 'error="spec.ports[0].nodePort: 65536 is not in 0..65535"'),
    "a port of 24 digits": ("yaml", port(port=10**23), IS_VICTIM +
                            'error="spec.ports[0].port: expected a whole number, got a fraction or '
                            'a number that is too large"'),
    "a prefix for an address": ("json", victim_text(victim(clusterIP=VICTIM + "/32")), IS_VICTIM +
                                'error="spec.clusterIP: \'10.96.0.20/32\' is not a plain IP '
                                'address"'),
    "IPv4 in IPv6": ("json", victim_text(victim(clusterIP="::ffff:10.96.0.20")), IS_VICTIM +
                     'error="spec.clusterIP: \'::ffff:10.96.0.20\' is not a plain IP address"'),
    "mixed families": ("json", victim_text(victim(ipFamilies=["IPv6"])), IS_VICTIM +
                       'error="spec.clusterIPs[0]: not of the family IPv6 that ipFamilies wants"'),
    "1001 endpoints": ("json", victim_text(victim(), ["10.180.0.3"] * 1001),
                       'name="EndpointSlice default/victim-b" error="endpoints: 1001 items, more '
                       'than 1000"'),
    "200 levels": ("yaml", "a: " + 200 * "[" + 200 * "]",
                   'document=1 line=1 error="nested deeper than 100 levels"'),
    "10 MB annotation in JSON": ("json", annotated(10_000_000),
                                 'document=1 object=1 line=5 error="larger than 3 MiB"'),
    "10 MB annotation in YAML": ("yaml", annotated(10_000_000),
                                 'document=1 object=1 line=10 error="larger than 3 MiB"'),
}


def web(*numbers):
    return text_of(service("web", [OTHER], [("http", "TCP", 80)]),
                   endpointslice("web-a", "web", [f"10.180.1.{n}" for n in numbers],
                                 [("http", "TCP", 8080)]))


def loud(log):
    return [line for line in log.splitlines() if re.match(r"time=\S+ level=(warn|error) ", line)]


def endpoints(dump):
    """Per Service that is served, the addresses of its endpoints."""
    return {s["name"]: sorted(e["address"] for e in s["endpoints"])
            for s in json.loads(dump)["services"]}


def put(directory, name, text):
    path = os.path.join(directory, name)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)


def argv(directory, *extra):
    return [KPROXY, "--mode=nft", "--hostname-override=node1", f"--manifests={directory}", *LEAVE_MAX,
            *extra]


def once(directory, prefix=(), env=None):
    """Runs --once and then dump in a namespace of their own: status, loud lines, what is served."""
    script = '"$@" --once; echo $?; exec "$0" dump -o json'
    done = subprocess.run([*prefix, "unshare", "-n", "sh", "-c", script, KPROXY, *argv(directory)],
                          text=True, capture_output=True, check=True, env=env)
    status, _, dump = done.stdout.partition("\n")
    return int(status), loud(done.stderr), endpoints(dump)


class Live:
    """A daemon in a namespace, and what it logs."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "manifests")
        self.log_path = os.path.join(directory, "log")
        os.mkdir(self.directory)
        put(self.directory, "web.json", web(1))
        self.host = Host(f"kp-{secrets.token_hex(4)}-bad")

    def start(self):
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.daemon = self.host.popen(*argv(self.directory), stderr=log)
        wait_for("the first sync", lambda: "web" in self.served())

    def served(self):
        return endpoints(self.host.run(KPROXY, "dump", "-o", "json").stdout)

    def size_of_log(self):
        return os.path.getsize(self.log_path)

    def loud_since(self, offset):
        with open(self.log_path, encoding="utf-8") as f:
            f.seek(offset)
            return loud(f.read())

    def put(self, name, text):
        put(self.directory, name, text)

    def drop(self, name):
        os.unlink(os.path.join(self.directory, name))

    def reset(self):
        for name in os.listdir(self.directory):
            self.drop(name)
        self.put("web.json", web(1))
        wait_for("only web is served", lambda: self.served() == {"web": ["10.180.1.1"]})

    def wait_for_served(self, name, addresses):
        wait_for(f"{name} is served by {addresses}",
                 lambda: self.served().get(name) == addresses)

    def others_are_served(self):
        """A change of another file, after what was put before, takes effect."""
        self.put("web.json", web(1, 2))
        self.wait_for_served("web", ["10.180.1.1", "10.180.1.2"])
        self.put("web.json", web(1))
        self.wait_for_served("web", ["10.180.1.1"])

    def close(self):
        self.host.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    live = Live(str(tmp_path_factory.mktemp("bad-input")))
    try:
        live.start()
        yield live
    finally:
        live.close()


@pytest.fixture
def live(daemon):
    """One daemon lives through all of it; each test finds it with nothing but default/web."""
    yield daemon
    daemon.reset()


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def case(request):
    suffix, text, says = CASES[request.param]
    return "victim." + suffix, text, says


def test_bad_from_the_start_is_skipped(case, tmp_path):
    name, text, says = case
    put(tmp_path, "web.json", web(1))
    put(tmp_path, name, text)
    status, lines, served = once(tmp_path)
    assert status == 1
    assert len(lines) == 2 and f'file="{name}"' in lines[0] and says in lines[0], lines
    assert "synced, but not all objects are served" in lines[1]
    assert served.get("web") == ["10.180.1.1"]
    assert served.get("victim", []) == []  # there, when only its slice is bad


def test_bad_later_keeps_the_previous_state(case, live):
    name, text, says = case
    before = ["10.180.0.2", "10.180.0.3"]
    live.put("slice.json", text_of(victim_slice()))
    live.put(name, GOOD)
    live.wait_for_served("victim", before)
    offset = live.size_of_log()
    live.put(name, text)
    wait_for("the error", lambda: live.loud_since(offset))
    live.others_are_served()
    lines = live.loud_since(offset)
    assert len(lines) == 1 and f'file="{name}"' in lines[0] and says in lines[0], lines
    assert "previous state kept" in lines[0]
    assert live.served()["victim"] == before
    live.put(name, GOOD)
    live.others_are_served()
    assert live.served()["victim"] == before
    assert len(live.loud_since(offset)) == 1


def test_non_canonical_addresses_are_understood(tmp_path):  # SV-7
    put(tmp_path, "web.json", text_of(
        service("web", ["010.096.000.010"], [("http", "TCP", 80)]),
        endpointslice("web-a", "web", ["10.180.1.01"], [("http", "TCP", 8080)]),
        service("web6", ["FD00:10:96:0::0010"], [("http", "TCP", 80)])))
    assert once(tmp_path) == (0, [], {"web": ["10.180.1.1"], "web6": []})


def test_endpoint_of_the_other_family_is_left_out(tmp_path):  # ES-2
    put(tmp_path, "victim.json",
        text_of(victim(), victim_slice(["fd00::1", "10.180.0.2"])))
    status, lines, served = once(tmp_path)
    assert status == 0 and len(lines) == 1
    assert ('file="victim.json" document=1 object=2' in lines[0] and
            "endpoints[0].addresses[0]: 'fd00::1' is not IPv4 as addressType says" in lines[0])
    assert served == {"victim": ["10.180.0.2"]}


def claimant(name, ip, number, created):
    claim = service(name, [ip], [("http", "TCP", 80, 30080)], type="NodePort")
    claim["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{created:02}Z"
    return text_of(claim, endpointslice(name + "-a", name, [f"10.180.2.{number}"],
                                        [("http", "TCP", 8080)]))


def owners(live, kind):
    """Which Services have frontends of this type."""
    dump = json.loads(live.host.run(KPROXY, "dump", "-o", "json").stdout)
    return [s["name"] for s in dump["services"]
            if any(f["type"] == kind for f in s["frontends"])]


@pytest.mark.parametrize("field,kind,frontend,ips", [
    ("nodePort", "NodePort", "30080", ("10.96.0.31", "10.96.0.32")),
    ("clusterIP", "ClusterIP", "10.96.0.31:80", ("10.96.0.31", "10.96.0.31")),
])
def test_two_services_with_one_frontend(live, field, kind, frontend, ips):  # FE-4
    others = {"web"}
    live.put("first.json", claimant("first", ips[0], 1, 1))
    live.wait_for_served("first", ["10.180.2.1"])
    offset = live.size_of_log()
    younger = json.loads(claimant("second", ips[1], 2, 2))
    if field == "clusterIP":
        younger["items"][0]["spec"]["ports"][0]["nodePort"] = 30081
    live.put("second.json", json.dumps(younger))
    live.wait_for_served("second", ["10.180.2.2"])
    assert set(owners(live, kind)) - others == {"first"}
    # Endpoints come and go on both sides, and nothing is said again.
    for name, text in (("second.json", json.dumps(younger)),
                       ("first.json", claimant("first", ips[0], 1, 1))):
        live.put(name, text.replace("10.180.2.", "10.180.3."))
        live.wait_for_served(name[:-5], ["10.180.3.1" if name == "first.json" else "10.180.3.2"])
    lines = live.loud_since(offset)
    assert len(lines) == 1, lines
    for words in ("another Service has it", "service=default/second", f"field={field}",
                  f"frontend={frontend}", "owner=default/first"):
        assert words in lines[0]

    live.drop("first.json")
    wait_for("the second takes over", lambda: set(owners(live, kind)) - others == {"second"})
    live.put("first.json", claimant("first", ips[0], 1, 1))
    wait_for("the first has it back", lambda: set(owners(live, kind)) - others == {"first"})
    assert len(live.loud_since(offset)) == 2


def test_conflict_fails_once(tmp_path):
    put(tmp_path, "a.json", claimant("first", "10.96.0.31", 1, 1))
    put(tmp_path, "b.json", claimant("second", "10.96.0.32", 2, 2))
    status, lines, served = once(tmp_path)
    assert status == 1 and len(lines) == 2 and "field=nodePort" in lines[0]
    assert set(served) == {"first", "second"}


def test_directory_disappears_and_comes_back(live):
    offset, away = live.size_of_log(), live.directory + ".away"
    before = live.served()
    os.rename(live.directory, away)
    wait_for("the error", lambda: live.loud_since(offset))
    assert live.served() == before
    put(away, "web.json", web(7))
    os.rename(away, live.directory)
    live.wait_for_served("web", ["10.180.1.7"])
    live.put("web.json", web(1))
    live.wait_for_served("web", ["10.180.1.1"])

    shutil.rmtree(live.directory)
    wait_for("the second error", lambda: len(live.loud_since(offset)) == 2)
    assert live.served() == before
    os.mkdir(live.directory)
    live.put("web.json", web(1))
    live.others_are_served()
    lines = live.loud_since(offset)
    assert len(lines) == 2
    for line in lines:
        assert "directory has disappeared, keeping its objects" in line
        assert f'path="{live.directory}"' in line


def test_directory_that_was_never_there(tmp_path):
    status, lines, _ = once(tmp_path / "missing")
    assert status == 1 and len(lines) == 1
    assert "missing': " in lines[0] and "No such file or directory" in lines[0]


def assert_refused(done, words):
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "level=info" not in line]
    assert len(lines) == 1 and words in lines[0], done.stderr


def test_without_the_right_to_use_netlink(tmp_path):
    put(tmp_path, "web.json", web(1))
    for command in (argv(tmp_path, "--once"), argv(tmp_path), [KPROXY, "dump"],
                    [KPROXY, "--cleanup"]):
        done = subprocess.run(["unshare", "-n", "setpriv", "--bounding-set=-net_admin",
                               "--inh-caps=-net_admin", *command], text=True, capture_output=True,
                              check=False)
        assert_refused(done, "not permitted; run as root or give the process CAP_NET_ADMIN")


@pytest.mark.parametrize("missing", ["nfnetlink", "nf_tables"])
def test_kernel_without_nf_tables(tmp_path, missing):
    shim = tmp_path / "shim.so"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", shim,
                    os.path.join(HERE, "no_nf_tables.c")], check=True)
    # A program with AddressSanitizer insists on being loaded first.
    env = {**os.environ, "LD_PRELOAD": str(shim), "KP_WITHOUT": missing,
           "ASAN_OPTIONS": "verify_asan_link_order=0"}
    for command in (argv(tmp_path, "--once"), argv(tmp_path), [KPROXY, "dump"],
                    [KPROXY, "--cleanup"]):
        done = subprocess.run(["unshare", "-n", *command], text=True, capture_output=True, env=env,
                              check=False)
        assert_refused(done, "not supported by this kernel; load the module nf_tables or use a "
                             "kernel with CONFIG_NF_TABLES")


def test_daemon_survived_it_all(daemon):
    os.kill(daemon.daemon.pid, signal.SIGTERM)
    assert daemon.daemon.wait() == 0
