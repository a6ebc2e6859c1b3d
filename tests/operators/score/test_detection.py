import json
import resource
import signal

import numpy as np
import pytest

from drivers.synthetic.traffic import SyntheticTraffic
from operators.score import ap, tally
from operators.score.detection import Detection, DetectionConfig, Scores
from operators.streams import CLASSES, Boxes3D, Calibration, Truth
from pipeline.errors import GraphError, RunError
from pipeline.operator import Resume, attach
from pipeline.settings import Where, build
from pipeline.testing import header, run_operator, run_source

AHEAD = Calibration(
    np.array([[100.0, 0, 100, 0], [0, 100, 50, 0], [0, 0, 1, 0]]),
    np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
    np.array([200, 100], np.int32),
)


def boxes(xs):
    return np.array([[x, 0, 0, 4, 2, 1.5, 0] for x in xs], np.float32).reshape(-1, 7)


def truth(*xs, name="Car", height=60.0, occluded=0):
    n = len(xs)
    boxes2d = np.tile(np.array([0, 0, 80, height], np.float32), (n, 1))
    label = -1 if name == "DontCare" else CLASSES.index(name)
    return Truth(
        boxes(xs), boxes2d, np.full(n, label, np.int32), np.arange(n), np.full(n, occluded, np.int32), np.zeros(n, np.float32)
    )


def found(*xs, scores=None, name="Car"):
    scores = np.full(len(xs), 0.9, np.float32) if scores is None else np.array(scores, np.float32)
    return Boxes3D(boxes(xs), scores, np.full(len(xs), CLASSES.index(name), np.int32))


def frames(count):
    """Frames with one car each, detected with a small error and a distinct score; every fourth car is missed."""
    rng = np.random.default_rng(2)
    out = []
    for k in range(count):
        at = 10.0 + k % 7
        there = [] if k % 4 == 3 else [at + rng.normal(0, 0.3)]
        out.append({"boxes3d": found(*there, scores=rng.random(len(there))), "truth": truth(at)})
    return out


@pytest.fixture
def score(tmp_path):
    """score(sets, statics=..., **config) -> scores.json, or None; files lie in tmp_path / "score" """

    def run(sets, statics=None, out=tmp_path / "score", name="score", headers=None, resume=None, **config):
        run_operator(Detection, sets, config, statics=statics, out_dir=out, name=name, headers=headers, resume=resume)
        path = out / "scores.json"
        return json.loads(path.read_text()) if path.exists() else None

    return run


def rows(folder):
    return [line.split(",") for line in (folder / "scores.csv").read_text().splitlines()[1:]]


def test_nothing_came(score, tmp_path):
    assert score([]) is None
    assert not (tmp_path / "score").exists()


def test_kernels_compile_in_open(make, monkeypatch):
    """On a new machine compiling takes up to a minute, but process() may not exceed hang_s."""
    called = []
    kernels = [(ap, "iou_3d"), (tally, "match"), (tally.precision, "recall_thresholds"), (tally.precision, "curves")]
    for module, name in kernels:
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, kernel=kernel: called.append(name) or kernel(*a))
    make(Detection)
    assert set(called) == {name for _, name in kernels}


def test_no_truth_no_scores(score, tmp_path):
    """As with a folder without labels: frames are accepted, nothing is written."""
    sets = [{"boxes3d": found(10)}, {"boxes3d": found()}]
    assert score(sets) is None
    assert score(sets, {"calibration": AHEAD}, rule="kitti") is None
    assert not (tmp_path / "score").exists()


def test_empty_frames(score):
    result = score([{"boxes3d": found(), "truth": truth()}] * 3)
    assert result["frames"] == 3
    for name in ("Car", "Pedestrian", "Cyclist"):
        assert result["classes"][name] == {
            "ap": {"all": {"r40": None, "r11": None, "recall": None, "truth": 0, "found": 0}},
            "centres": {"recall": None, "precision": None, "found": 0, "missed": 0, "right": 0, "wrong": 0},
        }


def test_all_found(score, tmp_path):
    result = score([{"boxes3d": found(10), "truth": truth(10)}] * 41)
    assert result["classes"]["Car"]["ap"]["all"] == {"r40": 100.0, "r11": 100.0, "recall": 1.0, "truth": 41, "found": 41}
    assert result["classes"]["Car"]["centres"]["recall"] == result["classes"]["Car"]["centres"]["precision"] == 1.0
    assert [r[3:] for r in rows(tmp_path / "score") if r[3] == "Car"] == [
        ["Car", "all", "41", "41", "100.0000", "100.0000", "1.0000"]
    ]
    assert sorted(p.name for p in (tmp_path / "score").iterdir()) == ["scores.csv", "scores.json"]


def test_frames_without_truth_between_others(score):
    result = score([{"boxes3d": found(10), "truth": truth(10)}, {"boxes3d": found(30)}])
    assert (result["frames"], result["classes"]["Car"]["ap"]["all"]["found"]) == (1, 1)


@pytest.mark.parametrize(
    ("classes", "num_truth", "wrong"), [(None, 0, 0), ({"Car": ["Car", "Van"]}, 1, 0)], ids=["van absorbs", "van is a car"]
)
def test_vans(score, classes, num_truth, wrong):
    config = {} if classes is None else {"classes": classes}
    got = score([{"boxes3d": found(10), "truth": truth(10, name="Van")}], **config)["classes"]["Car"]
    assert got["ap"]["all"]["truth"] == num_truth
    assert (got["centres"]["found"], got["centres"]["wrong"]) == (num_truth, wrong)


@pytest.mark.parametrize(
    ("sets", "config", "counted", "why"),
    [
        ({"truth": truth(60), "boxes3d": found()}, {}, (0, 0), "out of range"),
        ({"truth": truth(60), "boxes3d": found()}, {"range_m": 70}, (1, 0), "in range"),
        ({"truth": truth(10, occluded=3), "boxes3d": found()}, {"max_occluded": 2}, (0, 0), "hidden"),
        ({"truth": truth(10, occluded=3), "boxes3d": found()}, {}, (1, 0), "hidden, but all counts"),
        ({"truth": truth(), "boxes3d": found(60)}, {}, (0, 0), "false, out of range"),
        ({"truth": truth(), "boxes3d": found(40)}, {}, (0, 1), "false"),
        ({"truth": truth(10), "boxes3d": found(10, scores=[0.4])}, {}, (1, 0), "below min_score"),
        ({"truth": truth(10), "boxes3d": found(10, scores=[0.4])}, {"min_score": 0.4}, (0, 0), "found"),
    ],
)  # fmt: skip
def test_what_counts(score, sets, config, counted, why):
    """(missed, wrong) by centres"""
    got = score([sets], **config)["classes"]["Car"]["centres"]
    assert (got["missed"], got["wrong"]) == counted, why


NEAR, FAR = (0.0, -20.0, 30.0, 20.0), (30.0, -20.0, 60.0, 20.0)


def test_truth_in_and_out_of_a_region_is_all_truth(score, tmp_path):
    rng = np.random.default_rng(5)
    sets = [{"boxes3d": found(), "truth": truth(*rng.uniform(0, 49, 4))} for _ in range(30)]
    regions = {"all": None, "near": NEAR, "far": FAR}
    got = {name: score(sets, out=tmp_path / name, region_m=region) for name, region in regions.items()}
    counted = {name: result["classes"]["Car"]["ap"]["all"]["truth"] for name, result in got.items()}
    assert counted["near"] + counted["far"] == counted["all"] == 120 and counted["near"] > 0 < counted["far"]
    assert "region_m" not in got["all"] and got["near"]["region_m"] == list(NEAR)


def test_a_net_for_a_part_of_the_scene_scores_higher_within_its_part(score, tmp_path):
    """Mode 1/1 against mode 1/2: objects outside are missed by the net, not by its part. Below the border a box absorbs."""
    rng = np.random.default_rng(6)
    sets = []
    for _ in range(60):
        near, far = rng.uniform(5, 28), rng.uniform(32, 49)
        there = [near + rng.normal(0, 0.2)] if rng.random() < 0.8 else [near + 10]
        sets.append({"boxes3d": found(*there, scores=rng.random(1)), "truth": truth(near, far)})
    whole, part = (score(sets, out=tmp_path / str(r), region_m=r)["classes"]["Car"] for r in (None, NEAR))
    assert part["ap"]["all"]["r40"] > whole["ap"]["all"]["r40"] > 0
    assert part["centres"]["missed"] < whole["centres"]["missed"] and part["centres"]["right"] == whole["centres"]["right"]


@pytest.mark.parametrize(
    ("xs", "found_at", "counted"),
    [((29.9,), (), (1, 0)), ((30.0,), (), (0, 0)), ((), (29.0,), (0, 1)), ((), (30.5,), (0, 0)), ((29.9,), (30.1,), (0, 0))],
)
def test_at_the_border_of_a_region(score, xs, found_at, counted):
    """The centre decides; a detection just outside neither finds nor misses."""
    got = score([{"boxes3d": found(*found_at), "truth": truth(*xs)}], region_m=NEAR)["classes"]["Car"]["centres"]
    assert (got["missed"], got["wrong"]) == counted


def test_a_region_with_its_corners_exchanged():
    with pytest.raises(ValueError, match=r"region_m: needs x0 y0 x1 y1 with x0 < x1 and y0 < y1, got \[30, 0, 10, 5\]"):
        DetectionConfig(region_m=(30, 0, 10, 5))


def test_with_a_camera_only_what_it_sees_counts(score, tmp_path):
    behind = {"boxes3d": found(-10), "truth": truth(-20, height=0.0)}
    assert score([behind])["classes"]["Car"]["centres"]["wrong"] == 1
    got = score([behind], {"calibration": AHEAD}, out=tmp_path / "b")["classes"]["Car"]
    assert (got["ap"]["all"]["truth"], got["ap"]["all"]["found"], got["centres"]["wrong"]) == (0, 0, 0)


def test_dontcare_forgives_in_the_picture(score, tmp_path):
    region = truth(np.nan, name="DontCare")
    region.boxes2d[:] = (0, 0, 199, 99)
    sets = [{"boxes3d": found(20), "truth": region}]
    assert score(sets)["classes"]["Car"]["centres"]["wrong"] == 1, "without a camera nobody knows"
    assert score(sets, {"calibration": AHEAD}, out=tmp_path / "b")["classes"]["Car"]["centres"]["wrong"] == 0


def test_three_levels(score, tmp_path):
    sets = [{"boxes3d": found(6), "truth": truth(6, height=30.0, occluded=1)}] * 50
    got = score(sets, {"calibration": AHEAD}, rule="kitti")["classes"]["Car"]["ap"]
    assert {level: ap["truth"] for level, ap in got.items()} == {"easy": 0, "moderate": 50, "hard": 50}
    assert (got["easy"]["r40"], got["moderate"]["r40"]) == (None, 100.0)


def test_levels_need_the_picture(score):
    with pytest.raises(RunError, match=r"^score: config.rule: kitti needs the input calibration, got none; connect it, or"):
        score([{"boxes3d": found(10), "truth": truth(10)}], rule="kitti")


def test_results_come_while_it_runs(make, tmp_path):
    """Every 10 frames, later every tenth part of them: 1,000 frames are not scored 100 times."""
    op = make(Detection, name="score", every=10)
    said = []
    attach(op, show=said.append)
    for k, values in enumerate(frames(130)):
        op.header = header(k)
        op.process(**values, calibration=None)
        if k == 9:
            assert json.loads((op.out_dir / "scores.json").read_text())["frames"] == 10
            assert said == [said[0]]
            assert said[0].startswith("Car ") and said[0].endswith(", Pedestrian -, Cyclist - (3D AP R40, 10 frames)")
    op.close()
    assert [int(r[0]) for r in rows(op.out_dir) if r[3] == "Car"] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 121, 130]
    assert len(said) == 13


@pytest.mark.parametrize("last", [-1, 0, 24, 25, 59])
def test_continued_after_a_kill(make, score, tmp_path, last):
    """Killed after frame 25 was scored, before its commit; `last` counts. The files equal those of a run without a kill."""
    sets = frames(60)
    op = make(Detection, every=7)
    for k in range(max(last + 1, 26)):
        op.header = header(k)
        op.process(**sets[k], calibration=None)
    with (op.out_dir / ".frames.jsonl").open("a") as file:
        file.write('[26, "00')
    with (op.out_dir / "scores.csv").open("a") as file:
        file.write("28,27,00")
    again = make(Detection, every=7, resume=Resume(1, last, f"{last:06d}"))
    for k in range(last + 1, 60):
        again.header = header(k)
        again.process(**sets[k], calibration=None)
    again.close()
    score(sets, every=7)
    for name in ("scores.json", "scores.csv"):
        assert (again.out_dir / name).read_text() == (tmp_path / "score" / name).read_text()
    assert sorted(p.name for p in again.out_dir.iterdir()) == ["scores.csv", "scores.json"]


@pytest.mark.slow
def test_killed_for_real(pipe):
    """kill -9 within a frame: the scores are of all frames that were not lost with the process."""
    graph = pipe.graph("""
  world: {driver: synthetic.traffic, config: {frames: 60}}
  score:
    op: score.detection
    inputs: {boxes3d: world.boxes3d, truth: world.truth}
    config: {every: 20}
""")
    ended = pipe.run(graph, "--inject", "score:processed@25")
    assert (ended.code, ended.report["nodes"]["score"]["restarts"]) == (0, 1), ended.stderr
    lost = {drop["frame"] for drop in ended.drops}
    assert 1 <= len(lost) < 30
    scores = Scores(DetectionConfig(), in_picture=False)
    for k, reading in enumerate(run_source(SyntheticTraffic, {"frames": 60}, wanted=["boxes3d", "truth"])):
        if f"world:{k}" not in lost:
            scores.add(reading.values["boxes3d"], reading.values["truth"], None)
    assert json.loads((ended.out / "score" / "scores.json").read_text()) == scores.result()


def test_disk_full(make):
    op = make(Detection, name="score")
    values = {"boxes3d": found(10), "truth": truth(10)}
    op.process(**values, calibration=None)
    size = (op.out_dir / ".frames.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, hard))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        op.header = header(1)
        with pytest.raises(RunError, match=r"^score: .*\.frames\.jsonl: cannot write frame test:1 \(000001\): File too large"):
            op.process(**values, calibration=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (op.out_dir / ".frames.jsonl").stat().st_size == size


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"classes": {}}, "config.classes: needs at least one class with its labels, got none"),
        ({"classes": {"Car": ["Kar"]}}, "config.classes: needs labels of Car, .*, got Kar"),
        ({"classes": {"Car": ["Car", "Van"], "Van": ["Van"]}, "iou": {"Car": 0.7, "Van": 0.7}}, "got Van 2 times"),
        ({"classes": {"Vans": ["Van"]}}, "config.iou: needs 0 .. 1 for class Vans, got nothing"),
        ({"iou": {"Car": 1.0, "Pedestrian": 0.5, "Cyclist": 0.5}}, "config.iou: needs 0 .. 1 for class Car, got 1.0"),
        ({"every": 0}, "config.every: needs 1 or more, got 0"),
        ({"range_m": -1}, "config.range_m: needs more than 0, as centre_m, got -1.0 and 2.0"),
        ({"rule": "coco"}, r"config.rule: needs range \| kitti, got 'coco'"),
        ({"min_iou": 0.7}, "config.min_iou: unknown key"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(GraphError, match=message):
        build(Detection.Config, config, Where("g.yaml", {}, ("nodes", "score", "config")))
