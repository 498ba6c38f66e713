# SPDX-License-Identifier: GPL-2.0-or-later
"""The Dockerfile's image, run as the DaemonSets say."""
import os
import shutil
from contextlib import closing

import pytest
from container import ContainerNode
from node import wait_for
from root import ROOT, build_image
from test_privileges import ConnectedClient
from test_traffic import IP4, web


@pytest.fixture(scope="module", name="image")
def make_image(tmp_path_factory):
    directory = tmp_path_factory.mktemp("image")
    yield build_image(os.path.join(ROOT, "deploy/Dockerfile"), directory)
    shutil.rmtree(directory)


def test_it_is_small(image):
    root, _ = image
    print(f"the image has {root.size() / 1e6:.1f} MB")
    assert root.size() < 25e6  # the figure in docs/install.md
    assert not os.path.exists(root.path("/bin/sh"))


@pytest.mark.parametrize("mode", ["nft", "bpf"])
def test_it_serves_as_the_daemonset_says(image, mode, tmp_path):
    with closing(ContainerNode(str(tmp_path), mode, image)) as node:
        for pod in (1, 2):
            node.pod(pod, 8080)
        web(node, [1])
        node.start_container()
        assert node.ask(IP4, 80).servers == {"pod1": 1}
        client = ConnectedClient(node)
        assert client.ask() == "pod1"
        web(node, [2])
        wait_for("the connected socket is moved", lambda: client.ask() == "pod2")
        assert node.stop_container() == 0
        assert "level=warn" not in node.log() and "level=error" not in node.log(), node.log()
        assert ("socket hooks attached" in node.log()) == (mode == "bpf")


def test_a_seccomp_profile_without_bpf_is_named(image, tmp_path):
    with closing(ContainerNode(str(tmp_path), "bpf", image, "RuntimeDefault")) as node:
        node.pod(1, 8080)
        web(node, [1])
        node.start_container()
        assert "does a seccomp profile" in node.log()
        assert "all traffic goes through nft" in node.log()
        assert node.ask(IP4, 80).servers == {"pod1": 1}
