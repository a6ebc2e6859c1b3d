"""`pipe eval` from the command line: output, exit code, message."""

import json
import re

import pytest
from track_files import line, write

from pipeline.__main__ import main
from pipeline.errors import GraphError
from pipeline.graph import lookup


@pytest.fixture
def pipe(capsys):
    def run(*argv):
        code = main(["eval", *map(str, argv)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def folders(tmp_path):
    """Two sequences; one detected car in the first, none in the second."""
    gt = write(tmp_path / "gt", s0001=line(0, 1), s0002=line(0, 1))
    return "--gt", gt, "--results", write(tmp_path / "results", s0001=line(0, 7, score=2), s0002="")


def test_alone_it_lists_what_there_is(pipe):
    code, out, _ = pipe()
    assert code == 0
    assert re.search(r"^kitti-tracking +KITTI tracking: CLEAR", out, re.M) and re.search(r"^mot +MOTChallenge", out, re.M)


def test_every_evaluator_can_be_called_as_the_verb_calls_it():
    for name in lookup.available_evaluators():
        module = lookup.evaluator(name)
        assert callable(module.evaluate) and callable(module.lines) and module.__doc__, name


def test_an_unknown_name(pipe):
    assert pipe("kiti-tracking") == (2, "", "error: unknown evaluator kiti-tracking; did you mean kitti-tracking?\n")
    with pytest.raises(GraphError, match=r"unknown evaluator zzz; known: .*kitti-tracking, "):
        lookup.evaluator("zzz")


@pytest.mark.parametrize("given", [(), ("--gt", "x"), ("--results", "x")])
def test_both_folders_are_needed(pipe, given):
    assert pipe("mot", *given) == (2, "", "error: eval mot: needs --gt DIR and --results DIR\n")


def test_the_table(pipe, folders):
    code, out, err = pipe("kitti-tracking", *folders)
    rows = [text.split() for text in out.splitlines()]
    assert (code, err) == (0, "")
    assert rows[0][:4] == ["2D", "boxes", "HOTA", "DetA"] and rows[1][:3] == ["car", "70.71", "50.00"]
    assert [row[0] for row in rows[1:7]] == ["car", "0001", "0002", "pedestrian", "0001", "0002"]
    assert rows[2][1:4] == ["100.00"] * 3 and len(rows[0]) == len(rows[1]) + 1
    assert rows[8][:2] == ["AB3DMOT", "sAMOTA"] and rows[9][:4] == ["3D", "IoU", "0.25", "car"]


def test_json_has_all_of_it_and_null_for_what_is_not_a_number(pipe, folders, tmp_path):
    write(tmp_path / "gt", s0001="")
    assert pipe("kitti-tracking", *folders, "--json", tmp_path / "new/f.json", "--sequences", "0001")[0] == 0
    got = json.loads((tmp_path / "new/f.json").read_text())
    assert (got["evaluator"], got["gt"], got["frames"]) == ("kitti-tracking", str(tmp_path / "gt"), {"0001": 1})
    assert got["classes"]["car"]["CLR_FP"] == 1 and got["classes"]["car"]["sequences"]["0001"]["CLR_FP"] == 1
    assert got["ab3dmot"]["3D IoU 0.25"]["car"]["best"]["MOTA"] is None
    assert "notes" not in got


def test_json_that_cannot_be_written(pipe, folders, tmp_path):
    code, out, err = pipe("kitti-tracking", *folders, "--json", tmp_path)
    assert (code, out, err) == (1, "", f"error: --json {tmp_path}: cannot write: Is a directory\n")


def test_chosen_sequences(pipe, folders):
    code, out, _ = pipe("kitti-tracking", *folders, "--sequences", "0001")
    assert code == 0 and "0002" not in out and out.splitlines()[1].split()[1] == "100.00"


def test_a_bad_file_is_one_line_and_exit_code_2(pipe, folders, tmp_path):
    write(tmp_path / "results", s0002="0 1 Car\n")
    code, out, err = pipe("kitti-tracking", *folders)
    assert (code, out, err) == (2, "", f"error: {tmp_path}/results/0002.txt:1: needs 17 or 18 columns, got 3\n")


def test_notes_go_to_stderr_and_the_table_comes_nevertheless(pipe, folders, tmp_path):
    write(tmp_path / "results", s0009="")
    code, out, err = pipe("kitti-tracking", *folders)
    assert (code, err) == (0, f"warning: {tmp_path}/results: 0009: not in the truth {tmp_path}/gt, not scored\n") and out
