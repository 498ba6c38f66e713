# SPDX-License-Identifier: GPL-2.0-or-later
"""The process itself: its log, its signals, its clock, and a second one beside it."""
import os
import signal
import subprocess
import time

import pytest
from node import wait_for
from test_health import occupy
from test_traffic import web

HERE = os.path.dirname(os.path.abspath(__file__))


class Daemon:
    """kproxy on a node, without asking it anything over HTTP, and its log."""

    def __init__(self, node, directory, *flags, name="log", env=None):
        self.path = directory / name
        with open(self.path, "w", encoding="utf-8") as log:
            self.process = node.popen(*node.argv(*flags), stderr=log,
                                      env={**os.environ, **(env or {})})

    def lines(self, part=""):
        return [line for line in self.path.read_text().splitlines() if part in line]

    def wait_for(self, part, n=1, seconds=30):
        wait_for(f"{n} lines with {part}", lambda: len(self.lines(part)) >= n, seconds)

    def send(self, what):
        os.kill(self.process.pid, what)

    def stop(self, how=signal.SIGTERM):
        self.send(how)
        return self.process.wait(30)


# --- the clock ---

def fast_clock(directory, speed):
    """An environment in which time passes 'speed' times as fast."""
    shim = os.path.join(directory, "fast_clock.so")
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", shim,
                    os.path.join(HERE, "fast_clock.c")], check=True)
    # A program with AddressSanitizer insists on being loaded first.
    return {"LD_PRELOAD": shim, "KP_CLOCK_SPEED": str(speed),
            "ASAN_OPTIONS": "verify_asan_link_order=0"}


def test_full_sync_every_hour(node, tmp_path):  # SY-5
    speed = 2000
    web(node, [1])
    start = time.monotonic()
    daemon = Daemon(node, tmp_path, "--log-level=debug", env=fast_clock(tmp_path, speed))
    daemon.wait_for("full=1", 4)
    syncs = daemon.lines('msg="sync done"')
    hours = (time.monotonic() - start) * speed / 3600
    assert 3 <= len(syncs) - 1 <= hours
    assert all("full=1" in s and "ops=0" in s for s in syncs[1:])
    assert daemon.stop() == 0


# --- addresses that cannot be had ---

@pytest.mark.parametrize("server, port", [("healthz", 10256), ("metrics", 10249)])
def test_occupied_address_is_an_error(node, server, port):  # HZ-8, MS-2
    web(node, [1])
    other = occupy(node, "127.0.0.1", port)
    argv = node.argv("--bind-address-hard-fail", f"--{server}-bind-address=127.0.0.1:{port}")
    done = node.run(*argv, check=False, timeout=60)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "level=error" in line]
    assert len(errors) == 1
    assert f"{server} server: listen on 127.0.0.1:{port}: Address already in use" in errors[0]
    assert node.run("nft", "list", "ruleset").stdout == ""
    other.kill()
    other.wait()
    node.start("--bind-address-hard-fail", "--metrics-bind-address=127.0.0.1:10249")


# --- a second one ---

SQUAT = """
import os, socket, sys, time
os.setuid(int(sys.argv[1]))
s = socket.socket(socket.AF_UNIX)
s.bind("\\0kproxy")
if sys.argv[2] == "listen":
    s.listen()
print("ready", flush=True)
time.sleep(1000)
"""


def ruleset(node):
    return node.run("nft", "list", "ruleset").stdout


def pid_of(daemon):
    """Of kproxy; nsenter has become it."""
    return daemon.process.pid


@pytest.mark.parametrize("flags", [["--predecessor-wait=0s"], ["--once"], ["--cleanup"],
                                   ["--predecessor-wait=300ms"]])
def test_second_one_is_refused(node, tmp_path, flags):
    web(node, [1])
    first = Daemon(node, tmp_path)
    first.wait_for("sync done")
    before = ruleset(node)
    for _ in range(100 if flags == ["--once"] else 1):  # more than can wait to be heard
        done = node.run(*node.argv(*flags), check=False, timeout=60)
        assert done.returncode == 1
        assert f"with pid {pid_of(first)}; stop it first" in done.stderr
        assert done.stderr.count("level=error") == 1
    assert ruleset(node) == before and len(first.lines("sync done")) == 1
    assert first.stop() == 0


def test_reading_is_not_refused(node, tmp_path):
    web(node, [1])
    first = Daemon(node, tmp_path)
    first.wait_for("sync done")
    assert node.run(*node.argv("--dry-run")).stdout == ""
    assert node.dump()["services"]
    assert node.run(*node.argv("--version")).stdout.startswith("kproxy ")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_second_one_takes_over_when_the_first_ends(node, tmp_path, how):
    web(node, [1])
    first = Daemon(node, tmp_path)
    first.wait_for("sync done")
    second = Daemon(node, tmp_path, "--predecessor-wait=5m", name="log2")
    second.wait_for(f"waiting for it to end\" pid={pid_of(first)} ")
    assert not second.lines("sync done")
    first.stop(how)
    second.wait_for("sync done")
    assert len(second.lines("level=warn")) == 1 and not second.lines("level=error")
    assert second.stop() == 0


def test_nothing_is_left_of_one_that_was_killed(node, tmp_path):
    web(node, [1])
    for _ in range(3):
        daemon = Daemon(node, tmp_path, "--predecessor-wait=0s")
        daemon.wait_for("sync done")
        daemon.stop(signal.SIGKILL)
        assert not daemon.lines("level=warn")


def test_each_network_namespace_has_its_own(node, tmp_path):
    web(node, [1])
    first = Daemon(node, tmp_path)
    first.wait_for("sync done")
    done = node.outside.run(*node.argv("--once"))
    assert "level=warn" not in done.stderr and "sync done" in done.stderr


@pytest.mark.parametrize("uid, listens", [(65534, "listen"), (65534, "no"), (0, "no")])
def test_a_squatter_does_not_keep_it_from_its_work(node, uid, listens):
    """Any user can take the name; only a listener that belongs to root is believed."""
    web(node, [1])
    squatter = node.popen("python3", "-c", SQUAT, uid, listens, stdout=subprocess.PIPE)
    assert squatter.stdout.readline() == "ready\n"
    done = node.once()
    assert done.stderr.count("cannot tell whether another kproxy runs here") == 1


def test_the_first_one_in_another_pid_namespace(node, tmp_path):
    """As in a container: its pid means nothing here."""
    web(node, [1])
    log = tmp_path / "log"
    with open(log, "w", encoding="utf-8") as f:
        outer = node.popen("unshare", "--pid", "--fork", "--kill-child", *node.argv(), stderr=f)
    wait_for("the first one", lambda: "sync done" in log.read_text(), 30)
    with open(f"/proc/{outer.pid}/task/{outer.pid}/children", encoding="ascii") as f:
        inner = int(f.read())
    done = node.run(*node.argv("--once"), check=False)
    assert f"with pid {inner};" in done.stderr  # from outside it is seen
    done = node.run("unshare", "--pid", "--fork", *node.argv("--once"), check=False)
    assert done.returncode == 1
    assert "in a container; stop it first" in done.stderr
