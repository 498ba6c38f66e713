# SPDX-License-Identifier: GPL-2.0-or-later
"""Alerts and dashboard ask for metrics that kproxy has, and what they ask makes sense to Prometheus."""
import json
import re
import shutil
import urllib.parse
from contextlib import closing

import pytest
import yaml
from files import path, read
from node import Node, run, wait_for
from rig import Rig
from test_traffic import web

RULES = yaml.safe_load(read("deploy/prometheus-rules.yaml"))
DASHBOARD = json.loads(read("deploy/grafana-dashboard.json"))
SELECTOR = re.compile(r"\b((?:kubeproxy|kproxy|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")

# Panels about what did not happen in the test.
SILENT = {"Health answers other than 200"}


def alerts():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def panel_queries():
    """(title of the panel, query), Grafana's variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$instance", ".*").replace(
                "$__rate_interval", "10s")


@pytest.fixture(name="rig")
def make_rig(tmp_path):
    with closing(Rig(tmp_path)) as rig:
        yield rig


@pytest.fixture(name="node")
def make_node(tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    with closing(Node(str(manifests))) as node:
        web(node, [1])
        node.start("--metrics-bind-address=127.0.0.1:10249")
        for name in ("healthz", "livez"):
            assert node.http(f"http://127.0.0.1:10256/{name}")[0] == 200
        yield node


def exported(host):
    """{name: its labels}"""
    samples = {}
    for line in host.http("http://127.0.0.1:10249/metrics")[2].splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            labels = re.findall(r'([a-z_]+)="', rest)
            samples.setdefault(name.split()[0], set()).update(labels)
    return samples


def test_metrics_and_labels_are_exported(node, rig):  # noqa: F811
    rig.start_synced("--metrics-bind-address=127.0.0.1:10249")
    samples = {**exported(rig.host), **exported(node)}  # some are of an API server
    queries = [rule["expr"] for rule in alerts()] + [query for _, query in panel_queries()]
    asked = [match for query in queries for match in SELECTOR.findall(query)]
    assert len(asked) > 40
    for name, selector in asked:
        assert name in samples, name
        labels = set(re.findall(r"([a-z_]+)\s*[=!]", selector))
        # The scraper adds the instance.
        assert labels - {"instance"} <= samples[name], f"{name}: {labels}"


def test_dashboard_is_laid_out_without_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        g = panel["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"])
                 for y in range(g["y"], g["y"] + g["h"])}
        assert g["x"] + g["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} (Debian package prometheus) is not installed")


def promtool(*argv):
    done = run("promtool", *argv, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_for_the_bad_node_only(tmp_path):
    need("promtool")
    rules = tmp_path / "rules.yaml"
    cases = tmp_path / "cases.yaml"
    text = read("tests/deploy/prometheus-rules-test.yaml")
    assert {rule["alert"] for rule in alerts()} == set(re.findall(r"alertname: (\w+)", text))
    promtool("check", "rules", path("deploy/prometheus-rules.yaml"))
    # Without annotations, or the cases would have to repeat the sentences.
    silent = [{key: rule[key] for key in rule if key != "annotations"} for rule in alerts()]
    rules.write_text(yaml.safe_dump({"groups": [{"name": "kproxy", "rules": silent}]}),
                     encoding="utf-8")
    cases.write_text(text.replace("RULES", str(rules)), encoding="utf-8")
    promtool("test", "rules", cases)


def test_every_panel_shows_something(node, tmp_path):
    """A real Prometheus scrapes the node and answers what the dashboard asks."""
    need("prometheus")
    config = tmp_path / "prometheus.yaml"
    config.write_text("scrape_configs: [{job_name: kproxy, scrape_interval: 1s, "
                      "static_configs: [{targets: ['127.0.0.1:10249']}]}]", encoding="utf-8")
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        node.popen("prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
                   "--web.listen-address=127.0.0.1:9090", stderr=log)

    def ask(query):
        url = "http://127.0.0.1:9090/api/v1/query?query=" + urllib.parse.quote(query)
        status, _, body = node.http(url)
        return json.loads(body)["data"]["result"] if status == 200 else None

    wait_for("two scrapes", lambda: ask("count_over_time(up[1m]) >= 2"), 60)
    web(node, [1, 2])
    for title, query in panel_queries():
        if title not in SILENT:
            wait_for(f"{title}: {query}", lambda q=query: ask(q), 60)
