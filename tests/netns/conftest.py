# SPDX-License-Identifier: GPL-2.0-or-later
import os

import pytest

from node import Node


def pytest_generate_tests(metafunc):
    """A module whose tests send packets says in MODES in which modes they run."""
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", getattr(metafunc.module, "MODES", ("nft",)))


@pytest.fixture
def node(tmp_path, mode):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    node = Node(str(tmp_path), mode)
    try:
        yield node
    finally:
        node.close()
