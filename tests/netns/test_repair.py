# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever someone else does to our rules is undone at once."""
import ctypes
import os
import random
import signal
import socket
import statistics
import time

import pytest

from generations import Generations
from node import endpointslice, service, wait_for
from test_traffic import IP4, frontends, web

# What "systemctl reload nftables" does.
FIREWALL = """
flush ruleset
table inet filter {
	chain input { type filter hook input priority filter; ct state invalid drop; }
	chain forward { type filter hook forward priority filter; }
}
"""

COMMANDS = [
    "flush ruleset",
    FIREWALL,
    "delete table ip kproxy",
    "flush table ip6 kproxy",
    "flush chain ip kproxy dispatch",
    "flush chain ip kproxy nat-prerouting; delete chain ip kproxy nat-prerouting",
    "delete element ip kproxy slots-4 { 10.96.0.10 . tcp . 80 }",
    "flush map ip kproxy services",
    "add element ip kproxy cluster-ips { 10.96.99.99 }",
    "add rule ip kproxy dispatch drop",
    "add chain ip kproxy theirs",
    "add set ip kproxy theirs { type ipv4_addr; }",
    # Looks right, but for what is in it.
    "delete table ip kproxy; add table ip kproxy; add set ip kproxy cluster-ips { typeof ip daddr; }",
    "flush set ip kproxy nodeport-ips",
    "add element ip kproxy no-endpoints { * }",
    "add element ip kproxy services { * : 10.180.0.1 . 8080 }",
    "add table ip kproxy { flags dormant; }",
    "add chain ip kproxy filter-input { policy drop; }",
    "add chain ip kproxy " + 100 * "x",
    "add element ip kproxy sticky-services { 192.0.2.9 . tcp . 9 : bfff:0 }",
]


def ruleset(node):
    """Tables, sets and chains, in any order."""
    tables = [node.run("nft", "-s", "list", "table", family, "kproxy", check=False).stdout
              for family in ("ip", "ip6")]
    return sorted(part.strip("{}\n\t ") for table in tables
                  for part in table.replace("kproxy {\n", "kproxy\n\n").split("\n\n"))


@pytest.mark.parametrize("command", COMMANDS)
def test_foreign_change_is_repaired(node, command):
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [1, 2, 3])
    node.start()
    before = ruleset(node)
    for _ in range(10):
        node.run("nft", "-f", "-", input=command)
        wait_for(f"repair after {command}", lambda: ruleset(node) == before)
    web(node, [1])
    wait_for("changes go on", lambda: client.ask(IP4, 80, count=5).servers == {"pod1": 5})


def lose_messages(node):
    """More than there is room for, while the daemon does not listen."""
    tables = [f"{'t' * 200}{i}" for i in range(3000)]
    os.kill(node.daemon.pid, signal.SIGSTOP)
    node.run("nft", "-f", "-", input="".join(
        f"{verb} table ip {table}\n" for verb in ("add", "delete") for table in tables))
    node.run("nft", "flush table ip kproxy")
    os.kill(node.daemon.pid, signal.SIGCONT)


def test_only_what_was_changed_is_looked_at(node, tmp_path):
    """What a message says is put right without a comparison of everything; what is lost needs one."""
    web(node, [1, 2, 3])
    node.start("--log-level=debug", stderr=(tmp_path / "log").open("w"))
    before, n_full = ruleset(node), lambda: (tmp_path / "log").read_text().count("full=1")
    for command in COMMANDS:
        node.run("nft", "-f", "-", input=command)
        wait_for(f"repair after {command}", lambda: ruleset(node) == before)
    assert n_full() == 1
    lose_messages(node)
    wait_for("repair", lambda: ruleset(node) == before and n_full() == 2)
    time.sleep(2.5)  # two looks for what nobody told
    assert n_full() == 2


def delete_a_rule(node, rng):
    """Of any chain of ours."""
    listing = node.run("nft", "-a", "list", "table", "ip", "kproxy").stdout.splitlines()
    chain, rules = "", []
    for line in listing:
        if line.startswith("\tchain "):
            chain = line.split()[1]
        elif line.startswith("\t\t") and "# handle" in line and chain:
            rules.append((chain, line.split()[-1]))
    return "delete rule ip kproxy {} handle {}".format(*rng.choice(rules))


def test_a_hundred_changes_at_random_under_load(node, tmp_path):
    """Each is undone, and afterwards everything is served.  The figures of docs/ruleset.md: pytest -s."""
    for n in (1, 2, 3):
        node.pod(n, 8080)
    client = node.pod(9)
    web(node, [1, 2, 3])
    node.write("many.json", *[o for n in range(200) for o in many(n)])
    node.start()
    before = ruleset(node)
    seed = int(os.environ.get("REPAIR_SEED", random.randrange(1 << 32)))
    print(f"REPAIR_SEED={seed}")
    rng, took_ms = random.Random(seed), []
    generations = Generations(node, tmp_path / "generations")
    load = client.load(IP4, 80, n_clients=2)
    for _ in range(100):
        command = rng.choice(COMMANDS + [None])
        generations.mark()
        node.run("nft", "-f", "-", input=command or delete_a_rule(node, rng))
        wait_for(f"repair after {command}", lambda: ruleset(node) == before)
        wait_for("news of the repair", lambda: generations.repair_ms())
        took_ms.append(generations.repair_ms())
    assert all(answers.servers for answers in load.stop())
    print(f"ms until all was right again: median {statistics.median(took_ms):.0f}, "
          f"longest {max(took_ms):.0f}")
    generations.close()
    # Another client: what the first one sent while there were no rules is tracked as not translated.
    client = node.pod(8)
    for address, port, proto, _ in frontends():
        got = client.ask(address, port, proto, 50)
        assert not got.errors and len(got.servers) == 3
        assert got.slowest < 0.5


def netlink_sockets(pid):
    """Duplicates of a process's nf_tables sockets."""
    with open(f"/proc/{pid}/net/netlink", encoding="ascii") as f:
        netfilter = {line.split()[9] for line in f if line.split()[1] == "12"}
    pidfd, libc = os.pidfd_open(pid), ctypes.CDLL(None, use_errno=True)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if target.startswith("socket:[") and target[8:-1] in netfilter:
            duplicate = libc.syscall(438, pidfd, int(fd), 0)  # pidfd_getfd
            assert duplicate >= 0, os.strerror(ctypes.get_errno())
            yield socket.socket(fileno=duplicate)
    os.close(pidfd)


def test_messages_are_lost_without_a_word(node):
    """What nobody told is noticed by the number of the ruleset's generation."""
    web(node, [1])
    node.start()
    before = ruleset(node)
    for _ in range(3):
        os.kill(node.daemon.pid, signal.SIGSTOP)
        node.run("nft", "flush table ip kproxy")
        n_messages = 0
        for duplicate in netlink_sockets(node.daemon.pid):
            with duplicate:
                duplicate.setblocking(False)
                try:
                    while duplicate.recv(1 << 16):
                        n_messages += 1
                except BlockingIOError:
                    pass
        assert n_messages > 1
        os.kill(node.daemon.pid, signal.SIGCONT)
        wait_for("repair", lambda: ruleset(node) == before)


def test_the_check_finds_nothing_where_nothing_is(node, tmp_path):
    """Neither our commits nor those of others to their tables lead to a comparison."""
    web(node, [1])
    node.start("--log-level=debug", stderr=(tmp_path / "log").open("w"))
    end = time.monotonic() + 4  # several checks
    while time.monotonic() < end:
        for numbers in ([1, 2], [1]):
            web(node, numbers)
            node.run("nft", "add table ip theirs; delete table ip theirs")
    log = (tmp_path / "log").read_text()
    assert log.count("full=1") == 1 and "ops=0" not in log


def test_foreign_tables_wake_nobody(node, tmp_path):
    web(node, [1])
    log = (tmp_path / "log").open("w")
    node.start("--log-level=debug", stderr=log)
    n_before = (tmp_path / "log").read_text().count("sync done")
    for i in range(20):
        node.run("nft", f"add table ip theirs{i}; add set ip theirs{i} s {{ type ipv4_addr; }}; "
                 f"add element ip theirs{i} s {{ 192.0.2.1 }}; delete table ip theirs{i}")
    web(node, [1, 2])  # the next sync is that of this change
    wait_for("the change is synced", lambda: len(
        [e for s in node.dump()["services"] for e in s["endpoints"]]) == 8)
    assert (tmp_path / "log").read_text().count("sync done") == n_before + 1


def test_others_change_their_rules_without_pause(node):
    """A dump that their changes interrupt is asked for again, and spoils nothing that follows."""
    client = node.pod(9)
    node.pod(1, 8080)
    node.write("many.json", *[o for n in range(1000) for o in many(n)])
    web(node, [1])
    node.start()
    before = ruleset(node)
    storm = node.popen("sh", "-c", "while :; do nft add table ip theirs; nft delete table ip theirs; done")
    for _ in range(50):
        node.run("nft", "flush map ip kproxy services", check=False)
        # The table has to be made anew, for which nobody was told of its sets.
        node.run("nft", "add chain ip kproxy filter-input { policy drop; }", check=False)
    storm.kill()
    storm.wait()
    wait_for("all is repaired", lambda: ruleset(node) == before, 30)
    assert client.ask(IP4, 80, count=5).servers == {"pod1": 5}


def many(n):
    ip = f"{n >> 8}.{n & 255}"
    return (service(f"s{n}", [f"10.97.{ip}"], [("http", "TCP", 80)]),
            endpointslice(f"s{n}-a", f"s{n}", [f"10.181.{ip}", f"10.182.{ip}"],
                          [("http", "TCP", 8080)]))
