# SPDX-License-Identifier: GPL-2.0-or-later
import os

import pytest

from node import Node


@pytest.fixture
def node(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    node = Node(str(tmp_path))
    try:
        yield node
    finally:
        node.close()
