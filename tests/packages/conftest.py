# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import sys

import pytest

for tests in ("netns", "deploy"):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", tests))

NEEDED = ("debootstrap", "dpkg-buildpackage", "dh", "lintian", "crun", "systemd-analyze")


def pytest_sessionstart(session):
    del session
    missing = [program for program in NEEDED if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        pytest.exit(f"needs root and what `tools/install-deps packages` installs: {missing}", 1)
