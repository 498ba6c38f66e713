# SPDX-License-Identifier: GPL-2.0-or-later
"""kproxy with kube-proxy's configuration file and command line, as installers write them."""
import json
import os
import re
import secrets

import pytest
import yaml

from fakeapi import FakeServer
from node import KPROXY, Host, endpointslice, node_object, run, service, wait_for
from test_metrics import METRICS, read

CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../configs")
# No installer gives it; without it, hooks of the machine that the tests run on would be removed.
HARMLESS = "--bpf-root=/nonexistent"


def load(name):
    with open(os.path.join(CONFIGS, name), encoding="utf-8") as f:
        return yaml.safe_load(f)


def dump(path, config):
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump(config, f)


def web(*endpoints):
    return (service("web", ["10.96.0.10"], [("http", "TCP", 80, 30080)]),
            endpointslice("web", "web", [f"10.180.0.{e}" for e in endpoints],
                          [("http", "TCP", 8080)]))


class Daemon:
    """kproxy with a configuration file, in the place of Node.start()."""

    def __init__(self, node, directory):
        self.node, self.directory = node, str(directory)
        self.log_path = os.path.join(self.directory, "log")
        self.process = None

    def start(self, config, *flags):
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = self.node.daemon = self.node.popen(
                KPROXY, f"--config={config}", "--hostname-override=node1", HARMLESS, *flags,
                stderr=log)
        wait_for("kproxy is ready", self.node.is_ready)

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def wait_for_exit(self):
        wait_for("kproxy has exited", lambda: self.process.poll() is not None, 20)
        assert self.process.returncode == 1
        assert self.log().count("the configuration file has changed") == 1
        assert "level=error" not in self.log()


def config_of_kind(**more):
    """With limits that are left alone, and without an API server."""
    config = load("kind.yaml")
    config["clientConnection"]["kubeconfig"] = ""
    config.update(more)
    return config


@pytest.fixture
def daemon(node, tmp_path):
    node.write("web.json", *web(1), node_object())
    return Daemon(node, tmp_path)


def test_kubeadms_command_line(tmp_path):  # CF-1
    """File, kubeconfig and flags are those of a kubeadm cluster; what serves them is a fake."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    host = Host(f"kp-{secrets.token_hex(4)}-config")
    try:
        host.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
        server = FakeServer(host.ns)
        server.put(node_object(), *web(1, 2))
        config = load("kind.yaml")
        config["clientConnection"]["kubeconfig"] = str(tmp_path / "kubeconfig.conf")
        dump(tmp_path / "config.conf", config)
        dump(tmp_path / "kubeconfig.conf", {
            "apiVersion": "v1", "kind": "Config", "current-context": "default",
            "clusters": [{"name": "default", "cluster": {"server": "http://127.0.0.1:6443"}}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            "users": [{"name": "default", "user": {}}]})
        with open(tmp_path / "log", "w", encoding="utf-8") as log:
            process = host.popen(KPROXY, f"--config={tmp_path}/config.conf",
                                 "--hostname-override=node1", HARMLESS, stderr=log)
        wait_for("the rules", lambda: "10.180.0.2" in host.run(
            "nft", "list", "map", "ip", "kproxy", "endpoints", check=False).stdout, 20)
        # kube-proxy's ports, without a flag that asks for them.
        assert host.http("http://192.0.2.1:10256/healthz")[0] == 200
        assert host.http("http://127.0.0.1:10249/proxyMode")[2] == "nftables"
        assert host.http("http://192.0.2.1:10249/proxyMode")[0] == 0
        process.terminate()
        assert process.wait() == 0
        log = (tmp_path / "log").read_text()
        assert log.count("mode of kube-proxy is done by nftables") == 1
        assert "level=error" not in log and "unknown" not in log
        server.stop()
    finally:
        host.close()


def test_what_is_written_is_what_is_shown_and_taken(daemon, tmp_path):  # CF-8, MS-1
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    dump(first, config_of_kind(oomScoreAdj=5, nodePortAddresses=["192.0.2.0/24"]))
    run(KPROXY, f"--config={first}", f"--write-config-to={second}")
    daemon.start(second, f"--manifests={daemon.node.directory}")
    shown = json.loads(daemon.node.http(METRICS + "/configz")[2])["kubeproxy.config.k8s.io"]
    with open(second, encoding="utf-8") as f:
        written = yaml.safe_load(f)
    assert shown == {**written, "hostnameOverride": "node1"}
    assert written["oomScoreAdj"] == 5
    assert written["iptables"]["minSyncPeriod"] == written["nftables"]["minSyncPeriod"] == "1s"
    assert written["conntrack"]["maxPerCore"] == 0
    assert "unknown" not in daemon.log()


# --- the file changes (CF-5) ---

def write_over(path, config):
    dump(path, config)


def rename_over(path, config):
    dump(str(path) + ".new", config)
    os.rename(str(path) + ".new", path)


def remove_and_create(path, config):
    os.unlink(path)
    dump(path, config)


@pytest.mark.parametrize("change", (write_over, rename_over, remove_and_create))
def test_exits_when_the_file_changes(daemon, tmp_path, change):
    path = tmp_path / "config.conf"
    dump(path, config_of_kind())
    daemon.start(path, f"--manifests={daemon.node.directory}")
    change(path, config_of_kind(oomScoreAdj=7))
    daemon.wait_for_exit()
    assert "10.96.0.10" in daemon.node.run("nft", "list", "map", "ip", "kproxy", "services").stdout


def test_exits_when_the_target_of_a_link_is_written(daemon, tmp_path):
    os.mkdir(tmp_path / "elsewhere")
    target, path = tmp_path / "elsewhere" / "real.conf", tmp_path / "config.conf"
    dump(target, config_of_kind())
    os.symlink(target, path)
    daemon.start(path, f"--manifests={daemon.node.directory}")
    dump(target, config_of_kind(oomScoreAdj=7))
    daemon.wait_for_exit()


class ConfigMap:
    """A volume as the kubelet fills it: each version is a directory, a link is switched to it."""

    def __init__(self, path):
        self.path, self.n = path, 0
        os.mkdir(path)

    def fill(self, **files):
        version = f"..version{self.n}"
        self.n += 1
        os.mkdir(self.path / version)
        for name, config in files.items():
            dump(self.path / version / f"{name}.conf", config)
        os.symlink(version, self.path / "..data_tmp")
        os.rename(self.path / "..data_tmp", self.path / "..data")
        for name in files:
            if not os.path.lexists(self.path / f"{name}.conf"):
                os.symlink(f"..data/{name}.conf", self.path / f"{name}.conf")


def test_exits_when_a_config_map_is_switched(daemon, tmp_path):
    volume = ConfigMap(tmp_path / "volume")
    volume.fill(config=config_of_kind())
    daemon.start(volume.path / "config.conf", f"--manifests={daemon.node.directory}")
    volume.fill(config=config_of_kind(oomScoreAdj=7))
    daemon.wait_for_exit()


def test_stays_while_the_new_file_is_not_valid(daemon, tmp_path):
    volume = ConfigMap(tmp_path / "volume")
    volume.fill(config=config_of_kind())
    daemon.start(volume.path / "config.conf", f"--manifests={daemon.node.directory}")
    # What is no change of the file itself says nothing.
    dump(volume.path / "other.conf", {})
    volume.fill(config=config_of_kind(oomScoreAdj=5000))
    wait_for("an error", lambda: "level=error" in daemon.log())
    line, = [l for l in daemon.log().splitlines() if "level=error" in l]
    assert "not valid, going on with the old one" in line and "oomScoreAdj" in line
    os.unlink(volume.path / "..data")
    daemon.node.write("web.json", *web(1, 2), node_object())
    wait_for("it works on", lambda: "10.180.0.2" in daemon.node.run(
        "nft", "list", "map", "ip", "kproxy", "endpoints").stdout)
    assert daemon.process.poll() is None
    os.symlink("..version0", volume.path / "..data")
    wait_for("kproxy has exited", lambda: daemon.process.poll() is not None, 20)
    assert daemon.process.returncode == 1


# --- single options ---

def test_min_sync_period(node):  # SY-2
    node.write("web.json", *web(1))
    node.start("--iptables-sync-period=1h", "--iptables-min-sync-period=1h")
    for endpoint in range(2, 7):
        seen = read(node)["kubeproxy_sync_proxy_rules_endpoint_changes_total"]
        node.write("web.json", *web(1, endpoint))
        wait_for("the change is seen", lambda n=seen: read(node)[
            "kubeproxy_sync_proxy_rules_endpoint_changes_total"] > n)
    after = read(node)
    assert after['kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}'] == 1
    assert after["kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == 1


def test_min_sync_period_ends(node):  # SY-2
    node.write("web.json", *web(1))
    node.start("--iptables-min-sync-period=1s")
    node.write("web.json", *web(1, 2))
    wait_for("a second sync", lambda: read(node)[
        'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}'] == 2)
    assert "10.180.0.2" in node.run("nft", "list", "map", "ip", "kproxy", "endpoints").stdout


def test_servers_can_be_off(node):
    node.write("web.json", *web(1))
    node.daemon = node.popen(*node.argv("--healthz-bind-address=", "--metrics-port=0"))
    wait_for("a sync", lambda: "10.96.0.10" in node.run(
        "nft", "list", "map", "ip", "kproxy", "services", check=False).stdout)
    assert node.http("http://127.0.0.1:10256/livez")[0] == 0
    assert node.http("http://127.0.0.1:10249/metrics")[0] == 0


def test_wrong_usage():
    for flag in ("--nonsense", "--oom-score-adj=x", "--config=/nonexistent"):
        result = run(KPROXY, flag, check=False)
        assert result.returncode == 2
        assert flag.split("=")[0] in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_help_has_a_line_for_each_flag():
    text = run(KPROXY, "--help").stdout
    assert max(map(len, text.splitlines())) <= 100
    flags = re.findall(r"^  +--([a-z-]+)", text, re.MULTILINE)
    assert len(flags) == len(set(flags)) and {"config", "cluster-cidr", "bpf-scope"} < set(flags)
    assert run(KPROXY, "-h").stdout == text


def test_version():
    assert re.fullmatch(r"kproxy \S+\n", run(KPROXY, "--version", "--config=/nonexistent").stdout)
