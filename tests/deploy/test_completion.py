# SPDX-License-Identifier: GPL-2.0-or-later
"""What bash proposes."""
import re
import subprocess

import pytest
from files import described_flags, help_text, path
from node import KPROXY

# As readline would call it: the words so far, the last one being completed.
DRIVER = r"""
compopt() { :; }
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_kproxy
printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(*words, cwd=None):
    done = subprocess.run(["bash", "-c", DRIVER, "bash", path("deploy/kproxy.bash-completion"),
                           KPROXY, *words], check=True, capture_output=True, text=True, cwd=cwd)
    assert done.stderr == ""
    return set(done.stdout.split())


def all_flags():
    return {name + ("=" if value else "") for name, value in described_flags().items()}


def commands():
    return set(re.findall(r"^[Usage: ]* kproxy ([a-z]+)", help_text(), re.M))


def test_flags_and_commands():
    assert complete("") == all_flags() | commands()
    assert complete("--once", "") == all_flags()
    assert complete("--clu") == {"--cluster-cidr="}
    assert complete("--config") == {"--config="}  # what has no effect is not proposed
    assert complete("--no-such") == set()


def test_flags_of_a_command():
    assert complete("dump", "") == {"-o", "--bpf-root="}
    assert complete("dump", "-o", "") == {"text", "json", "nft"}


# readline gives "=" as a word; with another COMP_WORDBREAKS the value follows the flag.
@pytest.mark.parametrize("equals", [["="], []])
def test_values(tmp_path, equals):
    assert complete("--mode", *equals, "") == {"nft", "bpf"}
    assert complete("--mode", *equals, "b") == {"bpf"}
    assert complete("--detect-local-mode", *equals, "") == set()
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    assert complete("--kubeconfig", *equals, "", cwd=tmp_path) == {"file", "directory"}
    assert complete("--manifests", *equals, "", cwd=tmp_path) == {"directory"}
    assert complete("--hostname-override", *equals, "", cwd=tmp_path) == set()


def test_right_after_the_equals_sign():
    assert complete("--mode", "=") == {"nft", "bpf"}
