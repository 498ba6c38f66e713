# SPDX-License-Identifier: GPL-2.0-or-later
import os
import signal

import pytest

from node import Node
from rig import Rig, make_ca


def interrupt_once(*_):
    """A second interruption would cut the cleaning up short."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def pytest_configure():
    """Namespaces, cgroups and mounts go, too, when somebody ends the run."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt_once)


def pytest_generate_tests(metafunc):
    """A module whose tests send packets says in MODES in which modes they run."""
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", getattr(metafunc.module, "MODES", ("nft",)), scope="module")


def make_node(directory, mode="nft"):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    node = Node(str(directory), mode)
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def node(tmp_path, mode):
    yield from make_node(tmp_path, mode)


@pytest.fixture
def hooked_node(tmp_path):
    yield from make_node(tmp_path, "bpf")


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory, mode):
    """One node for all tests of a file that only ask."""
    yield from make_node(tmp_path_factory.mktemp("manifests"), mode)


def make_rig(directory, **server):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    rig = Rig(directory, **server)
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture
def rig(tmp_path):
    yield from make_rig(tmp_path)


@pytest.fixture
def tls_rig(tmp_path):
    yield from make_rig(tmp_path, certificate=make_ca(tmp_path, "server"))
