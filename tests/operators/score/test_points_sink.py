import json
import re

import numpy as np
import pytest

from operators.score.points import PointsConfig, ScorePoints
from operators.score.semantickitti import evaluate
from operators.semantickitti import NAMES, THINGS
from operators.streams import VOID
from operators.write.semantickitti import SemanticKitti as Writer
from pipeline.errors import FrameError
from pipeline.operator import Resume
from pipeline.testing import header, run_operator

FACTS = {"class_names": ["road", "Car", "sky"], "things": ["Car"]}
PORTS = ("point_classes", "point_ids", "point_classes_truth", "point_ids_truth")


def scan(*blocks):
    """(points, truth class, truth id, class, id)"""
    counts = np.array([block[0] for block in blocks], int)
    columns = {
        port: np.repeat(np.array([block[k] for block in blocks], int), counts)
        for port, k in zip(PORTS, (3, 4, 1, 2), strict=True)
    }
    return {port: column.astype(np.uint8 if "classes" in port else np.int64) for port, column in columns.items()}


def scores(folder):
    return json.loads((folder / "scores.json").read_text())


def run(tmp_path, scans, facts=FACTS, found_facts=None, **config):
    meta = [{"point_classes": found_facts or facts, "point_classes_truth": facts}] * len(scans)
    heads = [header(k, f"00/{k:06d}") for k in range(len(scans))]
    run_operator(ScorePoints, scans, config, headers=heads, meta=meta, out_dir=tmp_path)


def test_perfect_ids_and_ones_that_change(tmp_path):
    same = [scan((100, 1, 7, 1, 3), (100, 0, -1, 0, -1), (10, VOID, -1, 1, 3))] * 2
    run(tmp_path / "a", same)
    found = scores(tmp_path / "a")
    assert found["frames"] == 2 and found["lstq"] == found["present"]["pq"] == found["present"]["miou"] == 1
    assert found["pq"] == pytest.approx(2 / 3) and found["classes"]["Car"]["tp"] == 2
    run(tmp_path / "b", [same[0], scan((100, 1, 7, 1, 4), (100, 0, -1, 0, -1))])
    assert scores(tmp_path / "b")["s_assoc"] == 0.5 and not (tmp_path / "b" / ".frames.jsonl").exists()


def test_classes_meet_by_their_names(tmp_path):
    other = {"class_names": ["Car", "unlabeled", "bush", "road"], "things": ["Car"]}
    run(tmp_path, [scan((60, 1, 7, 0, 3), (60, 0, -1, 3, -1), (60, 0, -1, 2, -1), (60, 0, -1, 1, -1))], found_facts=other)
    found = scores(tmp_path)
    assert list(found["classes"]) == ["road", "Car", "sky", "bush"]
    assert found["classes"]["Car"]["iou"] == 1 and found["classes"]["road"]["iou"] == pytest.approx(1 / 3)
    assert found["classes"]["bush"]["fp"] == 1


def test_the_numbers_are_those_of_the_files(tmp_path):
    """Random scans, once through the sink and once through .label files and the evaluator."""
    rng, scans = np.random.default_rng(0), []
    for _ in range(4):
        blocks = []
        for _ in range(40):
            label, same = int(rng.integers(0, 20)), rng.random() < 0.6
            other = label if same else int(rng.integers(0, 20))
            ids = [int(rng.integers(0, 4)) if 1 <= c <= 8 else -1 for c in (label, other)]
            blocks.append((int(rng.integers(1, 150)), label, ids[0], other, ids[1]))
        scans.append(scan(*blocks))
    facts = {"class_names": list(NAMES), "things": list(THINGS)}
    run(tmp_path / "sink", scans, facts)
    heads = [header(k, f"00/{k:06d}") for k in range(len(scans))]
    for folder, suffix in (("labels", "_truth"), ("predictions", "")):
        given = [{port: of_scan[f"{port}{suffix}"] for port in ("point_classes", "point_ids")} for of_scan in scans]
        meta = [{"point_classes": facts}] * len(scans)
        run_operator(Writer, given, {"folder": folder}, headers=heads, meta=meta, out_dir=tmp_path / folder)
    found, files = scores(tmp_path / "sink"), evaluate(tmp_path / "labels", tmp_path / "predictions")
    assert found["classes"] == files["classes"] and found["lstq"] > 0
    for key in ("miou", "pq", "pq_things", "lstq", "s_assoc", "s_cls", "accuracy", "present"):
        assert found[key] == pytest.approx(files[key], abs=1e-12), key


def test_without_truth_or_ids(tmp_path, caplog):
    some = scan((100, 1, 7, 1, 3), (100, 0, -1, 0, -1))
    run(tmp_path / "a", [{"point_classes": some["point_classes"]}])
    assert not (tmp_path / "a" / "scores.json").exists()
    run(tmp_path / "b", [{port: some[port] for port in PORTS if "ids" not in port}])
    assert scores(tmp_path / "b")["lstq"] is None and scores(tmp_path / "b")["present"]["pq"] == 1


def test_an_empty_scan_counts(tmp_path):
    run(tmp_path, [scan()])
    assert scores(tmp_path)["frames"] == 1 and scores(tmp_path)["present"]["pq"] is None


def test_a_restarted_node_goes_on(make, tmp_path):
    def feed(op, k, value):
        op.header, op.meta = header(k, f"00/{k:06d}"), {"point_classes": FACTS, "point_classes_truth": FACTS}
        op.process(**value)

    first, second = scan((100, 1, 7, 1, 3)), scan((100, 1, 7, 1, 4))
    op = make(ScorePoints)
    feed(op, 0, first)
    feed(op, 1, first)  # in doubt: the engine did not record it
    with op.journal.path.open("a") as file:
        file.write("[2, ")
    again = make(ScorePoints, resume=Resume(1, 0, "00/000000"))
    feed(again, 1, second)
    again.close()
    assert scores(again.out_dir)["frames"] == 2 and scores(again.out_dir)["s_assoc"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"point_ids": np.zeros(3, np.int64)}, "needs point_ids of the 100 points, got 3"),
        ({"point_classes": np.full(100, 9, np.uint8)}, "needs classes of the 3 class_names, got 9"),
    ],
)
def test_wrong_frames_are_refused(tmp_path, change, message):
    with pytest.raises(FrameError, match=re.escape(message)):
        run(tmp_path, [{**scan((100, 1, 7, 1, 3)), **change}])


def test_class_names_stay(make):
    op = make(ScorePoints)
    for k, names in enumerate((["a", "b"], ["a"])):
        op.header, op.meta = header(k), {"point_classes": {"class_names": names}, "point_classes_truth": {"class_names": names}}
        if k:
            with pytest.raises(FrameError, match="needs the classes of the frames before, got a"):
                op.process(**scan((5, 0, -1, 0, -1)))
        else:
            op.process(**scan((5, 0, -1, 0, -1)))


def test_a_wrong_config_names_its_key():
    with pytest.raises(ValueError, match="min_points: needs 1 or more, got 0"):
        PointsConfig(min_points=0)
