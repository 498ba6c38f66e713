# SPDX-License-Identifier: GPL-2.0-or-later
"""The man page, the completion and --help tell the same flags."""
import re
import shutil
import subprocess

import pytest
from files import described_flags, help_text, path, silent_flags
from node import KPROXY


def man_page():
    return subprocess.run([path("tools/man-page"), KPROXY, path("docs/kproxy.8.in")], check=True,
                          capture_output=True, text=True).stdout


def section():
    [text] = re.findall(r"^\.Sh FLAGS$(.*?)^\.Sh ", man_page(), re.M | re.S)
    return text.replace("\\-", "-")


def test_every_flag_is_in_the_man_page_and_no_other():
    items = re.findall(r"^\.It Fl (\S+)(?: Ns = Ns Ar (\S+))?$", section(), re.M)
    assert len(items) > 20
    assert {"-" + name: value for name, value in items} == described_flags()
    assert {"-" + name for name in re.findall(r"^\.Fl (\S+)$", section(), re.M)} == silent_flags()


def test_groups_are_those_of_the_help():
    groups = re.findall(r"^\.Ss (.*)$", section(), re.M)
    assert [group.replace("\\&", "") for group in groups] == re.findall(r"^([A-Z].*):$", help_text(),
                                                                       re.M)


def test_every_flag_has_an_explanation():
    lines = section().splitlines()
    for i, line in enumerate(lines):
        if line.startswith(".It Fl "):
            assert re.match(r"\\&.", lines[i + 1]), line


def test_every_command_is_in_the_man_page():
    commands = re.findall(r"^[Usage: ]* kproxy ([a-z]+)", help_text(), re.M)
    page = man_page()
    assert commands and re.findall(r"^\.It Cm (\S+)", page, re.M) == commands
    assert [c for c in re.findall(r"^\.Cm (\S+)", page, re.M)] == commands  # the synopsis


def test_flags_that_the_text_names_exist():
    named = re.findall(r"\bFl Fl ([a-z-]+)", man_page())
    assert named and {"--" + name for name in named} <= set(described_flags())


@pytest.mark.parametrize("lint", [["mandoc", "-Tlint", "-Wwarning"], ["groff", "-mandoc", "-wmac", "-rLL=150n", "-Tutf8", "-z"]])
def test_formatters_have_no_complaint(tmp_path, lint):
    if not shutil.which(lint[0]):
        pytest.skip(f"{lint[0]} is not installed")
    page = tmp_path / "kproxy.8"
    page.write_text(man_page(), encoding="utf-8")
    done = subprocess.run([*lint, str(page)], check=False, capture_output=True, text=True)
    complaints = [line for line in (done.stdout + done.stderr).splitlines()
                  if "mandoc.db" not in line]
    assert complaints == []
