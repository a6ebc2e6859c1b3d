"""docs/operators.md is what it says: its files are written, its commands run, and their output is the one shown."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOC = Path(__file__).resolve().parents[2] / "docs" / "operators.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCK.findall(DOC.read_text()) if language == kind]


def commands() -> list[tuple[str, str]]:
    """(command, output shown) in the order of the document."""
    found: list[tuple[str, str]] = []
    for line in "".join(blocks("console")).splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The document's files: every block of Python and YAML begins with its name."""
    made = tmp_path_factory.mktemp("docs")
    for kind in ("python", "yaml"):
        for text in blocks(kind):
            name = re.match(r"# ([\w.]+)\n", text)
            assert name, f"a block without a file name: {text[:60]!r}"
            assert not (made / name[1]).exists(), f"{name[1]} comes twice"
            (made / name[1]).write_text(text)
    return made


def test_every_block_is_of_a_kind_that_is_executed():
    assert {language for language, _ in BLOCK.findall(DOC.read_text())} == {"python", "yaml", "console"}
    assert DOC.read_text().count("```") == 2 * len(BLOCK.findall(DOC.read_text()))
    assert all(len(text.splitlines()) <= 65 for text in blocks("python"))


def test_a_function_really_takes_fifteen_lines():
    (text,) = [b for b in blocks("python") if b.startswith("# crop.py")]
    assert len([line for line in text.splitlines() if line.strip()]) <= 15


def test_the_commands_print_what_is_shown(folder):
    """One test: each command needs what those before it left."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "80", "PYTEST_ADDOPTS": ""}
    for command, shown in commands():
        words = shlex.split(command)
        if words[0] == "pipe":
            words[:1] = [sys.executable, "-m", "pipeline"]
        elif words[0] == "python":
            words[0] = sys.executable
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False)
        got = done.stdout + done.stderr
        same = doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS)
        assert same, f"$ {command}\nshown:\n{shown}\ngot:\n{got}"
        assert (done.returncode == 0) == ("error:" not in shown), f"$ {command}: exit {done.returncode}"
