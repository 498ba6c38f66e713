# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import subprocess
import sys

import pytest

for tests in ("netns", "deploy"):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", tests))

from root import ROOT, Root  # noqa: E402

NEEDED = ("debootstrap", "dpkg-buildpackage", "dh", "lintian", "crun", "systemd-analyze")


def pytest_sessionstart(session):
    del session
    missing = [program for program in NEEDED if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        pytest.exit(f"needs root and what `tools/install-deps packages` installs: {missing}", 1)


@pytest.fixture(scope="session", name="deb")
def build_deb(tmp_path_factory):
    out = tmp_path_factory.mktemp("deb")
    done = subprocess.run([os.path.join(ROOT, "tools/deb"), str(out)], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session", name="installed")
def install(deb, tmp_path_factory):
    """A Debian system with the package, and with what test_unit.py boots."""
    root = Root(tmp_path_factory.mktemp("debian") / "root")
    root.copy(deb, "/kproxy.deb")
    root.run("apt-get", "update", "-qq")
    root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/kproxy.deb")
    root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd")
    os.makedirs(root.path("/manifests"))
    yield root
    shutil.rmtree(root.directory)
