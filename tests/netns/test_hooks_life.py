# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of the socket hooks: growth, restarts, changes of mode, programs of others."""
import json
import os
import signal

import pytest

from hooks import attached, counted, exists, script, served
from node import KPROXY, endpointslice, run, service, wait_for
from test_traffic import IP4, TARGETS, web

MODES = ("bpf",)


def test_maps_grow_without_a_gap(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.start()
    load = client.load(IP4, 80, n_clients=2)
    n = 3000
    node.write("many.json", *[o for i in range(n) for o in (
        service(f"s{i}", [f"10.97.{i >> 8}.{i & 255}"], [("http", "TCP", 80)]),
        endpointslice(f"s{i}-a", f"s{i}", ["10.180.0.1"], [("http", "TCP", 8080)]))])
    last = f"10.97.{(n - 1) >> 8}.{(n - 1) & 255}"
    # Not by asking: what is sent too early is tracked as not translated (docs/conntrack.md).
    wait_for("all Services", lambda: len(node.dump()["services"]) > n, 30)
    for got in load.stop():
        assert got.servers and not got.errors
    with counted(node, connected=2):
        assert client.ask(last, 80, count=2).servers == {"pod1": 2}


def test_restarts_and_cleanup_leave_nothing_behind(node):
    node.pod(1, 8080)
    web(node, [1])
    programs = set()
    for _ in range(int(os.environ.get("CYCLES", "10"))):
        node.once()
        now = attached(node)
        assert len(now) == 8 and not now & programs
        wait_for("the programs before are gone", lambda: not any(map(exists, programs)))
        programs = now
    node.run(*node.argv("--cleanup"))
    wait_for("the programs are gone", lambda: not any(map(exists, programs)))
    assert attached(node) == set() and "kproxy" not in os.listdir(node.hooks.bpf)
    node.run(*node.argv("--cleanup"))


def test_modes_change_under_load(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    node.once()
    load = client.load(IP4, 80, n_clients=4)
    for _ in range(3):
        node.run(KPROXY, "--mode=nft", "--once", f"--bpf-root={node.hooks.bpf}",
                 "--hostname-override=node1", f"--manifests={node.directory}")
        assert attached(node) == set()
        with counted(node):
            assert client.ask(IP4, 80).servers == {"pod1": 1}
        node.once()
        assert len(attached(node)) == 8
    for got in load.stop():
        assert got.servers and not got.errors


def test_hooks_are_put_back_when_somebody_removed_them(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [])
    node.start()
    programs, pins, directory = attached(node), node.hooks.pins(), os.path.join(node.hooks.bpf, "kproxy")
    run("rm", "-r", directory)
    assert client.ask(IP4, 80).errors == {"ConnectionRefusedError": 1}
    wait_for("they are put back", lambda: not attached(node) & programs and
             os.path.isdir(directory) and node.hooks.pins() == pins)
    web(node, [1])
    wait_for("the change", lambda: client.ask(IP4, 80).servers == {"pod1": 1})
    with counted(node, connected=1):
        assert client.ask(IP4, 80).servers == {"pod1": 1}


def test_kill_and_restart_under_load(node):  # SY-10, SY-11
    for n in (1, 2):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1, 2])
    node.start()
    before = node.hooks.counters()["connected"]
    load = client.load(IP4, 80)
    for _ in range(10):
        node.stop(signal.SIGKILL)
        node.start()
    results = load.stop()
    n = sum(sum(got.servers.values()) for got in results)
    assert not any(got.errors for got in results)
    assert node.hooks.counters()["connected"] - before >= n  # nft did none of it


def test_the_root_of_a_cgroup_namespace_is_refused(node):
    web(node, [1])
    if node.run("unshare", "-m", "true", check=False).returncode:
        pytest.skip("needs private mounts, which a chroot has not")
    argv = [a for a in node.argv("--once") if not a.startswith("--cgroup-root")]
    result = node.run("unshare", "-C", "-m", "sh", "-ec", """
umount -a -t cgroup2; mount -t cgroup2 none "$0"; test -e "$0/cgroup.type"
test "$(grep -c ' cgroup2 ' /proc/self/mounts)" = 1
exec "$@" """, node.hooks.cgroup2, *argv, check=False)
    assert result.returncode == 1, result.stderr
    assert "is not the root" in result.stderr and "--cgroup-root=DIR" in result.stderr
    # Without --strict nft serves.
    argv.remove("--strict")
    node.run("unshare", "-C", "-m", "sh", "-ec", """
umount -a -t cgroup2; mount -t cgroup2 none "$0"; test -e "$0/cgroup.type"
test "$(grep -c ' cgroup2 ' /proc/self/mounts)" = 1
exec "$@" """, node.hooks.cgroup2, *argv)
    assert served(node) == {"10.180.0.1"} and attached(node) == set()


def test_dump_shows_both_layers(node):
    web(node, [1, 2])
    node.write("sticky.json", service("sticky", ["10.96.0.20"], [("http", "TCP", 80)],
                                      sessionAffinity="ClientIP"),
               endpointslice("sticky-4", "sticky", ["10.180.0.1"], TARGETS))
    node.once()

    def layers():
        return {(s["name"], f["type"], s["family"], s["protocol"]): (f["layer"], f["reason"])
                for s in node.dump()["services"] for f in s["frontends"]}

    assert node.dump()["mode"] == "bpf"
    found = layers()
    assert found.pop(("sticky", "ClusterIP", "IPv4", "TCP")) == ("nft", "session affinity")
    assert len(found) == 8 and set(found.values()) == {("hooks", "")}
    text = node.run(KPROXY, "dump", *node.dump_argv()).stdout
    assert "ClusterIP 10.96.0.10:80, hooks " in text
    assert "ClusterIP 10.96.0.20:80, nft: session affinity " in text
    # Somebody empties the map of the hooks.
    path = os.path.join(node.hooks.bpf, "kproxy", "services4")
    for element in json.loads(run("bpftool", "-j", "map", "dump", "pinned", path).stdout):
        run("bpftool", "map", "delete", "pinned", path, "key", *element["key"])
    assert {layer for (_, _, family, _), layer in layers().items() if family == "IPv4"} == {
        ("differs", ""), ("nft", "session affinity")}


class Foreign:
    """Programs of somebody else, at the test's cgroup."""

    def __init__(self, node, tmp_path):
        self.node, self.directory = node, os.path.join(node.hooks.bpf, "foreign")
        source = os.path.join(os.path.dirname(__file__), "foreign.bpf.c")
        arch = run("gcc", "-print-multiarch").stdout.strip()
        run("clang", "-O2", "-g", "-target", "bpf", "-idirafter", f"/usr/include/{arch}", "-c", source,
            "-o", tmp_path / "foreign.o")
        if not os.path.ismount(node.hooks.bpf):
            run("mount", "-t", "bpf", "bpffs", node.hooks.bpf)
        run("bpftool", "prog", "loadall", tmp_path / "foreign.o", self.directory)

    def attach(self, name, *flags, cgroup=None):
        run("bpftool", "cgroup", "attach", cgroup or self.node.hooks.cgroup, "cgroup_inet4_connect",
            "pinned", os.path.join(self.directory, name), *flags)


def test_programs_of_others(node, tmp_path):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    foreign = Foreign(node, tmp_path)
    foreign.attach("allow", "multi")  # before ours
    node.start()
    foreign.attach("deny", "multi")  # after ours
    with counted(node, connected=1):
        assert client.ask(IP4, 80).servers == {"pod1": 1}
    with counted(node):
        assert client.ask(IP4, 81).errors == {"PermissionError": 1}
    node.stop()
    node.run(*node.argv("--cleanup"))
    assert len(attached(node)) == 2


def test_a_program_at_a_child_cgroup_sees_the_frontend(node, tmp_path):
    """It runs before ours, so that it can deny a Service; one after ours sees the pod."""
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1], [("http", "TCP", 81)])
    foreign = Foreign(node, tmp_path)
    node.start()
    foreign.attach("deny", "multi")
    assert client.ask(IP4, 81).servers == {"pod1": 1}
    child = os.path.join(node.hooks.cgroup, "child")
    os.mkdir(child)
    foreign.attach("deny", "multi", cgroup=child)
    assert script(client, """
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
s = tcp(sys.argv[2]); out(s.connect_ex((sys.argv[2], 81)))""", child, IP4) == 1  # EPERM
    assert client.ask(IP4, 81).servers == {"pod1": 1}
    os.rmdir(child)


def test_a_cgroup_that_somebody_has_for_himself(node, tmp_path):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    Foreign(node, tmp_path).attach("allow")
    result = node.once(check=False)
    assert result.returncode == 1 and "another program may have this cgroup" in result.stderr
    assert client.ask(IP4, 80).servers == {"pod1": 1}  # nft serves
    assert len(attached(node)) == 1


def test_without_the_capability_nft_serves_alone(node):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1])
    argv = ["setpriv", "--bounding-set=-all,+net_admin", *node.argv("--once")]
    result = node.run(*argv, check=False)
    assert result.returncode == 1 and "CAP_BPF" in result.stderr
    argv.remove("--strict")
    result = node.run(*argv)
    assert "all traffic goes through nft" in result.stderr and "CAP_BPF" in result.stderr
    assert client.ask(IP4, 80).servers == {"pod1": 1}
    assert attached(node) == set()
