# SPDX-License-Identifier: GPL-2.0-or-later
import os

import pytest

from node import Node


def make_node(directory):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    node = Node(str(directory))
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def node(tmp_path):
    yield from make_node(tmp_path)


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory):
    """One node for all tests of a file that only ask."""
    yield from make_node(tmp_path_factory.mktemp("manifests"))
