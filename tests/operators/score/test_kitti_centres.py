"""Exact numbers of tiny files: empty, one of each, forgiven boxes, both layouts, wrong files."""

import numpy as np
import pytest

from operators.score.kitti_centres import evaluate, inside, lines, score
from pipeline.__main__ import main
from pipeline.errors import InputError


def check(results, root):
    return score(root, results)


def line(frame, kind, x, z, *, bottom=150, score=None, box=None, occluded=0):
    box = box or f"100 100 200 {bottom}"
    return f"{frame} 1 {kind} 0 {occluded} 0 {box} 1.5 1.8 4 {x} 1.6 {z} 0" + ("" if score is None else f" {score}") + "\n"


@pytest.fixture
def folder(tmp_path):
    """folder(labels, results, scans) -> results file, root"""

    def write(labels, results, num_scans=2):
        root = tmp_path / "root"
        (root / "label_02").mkdir(parents=True)
        (root / "velodyne" / "0003").mkdir(parents=True)
        (root / "label_02" / "0003.txt").write_text("".join(labels))
        for k in range(num_scans):
            (root / "velodyne" / "0003" / f"{k:06d}.bin").touch()
        (tmp_path / "0003.txt").write_text("".join(results))
        return tmp_path / "0003.txt", root

    return write


def test_nothing(folder):
    result = check(*folder([], []))
    assert result["frames"] == 2
    assert result["vehicles"]["all"] == {"recall": None, "precision": None, "found": 0, "missed": 0, "right": 0, "wrong": 0}
    assert "vehicles             -         -           0/0  0/0" in lines(result)


def test_one_of_each(folder):
    truth = [line(0, "Car", 0, 15), line(0, "Van", 10, 15), line(1, "Pedestrian", 0, 25), line(1, "Cyclist", 5, 5)]
    found = [line(0, "Car", 1, 15, score=0.9), line(0, "Car", 10, 16, score=0.9), line(1, "Cyclist", 5, 8, score=0.9)]
    result = check(*folder(truth, found))
    assert [result[g]["all"]["recall"] for g in ("vehicles", "pedestrians", "cyclists")] == [1.0, 0.0, 0.0]
    assert [result[g]["all"]["precision"] for g in ("vehicles", "pedestrians", "cyclists")] == [1.0, None, 0.0]
    assert result["vehicles"]["types"] == {n: {"recall": 1.0, "found": 1, "missed": 0} for n in ("Car", "Van")}
    assert {name: row["found"] for name, row in result["vehicles"]["bands"].items()} == {
        "0-10 m": 0, "10-20 m": 2, "20-30 m": 0, "30-40 m": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "found", "counts", "why"),
    [
        ([], [line(0, "Car", 0, 20, bottom=125, score=1)], (0, 0), "25 px high"),
        ([], [line(0, "Car", 0, 20, bottom=126, score=1)], (0, 1), "higher"),
        ([line(0, "Car", 0, 20, bottom=125)], [], (0, 0), "truth 25 px high"),
        ([line(0, "Car", 0, 20, bottom=125)], [line(0, "Car", 0, 20, score=1)], (0, 0), "found such a truth"),
        ([line(0, "Car", 0, 20)], [line(0, "Car", 0, 20, bottom=125, score=1)], (1, 0), "low, but right"),
        ([], [line(0, "Car", 0, 41, score=1)], (0, 0), "too far"),
        ([line(0, "Car", 0, 39)], [line(0, "Car", 0, 41, score=1)], (1, 0), "found from beyond"),
        ([line(0, "DontCare", -1000, -1000, box="90 90 160 200")], [line(0, "Car", 0, 20, score=1)], (0, 0), "60 % inside"),
        ([line(0, "DontCare", -1000, -1000, box="90 90 140 200")], [line(0, "Car", 0, 20, score=1)], (0, 1), "40 % inside"),
        ([line(0, "Truck", 0, 20)], [line(0, "Car", 0, 20, score=1)], (0, 1), "another class"),
        ([line(7, "Car", 0, 20)], [line(7, "Car", 0, 20, score=1)], (0, 0), "a frame without a scan"),
    ],
)
def test_what_is_forgiven(folder, truth, found, counts, why):
    got = check(*folder(truth, found))["vehicles"]["all"]
    assert (got["right"], got["wrong"]) == counts, why
    assert got["missed"] == 0, why


def test_clear_truth_and_wrong_results_per_frame(folder):
    """Truth of level 2 or of an unknown level is not clear; its detections are not wrong."""
    truth = [line(0, "Car", 10 * k, 15, occluded=level) for k, level in enumerate((0, 1, 2, 3))]
    found = [line(0, "Car", 10 * k, 15, score=0.9) for k in (0, 2)] + [line(1, "Car", 5, 15, score=0.9)] * 3
    result = check(*folder(truth, found, num_scans=4))
    assert result["vehicles"]["all"] == {"recall": 0.5, "precision": 0.4, "found": 2, "missed": 2, "right": 2, "wrong": 3}
    assert result["vehicles"]["clear"] == {"recall": 0.5, "found": 1, "missed": 1}
    assert result["vehicles"]["wrong_per_frame"] == 0.75
    said = lines(result)
    assert "  occluded <=1   0.500         -           1/2" in said and "  wrong results per frame: 0.750" in said


def test_a_sitting_person_is_neither_found_nor_wrong(folder):
    result = check(*folder([line(0, "Person", 0, 9)], [line(0, "Pedestrian", 0, 9, score=1)]))
    assert result["pedestrians"]["all"] == {"recall": None, "precision": None, "found": 0, "missed": 0, "right": 0, "wrong": 0}


def test_wrong_files(folder, tmp_path):
    results, root = folder([line(0, "Car", 0, 20)], [line(0, "Car", 0, 20)])
    with pytest.raises(InputError, match=r"0003.txt:1: needs 18 columns, got 17$"):
        check(results, root)
    results.write_text(line(0, "Car", "x", 20, score=1))
    with pytest.raises(InputError, match=r"0003.txt:1: needs a number in column 14, got 'x'$"):
        check(results, root)
    results.write_text(line(0, "Car", "nan", 20, score=1))
    with pytest.raises(InputError, match=r"0003.txt:1: needs finite numbers, got nan in column 14$"):
        check(results, root)
    with pytest.raises(InputError, match=r"--gt .*nowhere: needs a folder with label_02/SSSS.txt, .*got no such folder or file$"):
        check(results, tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"--results .*nowhere: needs a folder with \*.txt, or such a file, got no such folder"):
        check(tmp_path / "nowhere", root)
    (tmp_path / "0004.txt").touch()
    with pytest.raises(InputError, match=r"^eval kitti-centres: --gt: needs labels of 0004, has 0003$"):
        check(tmp_path / "0004.txt", root)


def test_several_sequences(folder, tmp_path):
    """The second has no scans: it has the frames of its labels. All sequences are required, or the requested ones."""
    _, root = folder([line(0, "Car", 0, 15)], [line(0, "Car", 0, 15, score=1)])
    (root / "label_02" / "0004.txt").write_text(line(2, "Car", 0, 15) + line(2, "Car", 5, 15))
    with pytest.raises(InputError, match=r"needs a file of 0004, has 0003; an empty file means that nothing was found"):
        evaluate(root, tmp_path)
    assert evaluate(root, tmp_path, ["0003"])["vehicles"]["all"]["recall"] == 1.0
    (tmp_path / "0004.txt").write_text(line(2, "Car", 5, 15, score=1) + line(1, "Car", 5, 15, score=1))
    got = evaluate(root, tmp_path)
    assert (got["files"], got["frames"]) == (2, 5)
    assert got["vehicles"]["all"] == {"recall": 2 / 3, "precision": 2 / 3, "found": 2, "missed": 1, "right": 2, "wrong": 1}
    assert evaluate(root / "label_02", tmp_path)["frames"] == 4, "a folder of labels alone: no scans are known"


def test_the_object_layout(tmp_path, capsys):
    """A file per frame: the same numbers, and a warning for frames without a result file."""
    labels, results = tmp_path / "root/training/label_2", tmp_path / "results"
    labels.mkdir(parents=True)
    results.mkdir()
    for name, text in (("000000", line(0, "Car", 0, 15)), ("000001", ""), ("000002", line(0, "Car", 0, 15))):
        (labels / f"{name}.txt").write_text(text.removeprefix("0 1 "))
    (results / "000000.txt").write_text(line(0, "Car", 1, 15, score=0.5).removeprefix("0 1 "))
    (results / "000001.txt").write_text(line(0, "Car", 1, 25, score=0.5).removeprefix("0 1 "))
    got = evaluate(tmp_path / "root", results)
    assert got["notes"] == ["1 labelled frames have no result file and are not scored: 000002"]
    assert got["vehicles"]["all"] == {"recall": 1.0, "precision": 0.5, "found": 1, "missed": 0, "right": 1, "wrong": 1}
    assert evaluate(labels, results / "000000.txt")["vehicles"]["all"]["precision"] == 1.0
    assert main(["eval", "kitti-centres", "--gt", str(tmp_path / "root"), "--results", str(results)]) == 0
    said = capsys.readouterr()
    assert "vehicles         1.000     0.500           1/1  1/2\n" in said.out
    assert said.err == "warning: 1 labelled frames have no result file and are not scored: 000002\n"


def test_tracks_of_single_frames(tmp_path):
    """One file of tracks against labels of single frames: frames without tracks count."""
    labels, results = tmp_path / "root/training/label_2", tmp_path / "results"
    labels.mkdir(parents=True)
    results.mkdir()
    for name, text in (("000000", line(0, "Car", 0, 15)), ("000002", line(0, "Car", 0, 15)), ("000134", "")):
        (labels / f"{name}.txt").write_text(text.removeprefix("0 1 "))
    (results / "0000.txt").write_text(line(2, "Car", 1, 15, score=0.5) + line(134, "Car", 1, 15, score=0.5))
    for path in (results, results / "0000.txt"):
        got = evaluate(tmp_path / "root", path)
        assert (got["files"], got["frames"]) == (3, 3) and "notes" not in got
        assert got["vehicles"]["all"] == {"recall": 0.5, "precision": 0.5, "found": 1, "missed": 1, "right": 1, "wrong": 1}
    (results / "0000.txt").write_text("")
    assert evaluate(tmp_path / "root", results)["vehicles"]["all"]["missed"] == 2
    (results / "0000.txt").write_text(line(7, "Car", 1, 15, score=0.5))
    with pytest.raises(InputError, match=r"0000.txt: needs frames that have labels, got frame 7$"):
        evaluate(tmp_path / "root", results)


def test_inside():
    region = np.array([[0, 0, 10, 10.0]])
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [4.9, 0, 14.9, 10.0]])
    assert inside(boxes, region).tolist() == [True, False, True]
    assert inside(boxes, region[:0]).tolist() == [False] * 3
    assert inside(boxes[:0], region).shape == (0,)
