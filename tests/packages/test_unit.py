# SPDX-License-Identifier: GPL-2.0-or-later
"""kproxy.service: systemd's judgement of it, the daemon within its limits and under systemd itself."""
import os
import re
import shlex
import subprocess
from contextlib import closing

import pytest
import unit
from booted import BootedNode
from confined import HOST_FLAGS, ConfinedNode, setpriv
from node import wait_for
from root import ROOT
from test_privileges import ConnectedClient
from test_traffic import IP4, web


def flags():
    with open(os.path.join(ROOT, "deploy/kproxy.default"), encoding="utf-8") as f:
        [value] = re.findall(r"^KPROXY_FLAGS=(.*)$", f.read(), re.M)
    return [f for f in shlex.split(shlex.split(value)[0]) if not f.startswith("--kubeconfig=")]


def unit_file(directory, mode):
    """The unit as installed, the drop-in's settings behind its own."""
    texts = []
    for name in unit.path(mode):
        with open(name, encoding="utf-8") as f:
            texts.append(f.read().replace("@SBINDIR@/kproxy", "/bin/true"))
    result = directory / "kproxy.service"
    result.write_text("".join(texts), encoding="utf-8")
    return str(result)


@pytest.mark.parametrize("mode", ["nft", "bpf"])
def test_systemd_understands_it(mode, tmp_path):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit_file(tmp_path, mode)],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "kproxy.service" not in done.stderr, done.stderr


@pytest.mark.parametrize("mode,words", [("nft", "exposure level of {}"),
                                        ("bpf", "{} with the drop-in")])
def test_exposure_is_what_the_documents_say(mode, words, tmp_path):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                           unit_file(tmp_path, mode)], check=True, capture_output=True, text=True)
    [exposure] = re.findall(r"exposure level for kproxy.service: ([0-9.]+)", done.stdout)
    with open(os.path.join(ROOT, "docs/install.md"), encoding="utf-8") as f:
        assert words.format(exposure) in f.read()


@pytest.mark.parametrize("mode", ["nft", "bpf"])
def test_it_works_within_the_limits(mode, tmp_path):
    pytest.importorskip("seccomp")
    prefix = [*setpriv(unit.capabilities(mode)), *unit.launcher(mode)]
    with closing(ConfinedNode(tmp_path, mode, prefix, flags())) as node:
        for pod in (1, 2):
            node.pod(pod, 8080)
        web(node, [1])
        node.start()
        assert node.ask(IP4, 80).servers == {"pod1": 1}
        client = ConnectedClient(node)
        assert client.ask() == "pod1"
        web(node, [2])
        wait_for("the connected socket is moved", lambda: client.ask() == "pod2")
        assert node.http("http://127.0.0.1:10249/metrics")[0] == 200
        assert node.stop() == 0
        assert node.complaints() == []
        node.run(*node.argv("--cleanup"))


def test_the_limits_are_there(tmp_path):
    """What the filter forbids ends the process: mode bpf without the drop-in."""
    prefix = [*setpriv(unit.capabilities("bpf")), *unit.launcher("nft")]
    with closing(ConfinedNode(tmp_path, "bpf", prefix)) as node:
        web(node, [1])
        node.start_badly()
        assert node.daemon.wait() == -31  # SIGSYS


@pytest.mark.parametrize("mode", ["nft", "bpf"])
def test_under_systemd(mode, installed):
    with closing(BootedNode(installed, mode)) as node:
        node.pod(1, 8080)
        web(node, [1])
        node.boot()
        node.configure(f"--mode={mode}", "--manifests=/manifests", "--hostname-override=node1",
                       *HOST_FLAGS, *node.cluster_cidr, "--cgroup-root=/sys/fs/cgroup")
        node.inside("systemctl restart kproxy")
        wait_for("kproxy is ready", node.is_ready, 60)
        assert node.ask(IP4, 80).servers == {"pod1": 1}
        assert node.property("ActiveState") == "active"
        assert ("socket hooks attached" in node.journal()) == (mode == "bpf")

        node.inside("systemctl kill --signal=KILL kproxy")
        wait_for("it is started again", lambda: node.property("NRestarts") == "1" and node.is_ready(),
                 60)
        node.inside("systemctl stop kproxy")
        assert node.property("Result") == "success"
        assert node.ask(IP4, 80).servers == {"pod1": 1}  # the rules stay
        assert "level=warn" not in node.journal() and "level=error" not in node.journal()
        node.inside("kproxy --cleanup")
