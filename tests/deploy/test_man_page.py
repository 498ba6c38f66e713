# SPDX-License-Identifier: GPL-2.0-or-later
"""The man page, the completion and --help tell the same flags."""
import re
import shutil
import subprocess

import pytest
from files import help_flags, help_text, path
from node import KPROXY


def man_page():
    return subprocess.run([path("tools/man-page"), KPROXY, path("docs/kproxy.8.in")], check=True,
                          capture_output=True, text=True).stdout


def flags_of(page):
    """{"--name": "VALUE" or ""} of the section FLAGS."""
    [section] = re.findall(r"^\.Sh FLAGS$(.*?)^\.Sh ", page, re.M | re.S)
    items = re.findall(r"^\.It Fl (\S+)(?: Ns = Ns Ar (\S+))?$", section, re.M)
    return {("-" + name).replace("\\-", "-"): value.replace("\\-", "-") for name, value in items}


def test_every_flag_is_in_the_man_page_and_no_other():
    assert len(help_flags()) > 20
    assert flags_of(man_page()) == help_flags()


def test_every_flag_has_an_explanation():
    lines = man_page().splitlines()
    for i, line in enumerate(lines):
        if line.startswith(".It Fl \\-"):
            assert lines[i + 1].startswith("\\&"), line


def test_every_command_is_in_the_man_page():
    commands = re.findall(r"^[Usage: ]* kproxy ([a-z]+)", help_text(), re.M)
    page = man_page()
    assert commands and re.findall(r"^\.It Cm (\S+)", page, re.M) == commands
    assert [c for c in re.findall(r"^\.Cm (\S+)", page, re.M)] == commands  # the synopsis


def test_flags_that_the_text_names_exist():
    named = re.findall(r"\bFl Fl ([a-z-]+)", man_page())
    assert named and {"--" + name for name in named} <= set(help_flags()) | {"--flag"}


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
