# SPDX-License-Identifier: GPL-2.0-or-later
"""The manifests are valid, say what they mean, and ask for no privilege by accident."""
import difflib
import os

import pytest
import schema
import yaml
from files import DAEMONSETS, container, described_flags, help_text, path, pod_spec, read

MANIFESTS = sorted(name for name in os.listdir(path("deploy"))
                   if name.endswith(".yaml") and "apiVersion:" in read("deploy", name))


def documents(name):
    return list(yaml.safe_load_all(read("deploy", name)))


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_what_the_api_takes(name):
    for document in documents(name):
        schema.check("V1" + document["kind"], document, f"{name} {document['kind']}")


def test_a_mistake_is_found():
    for mistake, found in (({"hostNetwrok": True}, "unknown"), ({"hostNetwork": "yes"}, "no bool"),
                           ({"containers": [{"image": "x"}]}, "name")):
        with pytest.raises((AssertionError, ValueError), match=found):
            schema.check("V1PodSpec", {"containers": [], **mistake})


@pytest.mark.parametrize("mode", DAEMONSETS)
def test_flags_are_those_of_the_program(mode):
    flags = described_flags()
    [init] = pod_spec(mode)["initContainers"]
    for flag in container(mode)["args"] + init["args"]:
        name, _, value = flag.partition("=")
        assert name in flags and bool(flags[name]) == bool(value), flag


@pytest.mark.parametrize("mode", DAEMONSETS)
def test_privileges_are_dropped(mode):
    context = container(mode)["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert not context.get("privileged") and not context["allowPrivilegeEscalation"]
    assert context["readOnlyRootFilesystem"]
    # Some runtimes' profile has no bpf() for CAP_BPF; tests/packages shows what comes of that.
    assert context["seccompProfile"] == {"type": "RuntimeDefault" if mode == "nft" else "Unconfined"}


def test_what_is_taken_from_the_host():
    assert "volumes" not in pod_spec("nft") and "hostPID" not in pod_spec("nft")
    assert {v["hostPath"]["path"] for v in pod_spec("bpf")["volumes"]} == {"/sys/fs/cgroup",
                                                                          "/sys/fs/bpf"}


@pytest.mark.parametrize("mode", DAEMONSETS)
def test_probes_ask_where_kproxy_answers(mode):
    only = container(mode)
    for probe, page in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        get = only[probe]["httpGet"]
        assert get["path"] == page
        # The program's default, as the manifest says nothing else.
        assert f"(0.0.0.0:{get['port']})" in help_text()
        assert not any(flag.startswith("--healthz") for flag in only["args"])


def test_the_two_daemonsets_differ_in_what_mode_bpf_needs():
    """They are two files so that each can be applied as it is; this keeps them in step."""
    def text(mode):
        return [line for line in read("deploy", DAEMONSETS[mode]).splitlines()
                if not line.startswith("#")]

    diff = [line for line in difflib.unified_diff(text("nft"), text("bpf"), n=0, lineterm="")
            if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert [line for line in diff if line[0] == "-"] == [
        "-        - --mode=nft", "-            add: [NET_ADMIN]",
        "-          seccompProfile: {type: RuntimeDefault}"]
    assert len(diff) < 20
