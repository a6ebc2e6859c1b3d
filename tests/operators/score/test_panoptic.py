"""Panoptic scores: panopticapi's own numbers, deeplab2's, the hand case of PTQ, files, the sink, bad input."""

import json
import re

import cv2
import numpy as np
import pytest

from operators.score import panoptic
from operators.score.panoptic import ScorePanoptic, coco_frame, panoptic_quality, scored
from operators.score.panoptic_files import Listed
from operators.score.panoptic_pairs import PairCounter, pairs_of
from operators.score.panoptic_scores import Scores
from operators.streams import Panoptic
from operators.write.panoptic import WritePanoptic
from pipeline.__main__ import main
from pipeline.errors import FrameError, InputError
from pipeline.operator import Resume
from pipeline.testing import run_operator

CAR, PERSON, ROAD = 0, 1, 2
NAMES, THINGS = ["Car", "Pedestrian", "road"], ["Car", "Pedestrian"]
FACTS = {"class_names": NAMES, "things": THINGS}


# pixels


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 17), (37, 53), (64, 96)])
@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint8])
def test_pairs_are_numpys(shape, dtype):
    rng = np.random.default_rng(0)
    maps = [np.repeat(rng.integers(0, 200, (shape[0], -(-shape[1] // 5))), 5, 1)[:, : shape[1]].astype(dtype) for _ in "tp"]
    counters = PairCounter(), PairCounter(3)
    for counter in counters * 2:  # twice: with the memory of the frame before
        got = counter.count(*maps)
        keys, counts = np.unique(np.stack([m.reshape(-1).astype(np.int64) for m in maps]), axis=1, return_counts=True)
        assert [a.tolist() for a in got] == [keys[0].tolist(), keys[1].tolist(), counts.tolist()]
    for counter in counters:
        counter.close()


def test_more_pairs_than_the_first_table_has():
    maps = np.arange(90 * 90).reshape(90, 90) + (1 << 40), -np.arange(90 * 90).reshape(90, 90)
    got = pairs_of(*maps)
    assert len(got.pixels) == 8100 and (got.pixels == 1).all() and (got.truth + got.found == 1 << 40).all()


@pytest.mark.parametrize("ids", [(1 << 24) - 1, 1 << 24, -1, (1 << 31) - 1])
def test_ids_that_the_table_has_and_has_not(ids):
    truth = np.full((5, 7), ids, np.int32)
    counter = PairCounter()
    for _ in range(2):
        got = counter.count(truth, np.arange(35, dtype=np.int32).reshape(5, 7) // 20)
        assert [a.tolist() for a in got] == [[ids, ids], [0, 1], [20, 15]]


def test_600_segments_of_int32():
    found = np.arange(600, dtype=np.int32).reshape(20, 30)
    counter = PairCounter(2)
    for truth in (np.zeros((20, 30), np.int32), found):
        got = counter.count(truth, found)
        assert got.found.tolist() == list(range(600)) and (got.pixels == 1).all()
    counter.close()


@pytest.mark.parametrize(("maps", "message"), [
    ((np.zeros((2, 3), int), np.zeros((3, 2), int)), r"maps: needs two of one size, got \(2, 3\) and \(3, 2\)"),
    ((np.zeros((2, 3), int), np.zeros((2, 3))), "prediction: needs integers, got float64"),
])  # fmt: skip
def test_maps_that_do_not_fit(maps, message):
    with pytest.raises(ValueError, match=message):
        pairs_of(*maps)


# panopticapi


@pytest.fixture(scope="module")
def golden_panoptic(shared_data):
    folder = shared_data / "golden" / "panoptic"
    maps = {}
    for path in sorted(folder.glob("maps_*.npz")):
        with np.load(path) as file:
            maps |= {name: file[name] for name in file.files}
    segments, expected = (json.loads((folder / f"{name}.json").read_text()) for name in ("segments", "expected"))
    return maps, segments, expected


def listed(infos):
    def column(key, default, dtype=np.int64):
        return np.array([info.get(key, default) for info in infos], dtype)

    return Listed("", "", column("id", 0), column("category_id", 0), column("area", -1), column("iscrowd", 0, bool),
                  column("track_id", -1), column("score", np.nan, float))  # fmt: skip


@pytest.mark.data
def test_equals_panopticapi_in_each_case_and_over_all(golden_panoptic):
    maps, segments, expected = golden_panoptic
    categories = [row["id"] for row in segments["categories"]]
    things = [row["id"] for row in segments["categories"] if row["isthing"]]
    whole, consistent = Scores(things), Scores(things)
    left_out = expected["without_inconsistent_truth"]["left_out_tags"]
    for case, numbers in zip(segments["cases"], expected["cases"], strict=True):
        k = f"{case['case']:03d}"
        pairs = pairs_of(maps[f"gt_{k}"], maps[f"pred_{k}"])
        frame = coco_frame(listed(case["gt_segments_info"]), listed(case["pred_segments_info"]), pairs)
        single = Scores(things)
        for scores in (single, whole, *([consistent] if case["tag"] not in left_out else [])):
            scores.add("", frame)
        assert_equals(single.result(categories), numbers, case["case"])
    assert whole.num_frames == 300 and consistent.num_frames == 270
    assert_equals(whole.result(categories), expected["whole_set"], "all")
    assert_equals(consistent.result(categories), expected["without_inconsistent_truth"], "consistent")


def assert_equals(result, expected, which):
    rows = {c: [row["tp"], row["fp"], row["fn"]] for c, row in result["per_class"].items() if row["tp"] + row["fp"] + row["fn"]}
    assert rows == {c: row[:3] for c, row in expected["counts"].items()}, which
    for c, row in expected["counts"].items():
        assert result["per_class"][c]["iou_sum"] == pytest.approx(row[3], abs=1e-9), which
    for group, name in (("all", "All"), ("things", "Things"), ("stuff", "Stuff")):
        for key in ("pq", "sq", "rq"):
            wanted = expected[name] and expected[name][key]
            assert result[group][key] == (wanted if wanted is None else pytest.approx(wanted, abs=1e-12)), (which, group, key)
    for row in result["per_class"].values():
        assert row["pq"] is None or row["pq"] == row["sq"] * row["rq"]


# panoptic_quality


def test_a_perfect_prediction_and_an_instance_cut_in_two():
    truth = np.full((10, 10), 2 * 1000)
    truth[:4, :5] = 1
    perfect = panoptic_quality([(truth, truth)], 3, 255, 1000)
    assert (perfect["pq"], perfect["sq"], perfect["rq"]) == (1, 1, 1)
    assert (perfect["tp"], perfect["fp"], perfect["fn"]) == ([1, 0, 1], [0, 0, 0], [0, 0, 0])
    halves = truth.copy()
    halves[:2, :5] = 2
    cut = panoptic_quality([(truth, halves)], 3, 255, 1000)  # an IoU of exactly 0.5 twice: no match
    assert (cut["tp"], cut["fp"], cut["fn"]) == ([0, 0, 1], [2, 0, 0], [1, 0, 0]) and cut["pq"] == 0.5
    halves[2, :5] = 2  # 15 of 20 pixels, 5 of 20
    cut = panoptic_quality([(truth, halves)], 3, 255, 1000)
    assert cut["per_class"][0] == {"pq": 0.75 / 1.5, "sq": 0.75, "rq": 1 / 1.5}


def test_nothing_but_void_and_no_pictures():
    void = np.full((4, 4), 9 * 256)
    for given in ([(void, void)], []):
        found = panoptic_quality(given, 3, 9, 256)
        assert (found["pq"], found["sq"], found["rq"], found["tp"]) == (None, None, None, [0, 0, 0])
    found = panoptic_quality([(void, np.zeros((4, 4), int))], 3, 9, 256)
    assert found["fp"] == [0, 0, 0] and found["pq"] is None  # all of it lies on void
    found = panoptic_quality([(np.zeros((4, 4), int), void)], 3, 9, 256)
    assert found["fn"] == [1, 0, 0] and found["pq"] == 0


def test_deeplab2s_case_of_void_with_instances():
    """Published in deeplab2's test: PQ 2/9, SQ 1/3, RQ 2/9; TP, FN, FP 1/3, 2/3, 2/3 as means over three classes."""
    truth = 256 * np.array([[0, 9, 9], [1, 2, 2], [1, 9, 9]]) + [[0, 2, 2], [1, 0, 0], [1, 0, 0]]
    found = 256 * np.array([[0, 0, 9], [1, 1, 1], [1, 9, 9]]) + [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    got = panoptic_quality([(truth, found)], 3, 9, 256)
    assert [got[key] for key in ("pq", "sq", "rq")] == pytest.approx([2 / 9, 1 / 3, 2 / 9])
    assert [sum(got[key]) for key in ("tp", "fn", "fp")] == [1, 2, 2]


COLOURS = {(0, 0, 255): 1, (255, 0, 0): 2, (0, 255, 0): 3, (255, 0, 255): 4, (0, 255, 255): 5, (255, 255, 0): 6}


@pytest.mark.data
def test_deeplab2s_pictures(shared_data):
    """deeplab2's test has three pictures with PQ, SQ, RQ 0.76855499, 0.7769174, 0.98888892 over six classes, of which the third
    picture alone has two, with 0.62156284, 0.64664984, 0.9666667. The data has the first two pictures: their four classes."""
    folder = shared_data / "panoptic" / "deeplab2_eval"
    pairs = []
    for name, classes in (("bird", {92: 5, 176: 3, 255: 4}), ("cat", {0: 0, 255: 6})):
        grey = cv2.imread(str(folder / f"{name}_gt.png"), cv2.IMREAD_COLOR)[:, :, 0].astype(int)
        colour = cv2.imread(str(folder / f"{name}_pred_class.png"), cv2.IMREAD_COLOR)[:, :, ::-1]
        instance = cv2.imread(str(folder / f"{name}_pred_instance.png"), cv2.IMREAD_COLOR)[:, :, 0].astype(int)
        of_pixel = np.zeros(grey.shape, int)
        for rgb, number in COLOURS.items():
            of_pixel[(colour == rgb).all(2)] = number
        truth = 256 * np.vectorize(classes.get)(grey) + np.where(grey > 0, grey, 0)
        pairs.append((truth, 256 * of_pixel + instance))
    got = panoptic_quality(pairs, 7, 0, 256)
    for key, three, third in (("pq", 0.76855499, 0.62156284), ("sq", 0.7769174, 0.64664984), ("rq", 0.98888892, 0.9666667)):
        assert got[key] == pytest.approx((6 * three - 2 * third) / 4, abs=1e-6)


@pytest.mark.parametrize(("truth", "found", "message"), [
    (3000, 0, r"truth: needs classes 0..2, and 255 for void, got 3 \(in 3000\)"),
    (0, -1, r"prediction: needs classes 0..2, and 255 for void, got -1 \(in -1\)"),
])  # fmt: skip
def test_a_class_that_is_not_there(truth, found, message):
    with pytest.raises(ValueError, match=message):
        panoptic_quality([(np.full((2, 2), truth), np.full((2, 2), found))], 3, 255, 1000)


# tracks


def values(map_, rows):
    """rows: (id, class, track)"""
    ids, labels, tracks = (np.array(column) for column in zip(*rows, strict=True)) if rows else np.zeros((3, 0))
    return Panoptic(np.array(map_, np.int32), ids.astype(np.int32), labels.astype(np.int32), np.ones(len(rows), np.float32),
                    tracks.astype(np.int64))  # fmt: skip


def result_of(frames):
    scores = Scores(THINGS)
    for truth, found in frames:
        scores.add("s", scored(pairs_of(truth.panoptic, found.panoptic), truth, NAMES, found, NAMES))
    return scores.result(NAMES)


def test_the_hand_case():
    """One object, two frames, IoU 0.8 in both, one id switch."""
    truth = values([[1, 1, 1, 1, 1, 0]], [(1, CAR, 7)])
    found = [values([[1, 1, 1, 1, 0, 0]], [(1, CAR, track)]) for track in (40, 41)]
    row = result_of([(truth, of) for of in found])["per_class"]["Car"]
    wanted = {"pq": 0.8, "sptq": 0.4, "ptq": 0.3, "motsa": 0.5, "smotsa": 0.3, "motsp": 0.8, "switches": 1}
    assert {key: row[key] for key in wanted} == pytest.approx(wanted)


def test_without_errors_of_ids_all_are_pq_and_stuff_has_none():
    truth = values([[1, 1, 1, 2, 2, 2]], [(1, CAR, 7), (2, ROAD, -1)])
    found = values([[1, 1, 1, 2, 2, 0]], [(1, CAR, 40), (2, ROAD, -1)])
    result = result_of([(truth, found)] * 3)
    for name in ("Car", "road"):
        row = result["per_class"][name]
        assert row["sptq"] == row["ptq"] == row["pq"] > 0
    assert result["per_class"]["road"]["motsa"] is None and result["things"]["motsa"] == 1


def test_no_ids_no_scores_of_ids_and_an_untracked_match_is_a_switch():
    truth = values([[1, 1, 1]], [(1, CAR, 7)])
    untracked, tracked = (values([[1, 1, 1]], [(1, CAR, track)]) for track in (-1, 40))
    assert result_of([(truth, untracked)] * 2)["all"]["ptq"] is None
    assert result_of([(truth, tracked), (truth, untracked), (truth, untracked)])["per_class"]["Car"]["switches"] == 2


@pytest.mark.parametrize("seed", range(5))
def test_ptq_is_at_most_sptq_at_most_pq(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(6):
        truth = np.repeat(np.repeat(rng.integers(0, 5, (4, 6)), 4, 0), 4, 1)
        found = np.where(rng.random(truth.shape) < 0.15, 0, truth)
        frames.append(tuple(values(map_, [(i, (i - 1) % 3, t) for i, t in zip(range(1, 5), ids, strict=True)])
                            for map_, ids in ((truth, range(4)), (found, rng.integers(0, 2, 4)))))  # fmt: skip
    for row in result_of(frames)["per_class"].values():
        assert row["pq"] is None or row["ptq"] <= row["sptq"] <= row["pq"] == row["sq"] * row["rq"]


def test_miou_counts_pixels_but_void():
    truth = values([[1, 1, 1, 1, 2, 2, 0, 0]], [(1, CAR, -1), (2, ROAD, -1)])
    found = values([[1, 1, 1, 2, 2, 0, 1, 2]], [(1, CAR, -1), (2, ROAD, -1)])
    result = result_of([(truth, found)])
    assert (result["per_class"]["Car"]["iou"], result["per_class"]["road"]["iou"]) == (3 / 4, 1 / 3)
    assert result["all"]["miou"] == pytest.approx((3 / 4 + 1 / 3) / 2) and result["stuff"]["miou"] == 1 / 3


# files


CATEGORIES = [{"id": 4, "name": "car", "isthing": 1}, {"id": 9, "name": "road", "isthing": 0}]


def write_side(folder, name, frames, **lists):
    """frames: image id -> (map, segments_info)"""
    (folder / name).mkdir(parents=True)
    annotations = []
    for image, (ids, infos) in frames.items():
        ids = np.array(ids, np.int32)
        cv2.imwrite(str(folder / name / f"{image}.png"), np.stack([ids >> 16, ids >> 8 & 255, ids & 255], 2).astype(np.uint8))
        annotations.append({"image_id": image, "file_name": f"{image}.png", "segments_info": infos})
    (folder / f"{name}.json").write_text(json.dumps(lists | {"annotations": annotations}))
    return folder / f"{name}.json"


TRUTH = {1: ([[70000, 70000, 5, 5]] * 4, [{"id": 70000, "category_id": 4, "track_id": 3}, {"id": 5, "category_id": 9}])}
FOUND = {1: ([[9, 9, 9, 8]] * 4, [{"id": 9, "category_id": 4, "score": 0.9}, {"id": 8, "category_id": 9}])}


@pytest.fixture
def sides(tmp_path):
    def write(truth=TRUTH, found=FOUND):
        images = [{"id": image, "file_name": f"0000/{image}.jpg"} for image in truth]
        gt = write_side(tmp_path, "gt", truth, images=images, categories=CATEGORIES)
        return gt, write_side(tmp_path / "out", "found", found)

    return write


def test_files_from_the_command_line(sides, tmp_path, capsys):
    pytest.importorskip("pycocotools")
    gt, results = sides()
    assert main(["eval", "panoptic", "--gt", str(gt), "--results", str(results.parent), "--json", str(tmp_path / "s.json")]) == 0
    out = capsys.readouterr().out.split("\n")
    assert out[1].split() == ["all", "(2)", "33.33", "33.33", "50.00", "58.33", "", "", ""][:6]
    assert out[4].split() == ["car", "66.67", "66.67", "100.00", "66.67", "1", "0", "0"] and out[-2].startswith("mask AP ")
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["per_class"]["9"]["name"] == "road" and found["per_class"]["4"]["ap"] == pytest.approx(0.4, abs=0.01)
    assert found["things"]["pq"] == pytest.approx(2 / 3) and found["evaluator"] == "panoptic" and found["all"]["ptq"] is None


def test_ids_of_files_give_ptq(sides):
    one, other = (
        {1: ([[9, 9, 8, 8]] * 4, [{"id": 9, "category_id": 4, "track_id": t}, {"id": 8, "category_id": 9}])} for t in (1, 2)
    )
    both = [{image: of[1] for image, of in ((1, TRUTH), (2, TRUTH))}, {1: one[1], 2: other[1]}]
    assert panoptic.evaluate(*sides(*both))["per_class"]["4"]["ptq"] == 0.5


def test_no_annotations(sides):
    gt, results = sides({}, {})
    found = panoptic.evaluate(gt, results)
    assert found["all"]["pq"] is None and found["notes"] == [f"--gt {gt}: has no annotation: n/a instead of scores"]
    assert panoptic.lines(found)[1].split()[:3] == ["all", "(0)", "n/a"]


def changed(frames, change, at=0):
    (ids, infos) = frames[1]
    infos = [dict(info) for info in infos]
    infos[at] |= change
    return {1: (ids, infos)}


@pytest.mark.parametrize(("truth", "found", "message"), [
    (TRUTH, changed(FOUND, {"category_id": 5}),
     r"found.json: annotations\[0\].segments_info\[0\].category_id: needs one of the 2 categories \(4, 9, ..\), got 5"),
    (TRUTH, changed(FOUND, {"id": 8}), r"segments_info\[1\].id: needs every id once per image, got 8 again, first in .*\[0\]"),
    (changed(TRUTH, {"id": 5}), FOUND, r"gt.json: annotations\[0\].segments_info\[1\].id: needs every id once per image, got 5"),
    (TRUTH, changed(FOUND, {"id": 7}), r"1.png: needs ids of .*found.json: annotations\[0\].segments_info, got 9 in 12 pixels"),
    (TRUTH, {1: (FOUND[1][0], [*FOUND[1][1], {"id": 7, "category_id": 4}])},
     r"segments_info\[2\].id: needs pixels in .*1.png, got none of id 7"),
    (TRUTH, changed(FOUND, {"id": 0}), r"segments_info\[0\].id: needs 1..16777215 \(0 is void\), got 0"),
    (TRUTH, changed(FOUND, {"id": 1.5}), r"segments_info\[0\].id: needs a whole number, got 1.5"),
    (TRUTH, changed(FOUND, {"score": "a"}), r"segments_info\[0\].score: needs a finite number, got 'a'"),
    (TRUTH, {}, r"needs a prediction of each of the 1 images of .*gt.json, got none of image 1 \(1.png\)"),
    (TRUTH, {1: ([[9, 9, 9, 8]] * 3, FOUND[1][1])}, r"1.png: needs 4 x 4 pixels as .*1.png, got 4 x 3"),
])  # fmt: skip
def test_bad_files(sides, truth, found, message):
    with pytest.raises(InputError, match=message):
        panoptic.evaluate(*sides(truth, found))


def test_files_that_are_not_there(sides, tmp_path):
    gt, results = sides()
    (results.parent / "found" / "1.png").unlink()
    with pytest.raises(InputError, match=r"1.png: needs a PNG of segment ids, got no such file"):
        panoptic.evaluate(gt, results)
    with pytest.raises(InputError, match=r"eval panoptic: --gt .*gt: needs one .json with its maps, got none; name the file"):
        panoptic.evaluate(tmp_path / "gt", results)
    gt.write_text("[]")
    with pytest.raises(
        InputError, match=r"needs COCO panoptic data \(an object with the lists images, categories, annotations\)"
    ):
        panoptic.evaluate(gt, results)


@pytest.mark.data
def test_cocos_own_pictures(shared_data):
    folder = shared_data / "panoptic" / "coco"
    found = panoptic.evaluate(folder / "panoptic_examples.json", folder / "panoptic_examples.json")
    assert found["frames"] == 2 and found["all"]["pq"] == 1 and found["all"]["miou"] == 1


# the sink


def run_sink(folder, frames, config=None, **more):
    sets = [{"panoptic": found} | ({} if truth is None else {"panoptic_truth": truth}) for truth, found in frames]
    meta = [dict.fromkeys(("panoptic", "panoptic_truth"), FACTS) for _ in frames]
    run_operator(ScorePanoptic, sets, config, meta=meta, out_dir=folder, **more)


SEEN = [
    (values([[1, 1, 1, 1, 1, 0]], [(1, CAR, 7)]), values([[2, 2, 2, 2, 0, 0]], [(2, CAR, track)])) for track in (40, 41, 41)
]  # fmt: skip


def test_the_sink_counts_while_the_graph_runs(tmp_path):
    run_sink(tmp_path, [*SEEN, (None, SEEN[0][1])], {"every": 2})
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["frames"] == 3 and found["per_class"]["Car"]["ptq"] == pytest.approx((2.4 - 1) / 3)
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["frames", "2", "3"] and not (tmp_path / ".frames.jsonl").exists()


def random_frame(rng):
    """Truth with a crowd and void, a prediction that is right here and there, both with tracks."""
    truth = np.repeat(np.repeat(rng.integers(0, 7, (6, 9)), 5, 0), 5, 1)
    found = np.where(rng.random(truth.shape) < rng.uniform(0.1, 0.6), rng.integers(0, 7, truth.shape), truth)
    classes = [(i, (i - 1) % 3) for i in range(1, 7)]
    seen, given = (
        values(map_, [(i, c, -1 if c == ROAD else int(rng.integers(0, 3))) for i, c in classes]) for map_ in (truth, found)
    )
    seen.scores[3] = 0
    return seen, given


def test_the_files_of_write_panoptic_give_the_same_scores(tmp_path):
    frames = [random_frame(np.random.default_rng(seed)) for seed in range(8)]
    run_sink(tmp_path / "sink", frames)
    for side, name in enumerate(("gt", "found")):
        meta = [{"panoptic": FACTS}] * len(frames)
        run_operator(WritePanoptic, [{"panoptic": frame[side]} for frame in frames], meta=meta, out_dir=tmp_path / name)
    of_files = panoptic.evaluate(tmp_path / "gt", tmp_path / "found")
    of_sink = json.loads((tmp_path / "sink" / "scores.json").read_text())
    for group in ("all", "things", "stuff"):
        assert of_files[group] == pytest.approx(of_sink[group])
    assert of_sink["things"]["ptq"] < of_sink["things"]["pq"] and sum(row["fn"] for row in of_files["per_class"].values()) > 0


def test_a_restarted_sink_goes_on_after_what_counts(tmp_path):
    run_sink(tmp_path / "whole", SEEN, {"every": 1})
    whole = (tmp_path / "whole" / "scores.json").read_text()

    class Killed(ScorePanoptic):
        def close(self):
            self.counter.close()

    sets = [{"panoptic": found, "panoptic_truth": truth} for truth, found in SEEN]
    meta = [dict.fromkeys(("panoptic", "panoptic_truth"), FACTS)] * 3
    run_operator(Killed, sets[:2], {"every": 1}, meta=meta[:2], out_dir=tmp_path / "cut")
    resumed = Resume(restarts=1, frame_id=0, item="000000")
    from pipeline.testing import header

    heads = [header(i) for i in (1, 2)]
    run_operator(ScorePanoptic, sets[1:], {"every": 1}, meta=meta[1:], out_dir=tmp_path / "cut", resume=resumed, headers=heads)
    assert (tmp_path / "cut" / "scores.json").read_text() == whole
    assert (tmp_path / "cut" / "scores.csv").read_text() == (tmp_path / "whole" / "scores.csv").read_text()


def test_without_truth_nothing_is_written(tmp_path):
    run_sink(tmp_path / "a", [(None, SEEN[0][1])])
    run_sink(tmp_path / "b", [])
    assert not (tmp_path / "a").exists() or not list((tmp_path / "a").iterdir())


def test_a_crowd_is_never_missed_and_forgives(tmp_path):
    truth, seen = values([[1, 1, 1, 1]], [(1, CAR, -1)]), values([[2, 2, 2, 0]], [(2, CAR, -1)])
    truth.scores[0] = 0
    run_sink(tmp_path, [(truth, seen)])
    row = json.loads((tmp_path / "scores.json").read_text())["per_class"]["Car"]
    assert [row[key] for key in ("tp", "fp", "fn")] == [0, 0, 0]


def test_all_void_truth_no_segment_and_labels_that_truth_has_no_name_for(tmp_path):
    void, nothing = values([[0, 0, 0]], []), values([[0, 0, 0]], [])
    seen = values([[1, 1, 1]], [(1, CAR, -1)])
    unnamed = values([[1, 1, 1]], [(1, -1, -1)])  # void, too
    run_sink(tmp_path, [(void, seen), (void, nothing), (unnamed, seen), (seen, nothing)])
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["frames"] == 4 and found["all"]["classes"] == 1
    assert [found["per_class"]["Car"][key] for key in ("tp", "fp", "fn")] == [0, 0, 1]


@pytest.mark.parametrize(("frame", "message"), [
    ((SEEN[0][0], values([[2, 2, 2, 2, 0, 0]], [(2, 7, 1)])), "scorepanoptic.panoptic: needs labels of the 3 class_names, got 7"),
    ((SEEN[0][0], values([[2, 2, 2, 2, 0, 0]], [(2, CAR, 1), (2, CAR, 2)])), "needs every segment id once, got 2 again"),
    ((SEEN[0][0], values([[2, 2]], [(2, CAR, 1)])), re.escape("needs two of one size, got (1, 6) and (1, 2)")),
])  # fmt: skip
def test_frames_that_are_refused(tmp_path, frame, message):
    with pytest.raises(FrameError, match=message):
        run_sink(tmp_path, [frame])
