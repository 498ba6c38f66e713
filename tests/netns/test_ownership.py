# SPDX-License-Identifier: GPL-2.0-or-later
"""--own-table: nobody else changes the rules while kproxy runs, and they stay when it stops."""
import re
import signal

import pytest

from node import KPROXY, wait_for
from test_health import Owner
from test_repair import COMMANDS, FIREWALL, ruleset
from test_traffic import IP4, web


@pytest.fixture
def owner(node):
    """The node, with kproxy as the owner of its tables."""
    for n in (1, 2):
        node.pod(n, 8080)
    web(node, [1, 2])
    result = node.once("--own-table", check=False)
    if "needs Linux 6.9" in result.stderr:
        pytest.skip("the kernel has no persistent ownership of tables")
    assert result.returncode == 0, result.stderr
    node.start("--own-table")
    return node


def is_owned(node):
    return all("flags owner" in node.run("nft", "list", "table", family, "kproxy",
                                         check=False).stdout for family in ("ip", "ip6"))


def addresses(node):
    return {e["address"] for s in node.dump()["services"] for e in s["endpoints"]}


def test_others_change_nothing(owner, tmp_path):
    client, before = owner.pod(9), ruleset(owner)
    assert is_owned(owner)
    load = client.load(IP4, 80, n_clients=2)
    for command in COMMANDS:
        refused = owner.run("nft", "-f", "-", input=command, check=False).returncode != 0
        assert refused == ("flush ruleset" not in command), command  # which passes over our tables
        assert ruleset(owner) == before
    assert "table inet filter" in owner.run("nft", "list", "tables").stdout  # of FIREWALL
    for got in load.stop():
        assert got.servers and not got.errors and got.slowest < 0.5
    web(owner, [1])
    wait_for("changes go on", lambda: addresses(owner) == {"10.180.0.1", "fd00:10:180::1"})


def test_rules_stay_and_the_next_process_owns_them(owner):
    before = ruleset(owner)
    for how in (signal.SIGKILL, signal.SIGTERM):
        owner.stop(how)
        assert not is_owned(owner)
        assert addresses(owner) == {"10.180.0.1", "10.180.0.2", "fd00:10:180::1", "fd00:10:180::2"}
        owner.start("--own-table")
        assert ruleset(owner) == before
    owner.stop()
    owner.run("nft", "delete table ip kproxy")  # an administrator can, now
    owner.start("--own-table")
    assert ruleset(owner) == before


def test_from_and_to_a_table_of_nobody(owner):
    client = owner.pod(9)
    for flags in ([], ["--own-table"], []):
        owner.stop()
        owner.start(*flags)
        assert is_owned(owner) == bool(flags)
        assert client.ask(IP4, 80, count=20).errors == {}
    owner.run("nft", "delete table ip kproxy")


def test_cleanup_while_kproxy_runs(owner):
    before = ruleset(owner)
    result = owner.run(*owner.argv("--cleanup"), check=False)
    assert result.returncode == 1 and "stop it first" in result.stderr, result.stderr
    assert ruleset(owner) == before
    owner.stop()
    owner.run(*owner.argv("--cleanup"))
    assert "kproxy" not in owner.run("nft", "list", "tables").stdout


def test_the_next_process_waits_for_the_first(owner, tmp_path):
    before, log = ruleset(owner), tmp_path / "log"
    second = owner.popen(*owner.argv("--own-table", "--healthz-bind-address=127.0.0.1:10257"),
                         stderr=log.open("w"))
    wait_for("it waits", lambda: "waiting for it to end" in log.read_text())
    owner.stop()
    wait_for("it is the owner", lambda: is_owned(owner), 30)
    assert ruleset(owner) == before
    second.kill()
    second.wait()


@pytest.mark.parametrize("flags", (["--once"], ["--once", "--own-table"], ["--cleanup"]))
def test_tables_of_somebody_else(node, flags):
    web(node, [1])
    somebody = Owner(node)
    somebody.take(delete=False)
    wait_for("the tables are somebody's", lambda: is_owned(node))
    result = node.run(*node.argv(*flags), check=False)
    assert result.returncode == 1
    assert re.search(r"table ip kproxy is owned by process \d+ .*stop that process first",
                     result.stderr), result.stderr
    somebody.let_go()


def test_a_saved_ruleset_cannot_be_loaded(owner, tmp_path):
    """Why this is not the default: all of it is refused, the rest of the firewall too."""
    owner.run("nft", "-f", "-", input=FIREWALL)
    saved = owner.run("nft", "list", "ruleset").stdout
    owner.run("nft", "flush ruleset")
    result = owner.run("nft", "-f", "-", input="flush ruleset\n" + saved, check=False)
    assert result.returncode != 0 and "Operation not permitted" in result.stderr
    assert "table inet filter" not in owner.run("nft", "list", "tables").stdout


def test_dump_asks_only(owner):
    for form in ("text", "json", "nft"):
        assert "10.180.0.2" in owner.run(KPROXY, "dump", "-o", form, *owner.dump_argv()).stdout
