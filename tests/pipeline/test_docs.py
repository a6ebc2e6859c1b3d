"""The pages are correct.

The tests write the files of docs/operators.md and README.md, run their commands and compare the output. Links and paths on
every page exist. docs/engine.md names every file of the engine.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "operators.md"
README = ROOT / "README.md"
ENGINE = ROOT / "docs" / "engine.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str, page: Path = DOC) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language == kind]


def commands(page: Path) -> list[tuple[str, str]]:
    """(command, output shown) in the order of the document."""
    found: list[tuple[str, str]] = []
    for line in "".join(blocks("console", page)).splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def write_files(page: Path, folder: Path) -> None:
    """The page's files: every block of Python and YAML begins with its name."""
    for kind in ("python", "yaml"):
        for text in blocks(kind, page):
            name = re.match(r"# ([\w.]+)\n", text)
            assert name, f"a block without a file name: {text[:60]!r}"
            assert not (folder / name[1]).exists(), f"{name[1]} comes twice"
            (folder / name[1]).write_text(text)


def test_every_block_is_of_a_kind_that_is_executed():
    assert {language for language, _ in BLOCK.findall(DOC.read_text())} == {"python", "yaml", "console"}
    assert DOC.read_text().count("```") == 2 * len(BLOCK.findall(DOC.read_text()))
    assert all(len(text.splitlines()) <= 65 for text in blocks("python"))


def test_a_function_really_takes_fifteen_lines():
    (text,) = [b for b in blocks("python") if b.startswith("# crop.py")]
    assert len([line for line in text.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("page", [README, DOC], ids=lambda page: page.stem)
def test_the_commands_print_what_is_shown(page, tmp_path):
    """One test per page: each command needs the files of the previous ones."""
    write_files(page, tmp_path)
    assert commands(page)
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "80", "PYTEST_ADDOPTS": ""}
    for command, shown in commands(page):
        words = shlex.split(command)
        if Path(words[0]).name == "pipe":
            words[:1] = [sys.executable, "-m", "pipeline"]
        elif words[0] == "python":
            words[0] = sys.executable
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False)
        got = done.stdout + done.stderr
        same = doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS)
        assert same, f"$ {command}\nshown:\n{shown}\ngot:\n{got}"
        assert (done.returncode == 0) == ("error:" not in shown), f"$ {command}: exit {done.returncode}"


@pytest.mark.parametrize("page", [README, ENGINE], ids=lambda page: page.stem)
def test_a_page_to_begin_with_is_short(page):
    assert len(page.read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            path, _, heading = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.name}: {target}"
            if heading:
                assert heading in headings(there), f"{page.name}: {target}"


def headings(page: Path) -> set[str]:
    """Anchors of a page as GitHub makes them of its headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [page for page in PAGES if page != DOC], ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_on_a_page_exist(page):
    """`*` stands for any name; a path may name a module without its ending. DOC is left out: its files are those it makes."""
    folders = "pipeline|operators|drivers|tests|bench|graphs|docs"
    for path in re.findall(rf"(?<![\w/.])((?:{folders})/[\w./*-]*[\w*/])", page.read_text()):
        assert any(ROOT.glob(path.rstrip("/"))) or any(ROOT.glob(path + ".*")), f"{page.name}: {path}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name != "decisions"], ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_named_on_a_page_exist(page):
    """Modules of `python -m`, verbs of `pipe`, targets of `make`. Decisions also name what was not made, or is gone."""
    text = page.read_text()
    for module in re.findall(r"python -m ((?:bench|chaos|studies|pipeline)[\w.]*)", text):
        paths = [base / module.replace(".", "/") for base in (ROOT, ROOT / "tests", ROOT / "docs")]
        assert any(path.is_dir() or path.with_suffix(".py").is_file() for path in paths), module
    for verb in re.findall(r"(?:[`$] ?|\.venv/bin/|^)pipe ([a-z]+)\b", text, re.MULTILINE):
        assert (ROOT / "pipeline" / "cli" / f"{verb}.py").is_file(), f"pipe {verb}"
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"[`$] ?make ([a-z0-9-]+)", text):
        assert target in targets, f"make {target}"


def test_engine_md_names_every_file_of_the_engine():
    """Its list of files: a folder, then pairs of a file and what it is, two spaces apart; no verbs of `cli`."""
    listed = ENGINE.read_text().partition("## File by file")[2]
    (table,) = re.findall(r"^```\n(.*?)^```$", listed, re.MULTILINE | re.DOTALL)
    named: set[str] = set()
    folder = ""
    for line in table.splitlines():
        first, *cells = re.split(r"  +", line)
        folder = first.removeprefix("pipeline/") or folder if first != "pipeline/" else ""
        names = cells[0].partition(":")[0].split(", ") if len(cells) == 1 else cells[::2]
        named |= {f"{folder}{name}" for name in names if name != "others"}
    files = {path.relative_to(ROOT / "pipeline").with_suffix("").as_posix() for path in (ROOT / "pipeline").rglob("*.py")}
    verbs = {name for name in files if name.startswith("cli/")} - {"cli/verbs", "cli/templates"}
    shared = {"nodes/counts", "nodes/faults"}  # behind the colon of their line
    assert named | shared == {name for name in files - verbs if name == "__init__" or not name.endswith("__init__")}
