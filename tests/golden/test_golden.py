# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects, the plan that they lead to, and what is in the kernel then.

Each case is a directory with manifests (*.yaml, *.json) and

    flags         further flags, one a line; one given here replaces the default of its name, and one
                  without a value drops it
    plan.txt      what --dry-run prints from nothing
    ruleset.nft   the elements of our tables after --once, sorted
    log.txt       warnings and errors of --once; absent when there are none
    rules.diff    how chains and rules differ from ../rules.nft; absent when they do not
    rules-as      another case that has the same rules.diff, which is not repeated then

"make check UPDATE=1" rewrites what is expected; its diff is reviewed like code.
"""
import difflib
import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
KPROXY = os.path.abspath(os.environ.get("KPROXY", os.path.join(HERE, "../../build/kproxy")))
UPDATE = os.environ.get("UPDATE") == "1"
CASES = sorted(e.name for e in os.scandir(HERE) if e.is_dir() and not e.name.startswith("_"))
DEFAULTS = ["--mode=nft", "--hostname-override=node1",
            "--cluster-cidr=10.180.0.0/16,fd00:10:180::/64"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# Runs in a network namespace of its own, which goes away with the shell.
SCRIPT = r"""
set -u
out=$1; shift
"$@" --dry-run >"$out/plan" 2>"$out/log.dry-run" || exit 1
nft list ruleset >"$out/before"
"$@" --once 2>"$out/log"
echo $? >"$out/status"
nft list ruleset >"$out/listing"
"$@" --dry-run >"$out/again" 2>/dev/null
"$@" --once 2>"$out/log.again"
nft list ruleset | cmp - "$out/listing" >"$out/cmp" 2>&1
true
"""


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def flags_of(case):
    extra = read(os.path.join(HERE, case, "flags")).split()
    given = {flag.split("=")[0] for flag in extra}
    defaults = [f for f in DEFAULTS if f.split("=")[0] not in given]
    return defaults + [f for f in extra if not f.endswith("=")]


def split_elements(text):
    """The elements of 'elements = { ... }'; commas inside of comments do not count."""
    return [e.strip() for e in re.findall(r'(?:[^,"]|"[^"]*")+', text)]


def split_listing(listing):
    """Returns chains, rules and empty sets as listed, and the elements, one a line."""
    rules, elements, names = [], [], []
    inside = ""
    for line in listing.splitlines():
        if inside or line.lstrip().startswith("elements = {"):
            inside += line.strip() + " "
            if inside.count("{") == inside.count("}"):
                body = inside[inside.index("{") + 1:inside.rindex("}")]
                elements += [f"{names[0]} {names[1]} {{ {e} }}" for e in split_elements(body)]
                inside = ""
            continue
        words = line.split()
        if words[:1] == ["table"]:
            names = [words[1], ""]
        elif words[:1] in (["set"], ["map"]):
            names[1] = words[1]
        rules.append(line)
    return "\n".join(rules) + "\n", "".join(sorted(e + "\n" for e in elements))


def loud_lines(log):
    lines = (re.sub(r"^time=\S+ ", "", line) for line in log.splitlines())
    return "".join(line + "\n" for line in lines
                   if line.startswith(("level=warn", "level=error")))


def expect(path, got):
    """Compares with a golden file; one that would be empty is absent."""
    if UPDATE:
        if got:
            with open(path, "w", encoding="utf-8") as f:
                f.write(got)
        elif os.path.exists(path):
            os.unlink(path)
    assert got == read(path), path


@pytest.fixture
def ran(request, tmp_path):
    case = request.param
    argv = [KPROXY, *flags_of(case), f"--manifests={os.path.join(HERE, case)}"]
    subprocess.run(["unshare", "-n", "sh", "-c", SCRIPT, "sh", str(tmp_path), *argv], check=True)
    return case, lambda name: read(tmp_path / name)


@pytest.mark.parametrize("ran", ["single-stack-ipv4"], indirect=True)
def test_golden_rules(ran):
    rules, _ = split_listing(ran[1]("listing"))
    expect(os.path.join(HERE, "rules.nft"), rules)


@pytest.mark.parametrize("ran", CASES, indirect=True)
def test_golden(ran):
    case, result = ran
    path = lambda name: os.path.join(HERE, case, name)
    rules, elements = split_listing(result("listing"))
    diff = difflib.unified_diff(read(os.path.join(HERE, "rules.nft")).splitlines(True),
                                rules.splitlines(True), n=1)
    # Without line numbers, which would change with every rule before.
    diff = ["@@\n" if line.startswith("@@") else line for line in list(diff)[2:]]

    assert result("before") == ""
    expect(path("plan.txt"), result("plan"))
    expect(path("ruleset.nft"), elements)
    expect(path("log.txt"), loud_lines(result("log")))
    assert result("status") == ("1\n" if "level=error" in result("log") else "0\n")
    like = read(path("rules-as")).strip() or case
    expect(os.path.join(HERE, like, "rules.diff"), "".join(diff))
    # A second run finds everything in place.
    assert result("again") == ""
    assert result("cmp") == ""
    assert "ops=0" in result("log.again")
