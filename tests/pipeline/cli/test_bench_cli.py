"""`pipe bench NAME`: the names, their help and the files in bench/ agree."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.__main__ import main
from pipeline.cli.bench import BENCHES

FOLDER = Path(__file__).parents[3] / "bench"


def test_each_bench_has_a_file_and_each_file_of_one_a_name():
    files = {file.stem: file for file in FOLDER.glob("*.py")} | {f.parent.name: f for f in FOLDER.glob("*/__init__.py")}
    of_file = {
        name
        for name, file in files.items()
        if re.search(r"^def main\(", text := file.read_text(), re.MULTILINE) and f"`pipe bench {name}" in text
    }
    assert of_file | {"startup"} == set(BENCHES)


def test_the_help_tells_what_each_measures(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert [name for name in BENCHES if f"{name}:" not in text] == []


def test_a_bench_that_is_not_there(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "hops"])
    assert "hops" in capsys.readouterr().err


@pytest.fixture
def bench(monkeypatch):
    figures = {"8 B.p50_us": 130.0, "8 B.p99_us": 240.0}
    module = SimpleNamespace(main=lambda: {"figures": figures, "stages": {"8 B.p99_us": "the wake-up takes 120 of 240 us"}})
    monkeypatch.setitem(sys.modules, "bench.hop", module)
    return lambda *budgets: main(["bench", "hop", *(word for text in budgets for word in ("--budget", text))])


def test_a_budget_that_is_kept(bench):
    assert bench("hop.8 B.p50_us=130", "hop.8 B.p99_us=300") == 0


def test_a_broken_budget_fails_with_figure_limit_and_stage(bench, capsys):
    assert bench("hop.8 B.p50_us=100", "hop.8 B.p99_us=200") == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: hop.8 B.p50_us: needs at most 100, got 130",
        "error: hop.8 B.p99_us: needs at most 200, got 240; the wake-up takes 120 of 240 us",
    ]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("hop.8 B.p5_us=1", "--budget hop.8 B.p5_us: needs a figure of the bench; did you mean hop.8 B.p50_us?"),
        ("hop.8 B.p50_us=fast", "--budget hop.8 B.p50_us=fast: needs K=V with a number V"),
        ("hop", "--budget hop: needs K=V with a number V"),
    ],
)
def test_a_wrong_budget(bench, capsys, text, expected):
    assert bench(text) == 2
    assert capsys.readouterr().err.strip() == f"error: {expected}"
