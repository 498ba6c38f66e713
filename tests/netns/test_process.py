# SPDX-License-Identifier: GPL-2.0-or-later
"""The process itself: its log, its signals, its clock, and a second one beside it."""
import json
import os
import re
import signal
import subprocess
import time

import pytest
from node import node_object, service, wait_for
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

def test_full_sync_every_hour(node, tmp_path):  # SY-5
    speed, shim = 2000, tmp_path / "shim.so"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", shim,
                    os.path.join(HERE, "fast_clock.c")], check=True)
    web(node, [1])
    start = time.monotonic()
    # A program with AddressSanitizer insists on being loaded first.
    daemon = Daemon(node, tmp_path, "--log-level=debug", env={
        "LD_PRELOAD": str(shim), "KP_CLOCK_SPEED": str(speed),
        "ASAN_OPTIONS": "verify_asan_link_order=0"})
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
