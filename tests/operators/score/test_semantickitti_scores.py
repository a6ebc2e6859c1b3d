import json
import re

import numpy as np
import pytest

from operators.score.semantickitti import evaluate, lines
from pipeline.__main__ import main
from pipeline.errors import InputError

CAR, ROAD = 10, 40


def write(root, sequence, kind, *scans):
    """Each scan: (points, label, instance) blocks"""
    folder = root / "sequences" / sequence / kind
    folder.mkdir(parents=True)
    for frame, blocks in enumerate(scans):
        packed = [np.full(points, instance << 16 | label, "<u4") for points, label, instance in blocks]
        (folder / f"{frame:06d}.label").write_bytes(np.concatenate([np.zeros(0, "<u4"), *packed]).tobytes())
    return root


def both(tmp_path, truth, found, sequence="08"):
    gt = write(tmp_path / "gt", sequence, "labels", *truth)
    return gt, write(tmp_path / "results", sequence, "predictions", *found)


TRUTH = [[(100, CAR, 1), (100, ROAD, 0)], [(100, 252, 1), (100, 60, 0)]]
"""A car that starts to move, on a road with a lane marking"""


def test_a_perfect_result(tmp_path):
    gt, results = both(tmp_path, TRUTH, [[(100, CAR, 9), (100, ROAD, 0)]] * 2)
    found = evaluate(gt, results)
    assert found["scans"] == {"08": 2} and found["notes"] == []
    assert found["lstq"] == found["s_assoc"] == found["s_cls"] == found["accuracy"] == 1
    assert found["pq"] == pytest.approx(2 / 19) and found["miou"] == pytest.approx(2 / 19)
    assert found["present"] == {"miou": 1, "pq": 1, "sq": 1, "rq": 1}
    assert found["pq_things"] == pytest.approx(1 / 8) and found["pq_stuff"] == pytest.approx(1 / 11)
    assert found["classes"]["car"]["tp"] == 2 and found["classes"]["road"]["truth"] == 200


def test_an_id_that_changes_costs_the_association_only(tmp_path):
    gt, results = both(tmp_path, TRUTH, [[(100, CAR, 1 + k), (100, ROAD, 0)] for k in range(2)])
    found = evaluate(gt, results)
    assert found["s_assoc"] == 0.5 and found["lstq"] == pytest.approx(0.5**0.5) and found["present"]["pq"] == 1


def test_the_verb_prints_and_writes_them(tmp_path, capsys):
    gt, results = both(tmp_path, TRUTH, TRUTH)
    file = tmp_path / "scores.json"
    assert main(["eval", "semantickitti", "--gt", str(gt), "--results", str(results), "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^car +100\.00 +100\.00 +100\.00 +100\.00 +2 +0 +0 +200$", out, re.M) and "LSTQ 100.00" in out
    got = json.loads(file.read_text())
    assert got["evaluator"] == "semantickitti" and got["lstq"] == 1 and got["classes"]["truck"]["pq"] == 0


def test_empty_scans_and_scans_without_any_class(tmp_path):
    gt, results = both(tmp_path, [[], [(10, 0, 0)]], [[], [(10, CAR, 1)]])
    found = evaluate(gt, results)
    assert found["miou"] == 0 and found["lstq"] is None
    assert found["notes"] == [f"--gt {gt}: no point has a class: all scores are 0"]
    assert "LSTQ n/a" in "\n".join(lines(found))


def test_sequences_are_chosen(tmp_path):
    gt, results = both(tmp_path, TRUTH, TRUTH)
    write(gt, "01", "labels", *TRUTH)
    write(results, "01", "predictions", TRUTH[0], TRUTH[0])
    write(gt, "02", "labels", *TRUTH)
    assert evaluate(gt, results, ["8"])["scans"] == {"08": 2}
    both_scored = evaluate(gt, results)
    assert both_scored["scans"] == {"01": 2, "08": 2}
    assert both_scored["notes"] == ["sequences without results are not scored: 02"]
    with pytest.raises(InputError, match=r"--results .*: needs labels of sequences 02, has 01, 08"):
        evaluate(gt, results, ["02"])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda gt, results: (results / "000001.label").unlink(), "lacks 000001"),
        (lambda gt, results: (results / "000000.label").write_bytes(b"\0" * 796), "needs 200 labels of 4 bytes"),
        (lambda gt, results: (results / "000000.label").write_bytes(b"\x02\0\0\0" * 200), "got 2 at point 0 and 200 such points"),
        (lambda gt, results: (gt / "000001.label").write_bytes(b"123"), "000001.label: needs a multiple of 4 bytes, got 3 bytes"),
        (lambda gt, results: [path.unlink() for path in gt.iterdir()], "needs a folder with sequences/SS/labels/NNNNNN.label"),
    ],
)
def test_wrong_files_are_named_in_one_line(tmp_path, capsys, break_it, message):
    gt, results = both(tmp_path, TRUTH, TRUTH)
    break_it(gt / "sequences/08/labels", results / "sequences/08/predictions")
    assert main(["eval", "semantickitti", "--gt", str(gt), "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["eval", "semantickitti", "--gt", str(tmp_path / "x"), "--results", str(tmp_path)]) == 2
    assert "--gt" in (error := capsys.readouterr().err) and "got no such folder" in error
