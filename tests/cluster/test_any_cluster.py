# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold on any cluster.  Makes objects in a namespace of its own only."""
from node import endpointslice, wait_for


def make_web(cluster, namespace, *pods, **spec):
    """A Service that kubectl makes, with a slice by hand; returns its cluster IP."""
    cluster.apply({"apiVersion": "v1", "kind": "Service",
                   "metadata": {"name": "web", "namespace": namespace},
                   "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80}], **spec}})
    slice_ = endpointslice("web-1", "web", pods, [("http", "TCP", 8080)])
    slice_["metadata"]["namespace"] = namespace
    slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "kproxy-check"
    cluster.apply(slice_)
    return cluster.kubectl("get", "service", "web", "-n", namespace, "-o",
                           "jsonpath={.spec.clusterIP}").stdout


def test_a_service_of_kubectl_is_reachable(node, cluster, namespace):
    client = node.pod(9)
    for n in (1, 2):
        node.pod(n, 8080)
    node.start()
    ip = make_web(cluster, namespace, "10.180.0.1", "10.180.0.2")
    wait_for("both endpoints answer",
             lambda: set(client.ask(ip, 80, count=8).servers) == {"pod1", "pod2"}, 20)
    cluster.kubectl("patch", "endpointslice", "web-1", "-n", namespace, "--type=json", "-p",
                    '[{"op": "remove", "path": "/endpoints/0"}]')
    wait_for("one endpoint answers",
             lambda: client.ask(ip, 80, count=8).servers == {"pod2": 8}, 20)
    cluster.kubectl("delete", "service", "web", "-n", namespace)
    wait_for("the Service has gone",
             lambda: (ip, "TCP", 80) not in node.kernel(), 20)


def test_the_kernel_equals_the_api(node, cluster, namespace):
    make_web(cluster, namespace, "10.180.0.1")
    node.start()
    assert node.wait_equal() >= 1


def test_check_finds_nothing(node, cluster):
    r = node.run(*node.argv("--check"), check=False)
    assert r.returncode == 0, r.stdout + r.stderr
