"""`pipe bench NAME`: the names, their help and the files in bench/ agree."""

import re
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.cli.bench import BENCHES

FOLDER = Path(__file__).parents[3] / "bench"


def test_each_bench_has_a_file_and_each_file_of_one_a_name():
    of_file = {
        file.stem
        for file in FOLDER.glob("*.py")
        if re.search(r"^def main\(", text := file.read_text(), re.MULTILINE) and f"`pipe bench {file.stem}" in text
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
