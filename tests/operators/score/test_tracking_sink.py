import json
import resource
import signal

import numpy as np
import pytest

from operators.score import kitti_tracking
from operators.score import tracking as module
from operators.score.tracking import Scores, Tracking, TrackingConfig
from operators.streams import CLASSES, Boxes2D, Tracks, Truth
from pipeline.errors import GraphError, RunError
from pipeline.operator import Resume, attach
from pipeline.settings import Where, build
from pipeline.testing import header, run_operator

BOX = (10, 10, 70, 70)
OTHER = (100, 10, 160, 70)


def truth(*objects, name="Car", occluded=0, truncated=0.0):
    """Objects: (track id, box in the image)."""
    n = len(objects)
    label = -1 if name == "DontCare" else CLASSES.index(name)
    boxes2d = np.array([box for _, box in objects], np.float32).reshape(-1, 4)
    ids = np.array([i for i, _ in objects], np.int64)
    state = np.full(n, occluded, np.int32), np.full(n, truncated, np.float32)
    return Truth(np.zeros((n, 7), np.float32), boxes2d, np.full(n, label, np.int32), ids, *state)


def tracks(*objects, name="Car"):
    """Tracks and their boxes in the image."""
    n = len(objects)
    labels, scores = np.full(n, CLASSES.index(name), np.int32), np.ones(n, np.float32)
    boxes2d = np.array([box for _, box in objects], np.float32).reshape(-1, 4)
    boxes3d = np.tile(np.array([-10, 0, 0, 4, 2, 1.5, 0], np.float32), (n, 1))  # behind the camera: only the 2D box counts
    return Tracks(boxes3d, scores, labels, np.array([i for i, _ in objects], np.int64)), Boxes2D(boxes2d, scores, labels)


def frame(found, there):
    one, boxes2d = found
    return {"tracks": one, "boxes2d": boxes2d, "truth": there}


def frames(count):
    """Two cars and a pedestrian, tracked with gaps, an id switch, and a false track."""
    rng = np.random.default_rng(3)
    out = []
    for k in range(count):
        found = [(7 + (k > count // 2), np.add(BOX, rng.normal(0, 6, 4)))] if rng.random() > 0.2 else []
        found += [(9, np.add(OTHER, rng.normal(0, 6, 4)))] if rng.random() > 0.3 else []
        found += [(20 + k, (10, 80, 60, 110))] if rng.random() > 0.8 else []
        out.append(frame(tracks(*found), truth((1, BOX), (2, OTHER))))
    return out


@pytest.fixture
def score(tmp_path, straight):
    """score(sets) -> scores.json, or None; files lie in tmp_path / "score" """

    def run(sets, headers=None, resume=None, **config):
        out = tmp_path / "score"
        statics = {"calibration": straight}
        run_operator(Tracking, sets, config, statics=statics, out_dir=out, name="score", headers=headers, resume=resume)
        path = out / "scores.json"
        return json.loads(path.read_text()) if path.exists() else None

    return run


def rows(folder):
    return [line.split(",") for line in (folder / "scores.csv").read_text().splitlines()]


def test_nothing_came(score, tmp_path):
    assert score([]) is None
    assert not (tmp_path / "score").exists()


def test_no_truth_no_scores(score, tmp_path):
    one, boxes2d = tracks((7, BOX))
    assert score([{"tracks": one, "boxes2d": boxes2d}] * 3) is None
    assert not (tmp_path / "score").exists()


def test_empty_frames(score):
    got = score([frame(tracks(), truth())] * 3)
    assert got["frames"] == {"": 3}
    for of_class in got["classes"].values():  # no truth: no scores
        assert (of_class["MOTA"], of_class["HOTA"], of_class["CLR_FN"], of_class["CLR_FP"]) == (None, None, 0, 0)


def test_perfect(score, tmp_path):
    got = score([frame(tracks((7, BOX)), truth((1, BOX)))] * 4)["classes"]
    assert [got["Car"][key] for key in ("HOTA", "MOTA", "IDF1", "CLR_TP", "IDS")] == [1, 1, 1, 4, 0]
    assert got["Pedestrian"]["CLR_TP"] == 0
    assert sorted(p.name for p in (tmp_path / "score").iterdir()) == ["scores.csv", "scores.json"]


def test_a_line_after_each_frame_says_what_is_so_far(make, straight):
    op = make(Tracking, name="score")
    said = []
    attach(op, show=said.append)
    car = truth((1, BOX))
    for k, found in enumerate([tracks((7, BOX)), tracks(), tracks((8, BOX))]):
        op.header = header(k, f"0003/{k:06d}")
        op.process(**frame(found, car), calibration=straight)
        got = [row for row in rows(op.out_dir) if row[3] == "Car"]
        assert len(got) == k + 1
    head = rows(op.out_dir)[0]
    at = {name: head.index(name) for name in ("frames", "item", "MOTA", "IDF1", "IDS", "HOTA")}
    assert [row[at["MOTA"]] for row in got] == ["1.000000", "0.500000", "0.333333"]
    assert [row[at["IDF1"]] for row in got] == ["1.000000", f"{2 / 3:.6f}", f"{2 * 1 / (3 + 2):.6f}"]
    assert [row[at["IDS"]] for row in got] == ["0", "0", "1"]
    assert (got[2][at["frames"]], got[2][at["item"]]) == ("3", "0003/000002")
    # two pairs of 1 frame each: AssA is the mean of 1 / (3 + 1 - 1) and the same
    assert float(got[2][at["HOTA"]]) == pytest.approx((2 / 3 / 3) ** 0.5, abs=1e-6)
    assert said[0] == "Car HOTA 100.0 MOTA 100.0 IDF1 100.0, Pedestrian HOTA n/a MOTA n/a IDF1 n/a" and len(said) == 3
    op.close()
    assert said[-1] == said[2]


@pytest.mark.parametrize(
    ("found", "there", "counts", "why"),
    [
        (tracks(), truth((1, BOX)), (0, 1, 0), "missed"),
        (tracks((7, BOX)), truth(), (0, 0, 1), "wrong"),
        (tracks((7, (10, 10, 70, 35))), truth(), (0, 0, 0), "too low to be wrong"),
        (tracks((7, BOX)), truth((1, BOX), name="Van"), (0, 0, 0), "a van"),
        (tracks((7, BOX)), truth((1, BOX), occluded=3), (0, 0, 0), "hidden"),
        (tracks((7, BOX)), truth((1, BOX), truncated=0.5), (0, 0, 0), "half of it out of the picture"),
        (tracks((7, BOX)), truth((1, BOX), truncated=0.4), (1, 0, 0), "less than half"),
        (tracks((7, BOX)), truth((-1, (0, 0, 150, 90)), name="DontCare"), (0, 0, 0), "in a region"),
        (tracks(), truth((1, (0, 0, 0, 0))), (0, 0, 0), "truth that the camera does not see"),
        (tracks(), truth((1, (np.nan,) * 4)), (0, 0, 0), "nor this"),
        (tracks((7, (np.nan,) * 4)), truth((1, BOX)), (0, 1, 0), "a track that it does not see"),
    ],
)
def test_what_counts(score, found, there, counts, why):
    got = score([frame(found, there)])["classes"]["Car"]
    assert (got["CLR_TP"], got["CLR_FN"], got["CLR_FP"]) == counts, why


def test_without_boxes_in_the_picture_they_are_projected(score):
    """10 m ahead, 2 m wide and 1.5 m high, its near side at 8 m: 100 +- 12.5, 50 +- 9.375 px."""
    one, _ = tracks((7, BOX))
    ahead = Tracks(np.abs(one.boxes3d), *one[1:])
    got = score([{"tracks": ahead, "truth": truth((1, (87.5, 40.625, 112.5, 59.375)))}])["classes"]["Car"]
    assert (got["CLR_TP"], got["MOTP"]) == (1, 1)


def test_sequences_are_scored_apart_and_may_come_back(score):
    sets = [frame(tracks((7, BOX)), truth((1, BOX)))] * 4
    items = ["0001/000000", "0002/000000", "0002/000001", "0001/000001"]
    got = score(sets, headers=[header(k, item) for k, item in enumerate(items)])
    assert got["frames"] == {"0001": 2, "0002": 2}
    assert (got["classes"]["Car"]["MT"], got["classes"]["Car"]["IDF1"]) == (2, 1)
    assert got["classes"]["Car"]["sequences"]["0001"]["CLR_TP"] == 2


def same(got, expected):
    """Counts exactly, ratios to 1e-5: streams carry float32."""
    assert set(got) == set(expected)
    for key, value in expected.items():
        if key not in ("sequences", "per_alpha"):
            assert got[key] == (value if isinstance(value, int) else pytest.approx(value, abs=1e-5)), key
    for key, values in expected["per_alpha"].items():
        assert got["per_alpha"][key] == pytest.approx(values, abs=1e-5), key


def test_numbers_are_those_of_the_files(score, tmp_path):
    """The same scene through files and `pipe eval`."""
    sets = frames(40)
    got = score(sets, headers=[header(k, f"0001/{k:06d}") for k in range(40)])
    gt, results = [], []
    for k, one in enumerate(sets):
        for lines, ids, boxes in (
            (gt, one["truth"].track_ids, one["truth"].boxes2d),
            (results, one["tracks"].track_ids, one["boxes2d"].boxes2d),
        ):
            for i, box in zip(ids, boxes, strict=True):
                lines.append(f"{k} {i} Car 0 0 0 {' '.join(map(str, box))} 1.5 2 4 0 0 0 0\n")
    for folder, lines in (("gt", gt), ("results", results)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001.txt").write_text("".join(lines))
    expected = kitti_tracking.score(tmp_path / "gt", tmp_path / "results")["car"]
    same(got["classes"]["Car"], expected)
    same(got["classes"]["Car"]["sequences"]["0001"], expected["sequences"]["0001"])
    assert min(expected[key] for key in ("IDS", "FRAG", "CLR_FP", "CLR_FN")) > 0


def test_the_last_line_is_the_result(score, tmp_path):
    got = score(frames(60))["classes"]["Car"]
    head, *_, last, _ = rows(tmp_path / "score")
    assert {key: float(last[head.index(key)]) for key in ("HOTA", "MOTA", "IDF1", "IDS")} == pytest.approx(
        {key: got[key] for key in ("HOTA", "MOTA", "IDF1", "IDS")}, abs=1e-6
    )


def test_a_long_sequence_is_scored_as_it_grows_by_a_part(monkeypatch):
    monkeypatch.setattr(module, "EVERY_FRAME_UP_TO", 100)
    scores = Scores(["Car"])
    told = [k for k in range(1, 401) if scores.add("0001", {"Car": ([1], [7], [1.0])}) is not None]
    assert told == [*range(1, 200), *range(200, 300, 2), *range(300, 400, 3), 400]
    assert scores.result()["classes"]["Car"]["CLR_TP"] == 400


@pytest.mark.parametrize(
    ("found", "there", "message"),
    [
        (tracks((7, BOX), (7, OTHER)), truth(), "tracks: needs every track id once per frame and class, got 7 twice"),
        (tracks(), truth((1, BOX), (1, OTHER)), "truth: needs every track id once per frame and class, got 1 twice"),
        (tracks(), truth((-1, BOX)), "truth: needs a track id for every object, got -1; is this a data set of single pictures?"),
    ],
)
def test_ids_that_cannot_be_followed(score, found, there, message):
    with pytest.raises(RunError) as raised:
        score([frame(found, there)])
    assert str(raised.value) == f"score: frame test:0 (000000): {message}"


@pytest.mark.parametrize("last", [-1, 0, 24, 25, 49])
def test_continued_after_a_kill(make, score, straight, tmp_path, last):
    """Killed after frame 25 was written, before its commit; `last` counts. The files equal those of a run without a kill."""
    sets = frames(50)
    items = [f"{'0001' if k < 20 else '0003'}/{k:06d}" for k in range(50)]
    op = make(Tracking)
    for k in range(max(last + 1, 26)):
        op.header = header(k, items[k])
        op.process(**sets[k], calibration=straight)
    for name, torn in ((".frames.jsonl", '[26, "00'), ("scores.csv", "27,26,00")):
        with (op.out_dir / name).open("a") as file:
            file.write(torn)
    again = make(Tracking, resume=Resume(1, last, items[last]))
    for k in range(last + 1, 50):
        again.header = header(k, items[k])
        again.process(**sets[k], calibration=straight)
    again.close()
    score(sets, headers=[header(k, item) for k, item in enumerate(items)])
    for name in ("scores.json", "scores.csv"):
        assert (again.out_dir / name).read_text() == (tmp_path / "score" / name).read_text()
    assert sorted(p.name for p in again.out_dir.iterdir()) == ["scores.csv", "scores.json"]


TRAFFIC = """
  world: {driver: synthetic.traffic, config: {frames: 60}}
  tracker: {op: track.tracker, inputs: {boxes3d: world.boxes3d}}
  results: {op: write.kitti_tracking, inputs: {tracks: tracker.tracks, calibration: world.calibration}}
  score:
    op: score.tracking
    inputs: {tracks: tracker.tracks, truth: world.truth, calibration: world.calibration}
"""


@pytest.mark.slow
def test_killed_for_real(pipe):
    """kill -9 within a frame: the run succeeds, the scores are of all frames that were not lost with the process."""
    ended = pipe.run(pipe.graph(TRAFFIC), "--inject", "score:processed@25")
    assert (ended.code, ended.report["nodes"]["score"]["restarts"]) == (0, 1), ended.stderr
    lost = {drop["frame"] for drop in ended.drops}
    assert 1 <= len(lost) < 30
    found = json.loads((ended.out / "score" / "scores.json").read_text())
    assert sum(found["frames"].values()) == 60 - len(lost)
    lines = (ended.out / "score" / "scores.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * (60 - len(lost))


def test_disk_full(make, straight):
    op = make(Tracking, name="score")
    values = frame(tracks((7, BOX)), truth((1, BOX)))
    op.process(**values, calibration=straight)
    size = (op.out_dir / ".frames.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, hard))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        op.header = header(1)
        with pytest.raises(RunError, match=r"^score: .*\.frames\.jsonl: cannot write frame test:1 \(000001\): File too large"):
            op.process(**values, calibration=straight)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (op.out_dir / ".frames.jsonl").stat().st_size == size


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"classes": []}, "config.classes: needs one or more different names, got none"),
        ({"classes": ["Car", "Car"]}, "config.classes: needs one or more different names, got"),
        ({"classes": ["car"]}, "config.classes: needs names of Car, .*, got car"),
        ({"every": 3}, "config.every: unknown key"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(GraphError, match=message):
        build(TrackingConfig, config, Where("g.yaml", {}, ("nodes", "score", "config")))


@pytest.mark.slow
@pytest.mark.data
def test_on_kitti_it_says_what_pipe_eval_says_of_the_files(pipe, shared_data, tmp_path):
    """Two sequences through the shipped graph; then the same without labels."""
    root, some = shared_data / "kitti_tracking", tmp_path / "some"
    for sequence in ("0003", "0017"):
        for folder in ("calib", "oxts", "label_02", "detections/pointrcnn_Car", "detections/pointrcnn_Pedestrian"):
            (some / folder).mkdir(parents=True, exist_ok=True)
            (some / folder / f"{sequence}.txt").symlink_to(root / folder / f"{sequence}.txt")
    sets = ("--set", f"dets.config.root={some}", "--set", "dets.config.sequences=all")
    ended = pipe.run("kitti_tracking", *sets, timeout_s=100)
    assert ended.code == 0, ended.stderr
    got = json.loads((ended.out / "score/scores.json").read_text())["classes"]
    expected = kitti_tracking.score(some, ended.out / "results")
    for name in ("Car", "Pedestrian"):
        same(got[name], expected[name.lower()])
        for sequence in ("0003", "0017"):
            same(got[name]["sequences"][sequence], expected[name.lower()]["sequences"][sequence])
    assert got["Car"]["CLR_TP"] > 200 and got["Pedestrian"]["CLR_TP"] > 500
    (some / "label_02").rename(tmp_path / "labels")
    without = pipe.run("kitti_tracking", *sets, timeout_s=100)
    assert without.code == 0, without.stderr
    assert without.report["digest"]["results"] == ended.report["digest"]["results"]
    assert not (without.out / "score/scores.json").exists()
