# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes of kube-proxy, what stays of others, and what is said of it.  With traffic: test_handover.py."""
import json

import pytest
from kubeproxy import IPTABLES, KEEP, OTHERS, SHAPES, install, left, need, restore, saved
from node import KPROXY, Node, wait_for
from test_traffic import IP4, web


def cleanup(node, *extra, **kwargs):
    return node.run(*node.argv("--cleanup", *extra), **kwargs)


def takeover(node, *extra, **kwargs):
    return node.run(KPROXY, "takeover", *extra, **kwargs)


@pytest.mark.parametrize("shape", IPTABLES)
@pytest.mark.parametrize("how", ["start", "takeover", "cleanup"])
def test_what_others_have_stays_byte_for_byte(node, shape, how):  # CL-1, CL-2
    need(node, shape)
    restore(node, shape, OTHERS)
    node.outside.ask(Node.IP4, 9, count=3)  # counters
    before = saved(node, shape)
    assert any("[3:" in line for line in before)
    install(node, shape, 2)
    assert len(saved(node, shape)) > len(before) + 50
    if how == "start":
        node.once()
    elif how == "takeover":
        node.once(KEEP)
        takeover(node)
    else:
        cleanup(node)
    assert not left(node)
    assert saved(node, shape) == before
    cleanup(node)
    assert saved(node, shape) == before


@pytest.mark.parametrize("shape", IPTABLES)
def test_a_chain_that_others_use_stays(node, shape):
    need(node, shape)
    install(node, shape, 1)
    restore(node, shape, "*nat\n:CNI-HOSTPORT-SETMARK - [0:0]\n"
            "-A CNI-HOSTPORT-SETMARK -j KUBE-SERVICES\nCOMMIT\n")

    def kept():
        return [line for line in saved(node, shape) if "-A KUBE-S" in line or "-A CNI-" in line]
    before = kept()
    items = json.loads(takeover(node, "--dry-run", "-o", "json").stdout)["items"]
    stay = {(i["family"], i["chain"]): i["usedBy"] for i in items if i["stays"]}
    assert stay["ip", "KUBE-SERVICES"] == "CNI-HOSTPORT-SETMARK"
    assert stay["ip6", "KUBE-NODEPORTS"] == "KUBE-SERVICES"
    node.once()
    assert kept() == before and len(before) > 20
    lines = "\n".join(saved(node, shape))
    for gone in ("KUBE-FORWARD", "KUBE-POSTROUTING", "-A PREROUTING", "-A OUTPUT"):
        assert gone not in lines


def test_dry_run_tells_all_and_changes_nothing(node):
    for shape in SHAPES:
        need(node, shape)
        install(node, shape, 1)

    def everything():
        return node.run("nft", "-s", "-a", "list", "ruleset").stdout, saved(node, "iptables-legacy")
    before = everything()
    lines = takeover(node, "--dry-run").stdout.splitlines()
    assert {"table  ip kube-proxy", "table  ip6 kube-proxy", "chain  ip nat KUBE-SERVICES",
            "chain  ip6 filter KUBE-FORWARD (iptables-legacy)",
            "rule   ip nat PREROUTING jump KUBE-SERVICES"} <= set(lines)
    # 16 chains in each of the families and programs, where canaries are in three tables.
    chains = sum(line.startswith(":KUBE-") for shape in IPTABLES for line in saved(node, shape))
    assert lines[-1] == f"would remove 2 tables, {chains} chains, 48 rules"
    items = json.loads(takeover(node, "--dry-run", "-o", "json").stdout)["items"]
    assert len(items) == len(lines) - 1
    # Nobody would serve.
    result = takeover(node, check=False)
    assert result.returncode == 1 and "start kproxy first" in result.stderr
    assert everything() == before
    node.once(KEEP)
    assert left(node)
    assert takeover(node).stdout.splitlines()[-1] == lines[-1].replace("would remove", "removed")
    assert not left(node)
    for command in (("--dry-run",), ()):
        assert takeover(node, *command).stdout == "nothing to remove\n"
    assert takeover(node, "--wet-run", check=False).returncode == 2


def test_cleanup_removes_both(node):  # CL-1
    for shape in SHAPES:
        if shape != "iptables-legacy":
            install(node, shape, 1)
    node.once(KEEP)
    assert left(node)
    log = cleanup(node).stderr
    assert 'msg="removed what kube-proxy left" tables=2 chains=' in log
    assert not left(node) and "kproxy" not in node.run("nft", "list", "tables").stdout.split()
    # Nothing to remove is success, and no event.
    assert cleanup(node).stderr == ""


def test_a_node_without_leftovers_has_no_log_of_it(node):
    restore(node, "iptables-nft", OTHERS)
    assert "takeover" not in node.once().stderr


def test_thousands_of_chains(node, tmp_path):
    """More than fit into one transaction; the daemon goes on."""
    node.pod(1, 8080)
    client = node.pod(9)
    web(node, [])
    install(node, "iptables-nft", 400)
    chains = sum(line.startswith(":KUBE-") for line in saved(node, "iptables-nft"))
    assert chains > 4000
    log = tmp_path / "log"
    node.start(stderr=log.open("w"))
    wait_for("they are gone", lambda: "removed what kube-proxy left" in log.read_text(), 60)
    assert not left(node) and f" chains={chains} rules=24 " in log.read_text()
    web(node, [1])
    wait_for("changes go on", lambda: client.ask(IP4, 80, count=5).servers == {"pod1": 5})
    assert "repaired" not in log.read_text() and "level=error" not in log.read_text()


def test_legacy_rules_where_its_programs_are_missing(node):
    need(node, "iptables-legacy")
    install(node, "iptables-legacy", 1)
    before = saved(node, "iptables-legacy")
    result = node.run("env", "PATH=/nonexistent", *node.argv("--once"))
    assert 'level=warn module=takeover msg="iptables-legacy has tables, but its programs' in result.stderr
    assert saved(node, "iptables-legacy") == before


def test_what_cannot_be_removed_keeps_nothing_else_from_going(node):
    install(node, "nftables", 1)
    install(node, "iptables-nft", 1)
    # A map leads to a chain of kube-proxy, which no rule does.
    node.run("nft", "add map ip nat theirs { type mark : verdict; }; "
             "add element ip nat theirs { 0x7 : jump KUBE-SERVICES }")
    result = node.once()
    assert 'level=warn module=takeover msg="rules of kube-proxy may be left' in result.stderr
    assert "table ip nat" in result.stderr and len(result.stderr.splitlines()) == 2
    assert "KUBE-SERVICES" in left(node) and "kube-proxy" not in left(node)
    assert "KUBE-FORWARD" not in left(node)
    # No packet gets there any more.
    assert not any("-A PREROUTING" in line for line in saved(node, "iptables-nft"))
    assert cleanup(node, check=False).returncode == 1


def ipsets(node):
    return set(node.run("ipset", "list", "-n").stdout.split())


def test_what_the_ipvs_mode_leaves(node):  # CL-1
    """Any device of that name will do: not every kernel has dummies."""
    node.run("ip", "link", "add", "kube-ipvs0", "type", "bridge")
    theirs = {"KUBE-SRC-ABCDEFGH", "KUBE-DST-ABCDEFGH", "KUBE-CLUSTER-IPS"}
    ours = {"KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP", "KUBE-LOOP-BACK", "KUBE-6-LOAD-BALANCER-SOURCE-CID"}
    for name in theirs | ours:
        node.run("ipset", "create", name, "hash:ip,port")
    jump = "*nat\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n" \
        "-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT\nCOMMIT\n"
    node.run("iptables-nft-restore", "--noflush", input=jump)
    # Connections need the device as long as they live.
    assert "when its connections have ended, run kproxy takeover" in node.once().stderr
    assert not left(node) and ipsets(node) == theirs | ours
    node.run("ip", "link", "show", "kube-ipvs0")
    node.run("iptables-nft", "-A", "INPUT", "-m", "set", "--match-set", "KUBE-LOOP-BACK", "dst,dst")
    result = takeover(node, check=False)
    assert result.returncode == 1 and "ipset KUBE-LOOP-BACK is in use by a rule" in result.stderr
    assert ipsets(node) == theirs | {"KUBE-LOOP-BACK"}
    assert node.run("ip", "link", "show", "kube-ipvs0", check=False).returncode
    node.run("iptables-nft", "-F", "INPUT")
    assert takeover(node).stdout == "ipset  KUBE-LOOP-BACK\nremoved 1 ipset\n"
    assert ipsets(node) == theirs
