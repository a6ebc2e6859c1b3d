import json

import numpy as np
import pytest
from track_files import line

from bench.common import machine_name
from operators.score import hota
from operators.score.kitti_rows import Truth, read_rows
from operators.streams import Boxes2D, Boxes3D, Calibration
from operators.track import models
from pipeline.errors import InputError
from studies import tracking as bench
from studies.recordings import Recording, read

STRAIGHT = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
CAMERA = Calibration(np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0]]), STRAIGHT, np.array([1242, 375], np.int32))


def recording(*frames, name="0000"):
    """A frame: (x, y, score) of each car"""
    pairs = []
    for cars in frames:
        boxes = np.array([(x, y, -1, 4.0, 1.7, 1.5, 0) for x, y, _ in cars], np.float32).reshape(-1, 7)
        scores, labels = np.array([s for *_, s in cars], np.float32), np.zeros(len(cars), np.int32)
        pairs.append((Boxes3D(boxes, scores, labels), Boxes2D(np.full((len(cars), 4), np.nan, np.float32), scores, labels)))
    return Recording(name, "logit", pairs, np.tile(np.eye(4), (len(frames), 1, 1)), CAMERA, None)


def truth_of(rows, name="0000", frames=None):
    return Truth({name: rows}, {name: frames})


@pytest.mark.parametrize("preset", ["best", "best_offline", "ab3dmot"])
def test_nothing_seen_nothing_tracked(preset):
    assert len(bench.tracks(bench.make(preset), recording([], []), True).frames) == 0


@pytest.mark.parametrize("preset", ["best", "best_offline", "ab3dmot"])
def test_tracks_scored_against_themselves_are_perfect(preset):
    """Two cars over 8 frames, one of them never in the image."""
    played = recording(*[[(12 + k, 0, 9.0), (10, 40, 9.0)] for k in range(8)])
    rows = bench.tracks(bench.make(preset), played, True)
    assert len(set(rows.ids.tolist())) == 1 and set(rows.frames.tolist()) >= {3, 4, 5, 6, 7}
    parts = bench.measured(truth_of(rows), played, rows, "car")
    assert bench.together([parts]) == pytest.approx(
        {
            "HOTA": 100,
            "DetA": 100,
            "AssA": 100,
            "LocA": 100,
            "MOTA": 100,
            "IDF1": 100,
            "IDS": 0,
            "FRAG": 0,
            "CLR_FP": 0,
            "CLR_FN": 0,
        }
    )
    assert bench.interval([parts, parts]) == pytest.approx((100, 100))


def test_the_interval_spans_good_and_bad_sequences():
    played = recording(*[[(12, 0, 9.0)]] * 8)
    rows = bench.tracks(bench.make("best"), played, True)
    good = bench.measured(truth_of(rows), played, rows, "car")
    bad = bench.measured(truth_of(rows), played, rows.take(rows.frames < 2), "car")
    low, high = bench.interval([good, bad])
    assert low == pytest.approx(100 * hota.combine([bad[2]])["HOTA"].mean())
    assert high == pytest.approx(100)


def test_tracks_of_a_low_mean_score_are_left_out(tmp_path):
    path = tmp_path / "0000.txt"
    mean_29, mean_28 = [(0, 1, 2.8), (1, 1, 3.0)], [(0, 2, 2.8), (1, 2, 2.8)]
    path.write_text("".join(line(frame, i, score=score) for frame, i, score in mean_29 + mean_28))
    rows = bench.confident(read_rows(path, truth=False))
    assert rows.ids.tolist() == [1, 1]
    assert len(bench.confident(rows.take(rows.ids == 7)).ids) == 0


def test_perfect_association_takes_the_truths_ids(tmp_path):
    """A detection on the car, one beside it, and a frame without detections; a detected van also has its id."""
    played = recording([(20, 0, 1.0), (20, 8, 1.0)], [], [(20, 0, 1.0)])
    boxes2d, _ = bench.in_picture(played.frames[2][0].boxes3d, CAMERA)
    path = tmp_path / "0000.txt"
    path.write_text(line(0, 5, boxes2d[0]) + line(1, 5, boxes2d[0]) + line(2, 6, boxes2d[0], "Van"))
    rows = bench.perfect(truth_of(read_rows(path, truth=True)), played, "car")
    assert (rows.frames.tolist(), rows.ids.tolist()) == ([0, 2], [5, 6])


def test_the_search_finds_what_is_best_and_keeps_the_start_for_less(monkeypatch):
    monkeypatch.setattr(bench, "SEARCHED", {"a": (1.0, 2.0, 3.0), "b": (0.0, 1.0), "c": (5, 6)})
    tried = []

    def score(settings):
        tried.append(settings)
        return settings["a"] * 0.1 + (settings["b"] * (settings["c"] == 6)) * 0.1 + settings["b"] * 1e-4

    assert bench.search(score) == {"a": 3.0, "b": 0.0, "c": 5}, "c alone gains nothing, b alone too little"
    monkeypatch.setattr(bench, "SEARCHED", {"c": (6, 5), "a": (1.0, 2.0, 3.0), "b": (0.0, 1.0)})
    assert bench.search(score) == {"c": 6, "a": 3.0, "b": 1.0}
    assert len(tried) < 30


def test_what_is_searched_are_settings_of_the_model():
    model, worth = bench.chosen_model({key: values[0] for key, values in bench.SEARCHED.items()})
    assert worth == models.Worth(1.0, 2.0)
    assert (model.show, model.max_coast, model.mean_l) == (0.0, 3, models.CAR.mean_l)


def test_leaving_one_out_chooses_on_the_others(monkeypatch, tmp_path, capsys):
    """Cars of score 2 are right in 0001 and 0002 and wrong in 0003: the settings for 0003 accept them, among others."""
    monkeypatch.setattr(bench, "SEARCHED", {"slope": (1.0,), "middle": (4.0, 0.0)})
    right = [[(20 + 0.1 * k, 0, 9.0), (30, -5 + 0.1 * k, 2.0)] for k in range(12)]
    recordings = [recording(*right, name=name) for name in ("0001", "0002", "0003")]
    every = bench.tracks(bench.make("best", *bench.chosen_model({"slope": 1.0, "middle": 0.0})), recordings[0], True)
    only_one = every.take(every.ids == every.ids[0])
    truth = Truth({"0001": every, "0002": every, "0003": only_one}, dict.fromkeys(("0001", "0002", "0003")))
    found = bench.leave_one_out(recordings, truth)
    assert found["folds"]["0003"]["middle"] == 0.0
    assert found["settings_tried"] == 2
    presets = ("best", "best, no poses", "best_offline", "best_offline, no poses")
    assert [row["tracks"] for row in found["scores"]] == [f"{preset}{how}" for preset in presets for how in ("", ": on all")]
    assert found["scores"][0]["sequences"]["0003"]["CLR_FP"] > 5, "scored with what its own truth would not have chosen"
    printed = capsys.readouterr().out
    assert "0003: middle 0\n" in printed and "none: middle 0\n" in printed


def test_without_data(tmp_path):
    with pytest.raises(InputError, match=f"^studies.tracking: {tmp_path}/kitti_tracking: needs to be there with detections/"):
        bench.main(tmp_path)


@pytest.mark.data
def test_a_small_run_on_real_sequences(shared_data, tmp_path, monkeypatch, capsys):
    """Two sequences: the scores equal those of a graph's files (test_tracker_kitti), and are written to a file."""
    monkeypatch.setattr(bench, "SEARCHED", {"slope": (0.72,), "middle": (2.3,)})
    whole = bench.read_truth
    monkeypatch.setattr(bench, "read_truth", lambda root, names=("0003", "0017"): whole(root, names))
    found = bench.main(shared_data, results=tmp_path)
    best = next(row for row in found["scores"] if (row["class"], row["tracks"]) == ("car", "best"))
    assert list(best["sequences"]) == ["0003"] and best["HOTA"] > 75
    assert found["ab3dmot"]["ab3dmot"]["3D IoU 0.25 cyclist"]["MOTA"] > 80
    assert "report: MOTA 85.70" in capsys.readouterr().out
    left_out = bench.main(shared_data, left_out=True, results=tmp_path)
    assert left_out["scores"][0]["HOTA"] == pytest.approx(best["HOTA"]), "nothing was searched"
    written = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    name = machine_name()
    assert written[f"tracking-{name}.json"]["about"] == found["about"]
    assert written[f"tracking-left-out-{name}.json"]["folds"] == left_out["folds"]


@pytest.mark.data
def test_a_recording_has_a_frame_per_line_of_oxts(shared_data):
    played = read(shared_data / "kitti_tracking", "0003")
    assert (len(played.frames), len(played.poses), played.kind) == (144, 144, "logit")
    assert sum(len(boxes3d.labels) for boxes3d, _ in played.frames) > 500
