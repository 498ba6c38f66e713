# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess
import sys

import pytest
from node import KPROXY

RUN = os.path.join(os.path.dirname(__file__), "../../bench/run.py")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_benchmark_runs():
    """A small run ends well and has a figure for each question."""
    result = subprocess.run([sys.executable, RUN, "--quick", "--build", os.path.dirname(KPROXY)],
                            text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    for heading in ("first sync, ms", "one endpoint moved, µs", "load, `nft -f`", "direct, 1/s",
                    "netlink, kB | chains | rules | one", "more for each, µs"):
        table = result.stdout.split(heading)[1].split("\n\n")[0]
        assert len(table.splitlines()) == 4, table
