# SPDX-License-Identifier: GPL-2.0-or-later
"""Socket hooks that somebody takes away, that are swapped, or that do not fit: nobody notices."""
import contextlib
import json
import os
import resource
import signal

import pytest

from node import endpointslice, run, service, wait_for
from hooks import attached, counted, served
from test_hooks_udp import Connected
from test_traffic import IP4, web

MODES = ("bpf",)

REPEATS = int(os.environ.get("REPEATS", "20"))
CYCLES = int(os.environ.get("CYCLES", "10"))
LINKS, MAPS = 8, 10
BIG = "10.96.0.20"


def server(node, number):
    """A pod whose closed connections do not linger: through nft and through the hooks, clients come with
    the same ports, and one that meets a former connection's end may have to try again a second later."""
    pod = node.pod(number, 8080)
    pod.run("sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0")
    return pod


def pin(node, name=""):
    return os.path.join(node.hooks.bpf, "kproxy", name)


def remove_everything(node):
    run("rm", "-r", pin(node))


def remove_a_link(node):
    os.unlink(pin(node, "link-connect4"))


def remove_a_map(node):
    os.unlink(pin(node, "services4"))


def detach(node):
    run("bpftool", "link", "detach", "pinned", pin(node, "link-connect4"))


def in_place(node, pins):
    with contextlib.suppress(FileNotFoundError):
        return node.hooks.pins() == pins and len(attached(node)) == LINKS
    return False


def assert_undisturbed(load):
    for got in load.stop():
        assert got.servers and not got.errors


@pytest.mark.parametrize("take_away", [remove_everything, remove_a_link, remove_a_map, detach])
def test_what_somebody_takes_away_is_put_back(node, take_away):
    for n in (1, 2):
        server(node, n)
    client = node.pod(9)
    web(node, [1, 2])
    node.start()
    pins = node.hooks.pins()
    sockets = Connected(client, IP4)
    load = client.load(IP4, 80, n_clients=2)
    for i in range(REPEATS):
        take_away(node)
        wait_for(f"repair {i}", lambda: in_place(node, pins))
    assert_undisturbed(load)
    with counted(node, connected=5):
        assert not client.ask(IP4, 80, count=5).errors
    web(node, [1])
    wait_for("changes go on", lambda: client.ask(IP4, 80, count=5).servers == {"pod1": 5})
    # What was known of sockets still is.
    wait_for("they follow", lambda: sockets.ask() == sorted([IP4, "True", "pod1"]))
    sockets.close()


def test_programs_are_swapped_under_load(node):
    """Each full sync makes new maps and programs."""
    server(node, 1)
    client = node.pod(9)
    web(node, [1])
    node.start()
    before, programs = node.hooks.counters()["connected"], attached(node)
    load = client.load(IP4, 80)
    for i in range(10):
        node.daemon.send_signal(signal.SIGHUP)
        wait_for(f"swap {i}", lambda: not attached(node) & programs)
        programs = attached(node)
    results = load.stop()
    assert not any(got.errors for got in results)
    # nft did none of it.
    assert node.hooks.counters()["connected"] - before >= sum(
        sum(got.servers.values()) for got in results)


def test_a_repair_of_nft_leaves_the_hooks_alone(node, tmp_path):
    server(node, 1)
    web(node, [1])
    lines = start_with_log(node, tmp_path)
    before = attached(node)
    node.run("nft", "flush ruleset")
    wait_for("the repair", lambda: any("repaired" in line for line in lines("warn")))
    assert attached(node) == before


def big_name(ip):
    return f"big-{ip.split('.')[-1]}"


def write_big(node, ip, n=5000):
    """A Service with more endpoints than the maps have room for."""
    name, ips = big_name(ip), [f"10.181.{i >> 8}.{i & 255}" for i in range(n)]
    node.write(f"{name}.json", service(name, [ip], [("http", "TCP", 80)]),
               *(endpointslice(f"{name}-{i}", name, ips[i:i + 1000], [("http", "TCP", 8080)])
                 for i in range(0, n, 1000)))


def limit_descriptors(node, more):
    """Lets kproxy open so many more; None for no limit."""
    pid = node.daemon.pid
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    n = hard if more is None else 1 + more + max(
        int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, hard))


def is_hooked(node, client, ip, count=5):
    before = node.hooks.counters()["connected"]
    assert not client.ask(ip, 80, count=count).errors
    return node.hooks.counters()["connected"] == before + count


def start_with_log(node, tmp_path, *without):
    argv = [a for a in node.argv("--healthz-bind-address=127.0.0.1:10256") if a not in without]
    with (tmp_path / "log").open("w") as log:
        node.daemon = node.popen(*argv, stderr=log)
    wait_for("kproxy is ready", node.is_ready)
    return lambda level: [line for line in (tmp_path / "log").read_text().splitlines()
                          if f"level={level} " in line]


def layers(node, service):
    return {f["layer"] for s in node.dump()["services"] if s["name"] == service
            for f in s["frontends"]}


def test_what_does_not_fit_goes_through_nft(node, tmp_path):
    """Larger maps cannot be made for want of descriptors, and then they can."""
    pod, client = server(node, 1), node.pod(9)
    server(node, 2)
    node.give_networks(pod, "10.181.0.0/16")
    web(node, [1])
    lines = start_with_log(node, tmp_path)
    load = client.load(IP4, 80, n_clients=2)
    limit_descriptors(node, 6)
    for ip in (BIG, "10.96.0.21"):
        write_big(node, ip)
        # Not by asking: a SYN that nobody translates leaves a conntrack entry that later ones meet.
        wait_for("it is there", lambda ip=ip: layers(node, big_name(ip)))
        assert client.ask(ip, 80).servers == {"pod1": 1}
    web(node, [1, 2])
    wait_for("the others go on", lambda: "pod2" in client.ask(IP4, 80, count=20).servers)
    assert_undisturbed(load)
    assert is_hooked(node, client, IP4) and not is_hooked(node, client, BIG)
    assert layers(node, big_name(BIG)) == {"differs"}
    assert len(lines("error")) == 1, lines("error")
    assert "cannot grow" in lines("error")[0] and "Too many open files" in lines("error")[0]
    limit_descriptors(node, None)
    wait_for("all is hooked", lambda: layers(node, big_name(BIG)) == {"hooks"}, 120)
    assert is_hooked(node, client, BIG) and is_hooked(node, client, "10.96.0.21")


def test_hooks_that_were_lost_come_back(node, tmp_path):
    server(node, 1)
    client = node.pod(9)
    web(node, [1])
    lines = start_with_log(node, tmp_path, "--strict")
    load = client.load(IP4, 80, n_clients=2)
    limit_descriptors(node, 6)
    node.daemon.send_signal(signal.SIGHUP)
    wait_for("the hooks are gone", lambda: not attached(node))
    assert not is_hooked(node, client, IP4)
    assert sum("all traffic goes through nft" in line for line in lines("warn")) == 1
    limit_descriptors(node, None)
    wait_for("they are back", lambda: attached(node), 120)
    assert_undisturbed(load)
    assert is_hooked(node, client, IP4)


def listed(kind):
    """Of the whole machine.  bpftool gives up when somebody's object goes while it looks."""
    for _ in range(100):
        result = run("bpftool", "-j", kind, "show", check=False)
        if result.returncode == 0:
            return json.loads(result.stdout)
    raise AssertionError(result.stderr)


def kernel_objects(node):
    """Ids of all programs at the test's cgroup, of their maps and of the links: {(kind, id)}."""
    cgroup = os.stat(node.hooks.cgroup).st_ino
    links = [link for link in listed("link") if link.get("cgroup_id") == cgroup]
    programs = {link["prog_id"] for link in links}
    shown = [p for p in listed("prog") if p["id"] in programs]
    return ({("link", link["id"]) for link in links} | {("prog", p) for p in programs} |
            {("map", m) for p in shown for m in p.get("map_ids", [])})


def all_kernel_objects():
    return {(kind, o["id"]) for kind in ("link", "prog", "map")
            for o in listed(kind)}


def descriptors(node):
    """What kproxy has open of BPF's."""
    directory, kinds = f"/proc/{node.daemon.pid}/fd", []
    for fd in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            # A link has another name where it was made than where it was opened.
            kinds.append(os.readlink(os.path.join(directory, fd)).replace("_link", "-link"))
    return sorted(kind for kind in kinds if kind.startswith(("anon_inode:bpf", "anon_inode:btf")))


def test_changes_growth_and_swaps_leave_nothing_behind(node):
    web(node, [1, 2])
    node.start()
    seen, opened = set(), descriptors(node)
    for cycle in range(CYCLES):
        programs = attached(node)
        write_big(node, BIG)
        wait_for(f"growth {cycle}", lambda: not attached(node) & programs)
        seen |= kernel_objects(node)
        write_big(node, BIG, 1)
        wait_for("as before", lambda: len(served(node)) == 3)
        programs = attached(node)
        detach(node)
        wait_for(f"swap {cycle}", lambda: not attached(node) & programs and
                 len(kernel_objects(node)) == 2 * LINKS + MAPS)
        seen |= kernel_objects(node)
        wait_for("no descriptor more than before", lambda: descriptors(node) == opened)
    former = seen - kernel_objects(node)
    assert len(former) >= CYCLES * 2 * (LINKS + 1)
    wait_for("what was replaced is gone", lambda: not former & all_kernel_objects())
