# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package: built, checked by lintian, installed on a Debian 12 of its own, run, removed."""
import os
import re
import shutil
import subprocess
from contextlib import closing

from node import Node, service, endpointslice
from root import ROOT, Root

FILES = ("/usr/sbin/kproxy", "/usr/share/man/man8/kproxy.8.gz",
         "/usr/share/bash-completion/completions/kproxy",
         "/lib/systemd/system/kproxy.service", "/etc/default/kproxy",
         "/usr/share/doc/kproxy/copyright", "/usr/share/doc/kproxy/examples/daemonset.yaml")


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as f:
        return f.read()


def test_lintian_is_content(deb):
    changes = deb.replace(".deb", ".changes")
    done = subprocess.run(["lintian", "--fail-on=error,warning", changes], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_versions_are_one():
    [version] = re.findall(r'KPROXY_VERSION "(.*)"', read("include/kproxy/version.h"))
    assert read("debian/changelog").startswith(f"kproxy ({version})")


def test_files_and_dependencies(installed):
    for name in FILES:
        assert os.path.isfile(installed.path(name)), name
    depends = installed.run("dpkg-query", "-W", "-f", "${Depends}", "kproxy").stdout
    for library in ("libnftnl11", "libcurl4", "libbpf1", "libuv1"):
        assert library in depends
    unit = installed.run("cat", "/lib/systemd/system/kproxy.service").stdout
    assert "ExecStart=/usr/sbin/kproxy " in unit and "@" + "SBINDIR@" not in unit


def test_it_runs(installed, tmp_path):
    """In the network namespace of a node, with nothing but what the package brings."""
    with closing(Node(str(tmp_path))) as node:
        node.directory = installed.path("/manifests")
        node.write("web.json", service("web", ["10.96.0.10"], [("http", "TCP", 80)]),
                   endpointslice("web", "web", ["10.180.0.1"], [("http", "TCP", 8080)]))
        node.pod(1, 8080)
        installed.run("kproxy", "--once", "--manifests=/manifests", "--hostname-override=node1",
                      netns=node.ns)
        assert node.ask("10.96.0.10", 80).servers == {"pod1": 1}
        assert "default/web" in installed.run("kproxy", "dump", netns=node.ns).stdout
        installed.run("kproxy", "--cleanup", netns=node.ns)


def test_it_goes_without_a_trace(installed, tmp_path):
    root = Root(tmp_path / "root", debian=False)
    root.copy(installed.directory, "/")
    root.run("dpkg", "--purge", "kproxy")
    for name in FILES:
        assert not os.path.exists(root.path(name)), name
    shutil.rmtree(root.directory)
