# SPDX-License-Identifier: GPL-2.0-or-later
"""What is delivered beside the program, for the tests that look into it."""
import os
import re
import subprocess

import yaml
from node import KPROXY

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
DAEMONSETS = {"nft": "daemonset.yaml", "bpf": "daemonset-bpf.yaml"}


def path(*parts):
    return os.path.join(ROOT, *parts)


def read(*parts):
    with open(path(*parts), encoding="utf-8") as f:
        return f.read()


def pod_spec(mode):
    return yaml.safe_load(read("deploy", DAEMONSETS[mode]))["spec"]["template"]["spec"]


def container(mode):
    [only] = pod_spec(mode)["containers"]
    return only


def help_text():
    return subprocess.run([KPROXY, "--help"], check=True, capture_output=True, text=True).stdout


def described_flags():
    """{"--name": "VALUE" or ""} of those that have an effect"""
    return {name: value or "" for name, value in
            re.findall(r"^  (--?[a-z0-9-]+)(?:=(\S+))?(?:  .*)?$", help_text(), re.M)}


def silent_flags():
    """Those that are accepted only; --help has lines of nothing but their names."""
    lines = [line.split() for line in help_text().splitlines() if line.startswith("  -")]
    return {name for words in lines for name in words
            if len(words) > 1 and all(word.startswith("-") for word in words)}
