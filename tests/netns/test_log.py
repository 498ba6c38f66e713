# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon tells of its start, in both formats, and where the journal reads it."""
import json
import os
import re
import subprocess

import pytest
from node import wait_for
from rig import Rig
from test_process import Daemon
from test_stale_flows import old_kernel
from test_traffic import web

TIME = r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z "


def without_host(lines):
    """What is told of the host's settings depends on the host."""
    return [line for line in lines if " module=host " not in line]


def messages(lines):
    return [re.search(r'msg="([^"]*)"', line).group(1) for line in lines]


def test_first_lines(node, tmp_path):
    web(node, [1, 2])
    daemon = Daemon(node, tmp_path)
    daemon.wait_for('msg="ready"')
    lines = without_host(daemon.lines())
    assert messages(lines) == ["starting", "kernel", "reading manifests", "sync done", "ready"]
    assert all(re.match(TIME + "level=info module=", line) for line in lines)
    assert f'mode=nft node="node1" pid={daemon.process.pid}' in lines[0]
    assert f'release="{os.uname().release}" nf_tables=ok conntrack=' in lines[1]
    assert f'directory="{node.directory}"' in lines[2]
    assert re.search(r" services=1 frontends=8 endpoints=8 start_ms=\d+$", lines[4])
    web(node, [1])  # a change is no news
    wait_for("the change", lambda: len([e for s in node.dump()["services"]
                                        for e in s["endpoints"]]) == 4)
    assert without_host(daemon.lines()) == lines
    assert daemon.stop() == 0
    assert messages(without_host(daemon.lines()))[5:] == ["stopping, rules stay in place"]


def test_first_lines_with_an_api_server(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    rig = Rig(tmp_path)
    try:
        rig.start("--log-level=info", "--cluster-cidr=10.180.0.0/16,fd00:10:180::/64")
        wait_for("ready", lambda: 'msg="ready"' in rig.log(), 30)
        lines = without_host(rig.log().splitlines())
        assert messages(lines) == ["starting", "kernel", "watching the API server",
                                   "the API server answers", "all objects are known", "sync done",
                                   "ready"]
        assert 'server="http://127.0.0.1:6443"' in lines[2] and "version=1.34" in lines[3]
        assert "services=2 frontends=2 endpoints=3" in lines[6]
    finally:
        rig.close()


@pytest.mark.parametrize("kind, told", [
    ("none", 'conntrack="missing, stale flows stay until they time out"'),
    ("unfiltered", 'conntrack="without filters, all entries are read"')])
def test_kernel_that_lacks_something(node, tmp_path, kind, told):
    web(node, [1])
    daemon = Daemon(node, tmp_path, env=old_kernel(tmp_path, kind))
    daemon.wait_for('msg="ready"')
    assert told in daemon.lines('msg="kernel"')[0]


def test_json(node, tmp_path):
    web(node, [1])
    daemon = Daemon(node, tmp_path, "--logging-format=json", "-v=4")
    daemon.wait_for('"msg":"ready"')
    daemon.stop()
    objects = [json.loads(line) for line in daemon.lines()]
    assert {o["level"] for o in objects} >= {"info"}
    assert all(list(o)[:4] == ["ts", "level", "module", "msg"] for o in objects)
    ready = next(o for o in objects if o["msg"] == "ready")
    assert (ready["services"], ready["frontends"]) == (1, 8)
    start = os.stat(daemon.path).st_mtime * 1000
    assert start - 600_000 < ready["ts"] < start + 600_000  # milliseconds, as Kubernetes' own
    assert objects[0]["node"] == "node1"


def test_json_of_an_error(node):
    os.rmdir(node.directory)
    done = node.run(*node.argv("--logging-format=json"), check=False)
    os.mkdir(node.directory)
    assert done.returncode == 1
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["level"], last["msg"]) == ("error", "failed")
    assert "No such file or directory" in last["error"]


def test_journal(node):
    """systemd says which file leads to the journal; only there time is left out."""
    web(node, [1])
    script = 'exec 2>"$0"; export JOURNAL_STREAM=$(stat -Lc $1 "$0"); shift; exec "$@"'
    path = os.path.join(node.directory, "stderr")
    for stream, start in (("%d:%i", "<6>level=info "), ("%d:1", "time=")):
        node.run("sh", "-c", script, path, stream, *node.argv("--once"))
        with open(path, encoding="utf-8") as f:
            assert f.read().startswith(start)


@pytest.mark.parametrize("flags, shown", [(["-v=2"], False), (["-v", "3"], False),
                                          (["-v=4"], True), (["--v=9"], True),
                                          (["--v", "0"], False)])
def test_verbosity(node, flags, shown):
    web(node, [1])
    done = node.once(*flags)
    assert ("level=debug" in done.stderr) == shown and "sync done" in done.stderr


@pytest.mark.parametrize("flag", ["-v=x", "-v", "--v=-1", "--logging-format=yaml"])
def test_wrong_flags(node, flag):
    done = subprocess.run(node.argv("--once", flag), text=True, capture_output=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
