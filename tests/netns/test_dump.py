# SPDX-License-Identifier: GPL-2.0-or-later
"""kproxy dump: what is in the kernel, without a daemon."""
from node import KPROXY, endpointslice, node_object, service
from test_traffic import web


def test_text_names_service_frontends_endpoints(node):
    web(node, [1, 2])
    node.once()
    lines = node.run(KPROXY, "dump", "default/web").stdout.splitlines()
    assert lines[0].split() == ["SERVICE", "PORT", "FRONTEND", "ENDPOINT"]
    assert ["default/web", "http/tcp", "ClusterIP", "10.96.0.10:80", "10.180.0.1:8080"] in [
        line.split() for line in lines]
    assert ["NodePort", "IPv4:30080", "10.180.0.2:8080"] in [line.split() for line in lines]


def test_json_has_the_documented_fields(node):
    web(node, [1, 2])
    node.once()
    dump = node.dump("default/web")
    assert (dump["version"], dump["mode"]) == (1, "nft")
    assert dump["nodePortAddresses"] == [f"{node.IP4}/32", f"{node.IP6}/128"]
    http = next(s for s in dump["services"]
                if (s["portName"], s["family"]) == ("http", "IPv4"))
    assert http == {
        "namespace": "default", "name": "web", "portName": "http", "protocol": "TCP",
        "family": "IPv4",
        "frontends": [{"type": "ClusterIP", "address": "10.96.0.10", "port": 80,
                       "policy": "Cluster"},
                      {"type": "NodePort", "address": "", "port": 30080, "policy": "Cluster"}],
        "endpoints": [{"address": "10.180.0.1", "port": 8080},
                      {"address": "10.180.0.2", "port": 8080}],
        "localEndpoints": [], "sourceRanges": [], "affinitySeconds": 0}


def test_nft_prints_what_nft_prints(node):
    web(node, [1, 2])
    node.once()
    listing = "".join(node.run("nft", "list", "table", family, "kproxy").stdout
                      for family in ("ip", "ip6"))
    assert node.run(KPROXY, "dump", "-o", "nft").stdout == listing


def test_nft_of_one_service_can_be_loaded_again(node):
    web(node, [1, 2, 3])
    node.once()
    before = node.run("nft", "list", "ruleset").stdout
    elements = node.run(KPROXY, "dump", "-o", "nft", "default/web").stdout
    assert "{ 10.96.0.10 . tcp . 80 . 2 : 10.180.0.3 . 8080 }" in elements
    node.run("nft", "-f", "-", input=elements.replace("add element", "delete element"))
    assert node.dump()["services"] == []
    node.run("nft", "-f", "-", input=elements)
    assert node.run("nft", "list", "ruleset").stdout == before


def test_unknown_service_and_empty_kernel(node):
    assert node.dump()["services"] == []
    assert node.run(KPROXY, "dump", "-o", "nft").stdout == ""
    result = node.run(KPROXY, "dump", "default/web", check=False)
    assert result.returncode == 1
    assert result.stderr == "kproxy dump: Service default/web has nothing in the kernel\n"


def test_the_longest_names(node):
    name, port = "n" * 63, "p" * 63
    service_ = service(name, ["10.96.0.20"], [(port, "TCP", 80)])
    slice_ = endpointslice("slice", name, ["10.180.0.1"], [(port, "TCP", 8080)])
    for object_ in (service_, slice_):
        object_["metadata"]["namespace"] = name
    node.write("long.json", node_object(), service_, slice_)
    node.once()
    assert node.dump(f"{name}/{name}")["services"][0]["portName"] == port
    assert "ops=0" in node.once().stderr
