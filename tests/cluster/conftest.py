# SPDX-License-Identifier: GPL-2.0-or-later
import os
import secrets

import pytest

from cluster import ApiServer, Cluster, ClusterNode


@pytest.fixture
def api_server(tmp_path_factory, request):
    """An API server of our own, with the flags of the test's marker."""
    if not os.environ.get("KPROXY_APISERVER"):
        pytest.skip("KPROXY_APISERVER does not name the test server's binaries")
    flags = request.node.get_closest_marker("server_flags")
    server = ApiServer(tmp_path_factory.mktemp("apiserver"), *(flags.args if flags else ()))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def cluster(request):
    """The cluster of KUBECONFIG, or a new one."""
    if os.environ.get("KUBECONFIG"):
        return Cluster(os.environ["KUBECONFIG"])
    return request.getfixturevalue("api_server").cluster()


@pytest.fixture
def node(cluster):
    node = ClusterNode(cluster)
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def namespace(cluster):
    """A namespace of the cluster for one test."""
    name = f"kproxy-check-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        cluster.kubectl("delete", "services,endpointslices", "--all", "-n", name, check=False)
        cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


def pytest_configure(config):
    config.addinivalue_line("markers", "server_flags(*flags): flags of the API server")
