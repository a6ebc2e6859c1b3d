"""KITTI's evaluator on its files (../shared/data/golden/kitti_object), cases worked out by hand, and wrong files."""

import json
import tarfile

import numpy as np
import pytest

from drivers.synthetic.traffic import SyntheticTraffic
from operators.geometry.boxes3d import velo_to_camera
from operators.geometry.project import boxes_to_image
from operators.score.detection import DetectionConfig, Scores
from operators.score.kitti_object import BOOTSTRAPS, evaluate, lines, score
from operators.streams import CLASSES, Boxes3D, Calibration
from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.testing import run_source

EVALUATOR = "asharakeh/kitti_native_evaluation"
SETS = (
    "general", "noisy_logit_scores", "score_ties_duplicates", "all_scores_equal", "small_and_far", "neighbours_dontcare",
    "empty_files_letter_case", "dense_rotated_no_cyclist_result", "main", "height_edge", "iou_2d_edge", "alpha_invalid",
)  # fmt: skip
LEVELS = ("easy", "moderate", "hard")


@pytest.fixture(scope="module")
def golden(shared_data, tmp_path_factory):
    """label_2/, a folder of results per set, and what the evaluator said."""
    folder, out = shared_data / "golden" / "kitti_object", tmp_path_factory.mktemp("golden")
    with tarfile.open(folder / "frames.tar.gz") as tar:
        tar.extractall(out, filter="data")
    expected = json.loads((folder / "expected.json").read_text())
    for name, of in expected.items():
        (out / name).mkdir()
        for number in range(of["frames"][0], of["frames"][1] + 1):
            (out / name / f"{number:06d}.txt").write_bytes(next(out.rglob(f"result/{number:06d}.txt")).read_bytes())
    return next(out.rglob("label_2")), out, expected


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_same_curves(golden, name):
    labels, results, expected = golden
    assert set(SETS) == set(expected)
    wanted = expected[name]["evaluators"][EVALUATOR]
    got = score(labels, results / name)
    assert set(got) == set(wanted)
    for cls, metrics in wanted.items():
        assert set(got[cls]) == {metric for metric in metrics if not metric.endswith("heading")}
        for metric, of_metric in got[cls].items():
            for k, level in enumerate(LEVELS):
                row, where = of_metric[level], (cls, metric, level)
                np.testing.assert_allclose(row["curve"], metrics[metric]["curve"][k], rtol=0, atol=1e-9, err_msg=str(where))
                assert row["r40"] == pytest.approx(metrics[metric]["R40"][k], abs=1e-3), where
                assert row["r11"] == pytest.approx(metrics[metric]["R11"][k], abs=1e-3), where


@pytest.mark.data
def test_intervals_of_the_whole_set(golden):
    """The bootstrap has a fixed seed; R40 lies within its interval; few truths: counts only."""
    labels, results, _ = golden
    found = evaluate(labels, results / "main")
    assert found == evaluate(labels, results / "main")
    for metrics in found["classes"].values():
        for levels in metrics.values():
            for row in levels.values():
                low, high = row["r40_interval"]
                assert low < row["r40"] < high and high - low < 25
                assert row["truth"] >= 40 and row["fn"] <= row["truth"] - row["tp"]
    text = lines(found)
    assert text[0].split() == ["AP", "of", "200", "frames", *LEVELS]
    assert text[1].split()[:4] == ["car,", "IoU", ">", "0.7"]
    assert text[2].split()[:2] == ["2d", "35.27"]
    few = evaluate(labels, results / "height_edge")
    assert all(row["r40"] is None and "r40_interval" in row for row in few["classes"]["car"]["3d"].values())
    assert lines(few)[-1] == "tp fp fn of all results where fewer than 40 truths count: n truths reach an AP of (n-1)/40 at most"


def row(kind="Car", box=(100, 100, 200, 160), *, z=20.0, x=0.0, alpha=0.0, ry=0.0, occluded=0, truncated=0.0, score=None):
    numbers = [truncated, occluded, alpha, *box, 1.5, 1.8, 4.0, x, 1.6, z, ry]
    return " ".join(map(str, [kind, *numbers] + ([] if score is None else [score]))) + "\n"


def dontcare(box):
    return f"DontCare -1 -1 -10 {' '.join(map(str, box))} -1 -1 -1 -1000 -1000 -1000 -10\n"


@pytest.fixture
def files(tmp_path):
    """files((labels, results), ...): a frame each -> label_2, results"""

    def write(*frames):
        root, results = tmp_path / "root", tmp_path / "results"
        (root / "training/label_2").mkdir(parents=True)
        results.mkdir()
        for k, (labels, found) in enumerate(frames):
            (root / f"training/label_2/{k:06d}.txt").write_text("".join(labels))
            if found is not None:
                (results / f"{k:06d}.txt").write_text("".join(found))
        return root, results

    return write


def counts(got, metric, level="moderate", name="car"):
    of = got[name][metric][level]
    return of["tp"], of["fp"], of["fn"]


def test_nothing_found(files):
    root, results = files(([row()], []))
    assert score(root, results) == {}
    found = evaluate(root, results)
    assert found["notes"] == [f"--results {results}: no result of type car, pedestrian, cyclist: not scored, as in the devkit"]
    assert lines(found) == ["1 frames, no results of car, pedestrian, cyclist"]


def test_nothing_to_find(files):
    root, results = files(([dontcare((0, 0, 50, 50))], [row(score=1)]))
    assert evaluate(root, results)["notes"][1:] == [f"--gt {root}: no label of car counts: no AP"]
    assert counts(score(root, results), "3d") == (0, 1, 0)


def test_one_car(files):
    got = score(*files(([row()], [row(score=0.9)])))
    assert set(got) == {"car"} and set(got["car"]) == {"2d", "aos", "bev", "3d"}
    for metric in got["car"]:
        assert counts(got, metric) == (1, 0, 0)
        assert got["car"][metric]["easy"]["curve"] == [1.0] + [0.0] * 40, "n truths reach (n - 1) / 40"
        assert got["car"][metric]["easy"]["r40"] == 0.0


def test_many_cars_are_perfect_and_their_orientation_is_half(files):
    frames = [([row(alpha=0.3)], [row(alpha=0.3 + np.pi / 2, score=1 - k / 50)]) for k in range(41)]
    got = evaluate(*files(*frames))["classes"]["car"]
    assert [got[metric]["hard"]["r40"] for metric in ("2d", "aos", "bev", "3d")] == [100, pytest.approx(50), 100, 100]
    assert got["3d"]["hard"]["r40_interval"] == [100, 100]
    assert got["aos"]["hard"]["r11_interval"] == pytest.approx([50, 50])


@pytest.mark.parametrize(
    ("label", "found", "two_d", "three_d", "why"),
    [
        ([row(box=(0, 0, 80, 25))], [row(box=(0, 0, 80, 25), score=1)], (0, 0, 0), (0, 0, 0), "truth as high as the limit"),
        ([row(box=(0, 0, 80, 26))], [row(box=(0, 0, 80, 25), score=1)], (1, 0, 0), (1, 0, 0), "a result as high as the limit"),
        ([row(box=(0, 0, 80, 26))], [row(box=(0, 0, 80, 24.5), score=1)], (0, 0, 0), (0, 0, 0), "low: absorbs"),
        ([row(box=(0, 0, 80, 26))], [row("Tram", (0, 0, 80, 24.5), score=1), row(x=9, score=1)], (0, 1, 0), (0, 1, 0), "Tram"),
        ([dontcare((90, 90, 300, 300))], [row(score=1)], (0, 0, 0), (0, 1, 0), "DontCare forgives in 2D only"),
        ([dontcare((100, 100, 169, 160))], [row(score=1)], (0, 1, 0), (0, 1, 0), "69 % inside, a car needs 70 %"),
        ([row("Van")], [row(score=1)], (0, 0, 0), (0, 0, 0), "a van absorbs"),
        ([row("Truck")], [row(score=1)], (0, 1, 0), (0, 1, 0), "a truck does not"),
        ([row("CAR")], [row("cAr", score=1)], (1, 0, 0), (1, 0, 0), "letter case"),
        ([row(occluded=1, truncated=0.3)], [row(score=1)], (1, 0, 0), (1, 0, 0), "at the limits of occlusion and truncation"),
        ([row(occluded=2)], [row(score=1)], (0, 0, 0), (0, 0, 0), "too much hidden: absorbs"),
        ([row(), row(x=9, box=(400, 100, 500, 160))], [row(score=1)], (1, 0, 1), (1, 0, 1), "one missed"),
        ([row()], [row(score=1), row(score=0.5)], (1, 1, 0), (1, 1, 0), "found twice"),
    ],
)  # fmt: skip
def test_what_counts(files, label, found, two_d, three_d, why):
    got = score(*files((label, found)))
    assert counts(got, "2d") == two_d, why
    assert counts(got, "3d") == counts(got, "bev") == three_d, why


def test_sitting_persons_and_a_class_without_a_result(files):
    got = score(*files(([row("Person_sitting"), row("Cyclist", x=9)], [row("Pedestrian", score=1)])))
    assert set(got) == {"pedestrian"}
    assert counts(got, "3d", name="pedestrian") == (0, 0, 0)


def test_one_alpha_of_minus_ten_ends_orientation(files):
    got = score(*files(([row()], [row(score=1), row("Cyclist", alpha=-10, score=1)])))
    assert all("aos" not in metrics for metrics in got.values())


def test_results_without_3d_boxes(files):
    """As 2D detectors write them."""
    flat = "Car -1 -1 -10 100 100 200 160 -1 -1 -1 -1000 -1000 -1000 -10 0.9\n"
    assert set(score(*files(([row()], [flat])))["car"]) == {"2d"}


def test_frames_without_a_result_file(files, capsys):
    root, results = files(([row()], [row(score=1)]), ([row()], None), ([row()], []))
    (results / "data").mkdir()
    assert counts(score(root, results), "3d") == (1, 0, 1)
    for gt in (root, root / "training", root / "training/label_2"):
        assert main(["eval", "kitti-object", "--gt", str(gt), "--results", str(results)]) == 0
        said = capsys.readouterr()
        assert "warning: 1 labelled frames have no result file and are not scored: 000001\n" in said.err
        assert "tp 1 fp 0 fn 1" in said.out and said.out.splitlines()[0].startswith("AP of 2 frames")


def test_results_below_data_and_json(files, tmp_path, capsys):
    """KITTI's server wants results/NAME/data/NNNNNN.txt."""
    root, results = files(([row()], [row(score=1)]))
    results.rename(tmp_path / "data")
    argv = ["eval", "kitti-object", "--gt", str(root), "--results", str(tmp_path), "--json", str(tmp_path / "s.json")]
    assert main(argv) == 0
    got = json.loads((tmp_path / "s.json").read_text())
    assert (got["evaluator"], got["frames"], got["bootstraps"], got["iou"]["car"]) == ("kitti-object", 1, BOOTSTRAPS, 0.7)
    of = got["classes"]["car"]["aos"]["easy"]
    assert (of["truth"], of["tp"], of["r40"], of["r11_interval"], len(of["curve"])) == (1, 1, None, None, 41)
    assert capsys.readouterr().out.splitlines()[2].split()[:7] == ["2d", "tp", "1", "fp", "0", "fn", "0"]


@pytest.mark.parametrize(
    ("labels", "found", "message"),
    [
        (row(score=1), row(score=1), r"label_2/000000.txt:1: needs 15 columns, got 16$"),
        (row(), row(score=1) + row(), r"results/000000.txt:2: needs 16 columns.*, got 15$"),
        (row(), row(score="high"), r"results/000000.txt:1: needs a number in column 16, got 'high'$"),
        (row(), row(score="nan"), r"results/000000.txt:1: needs finite numbers, got nan in column 16$"),
        (row(), row("Kar", score=1), r"results/000000.txt:1: needs a type of car, .* in column 1, got Kar$"),
        ("0 1 " + row(), row(score=1), r"label_2/000000.txt:1: needs 15 columns, got 17$"),
    ],
)
def test_a_bad_line_is_named(files, capsys, labels, found, message):
    root, results = files(([labels], [found]))
    with pytest.raises(InputError, match=message):
        score(root, results)
    assert main(["eval", "kitti-object", "--gt", str(root), "--results", str(results)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_wrong_folders(files, tmp_path):
    root, results = files(([row()], [row(score=1)]))
    with pytest.raises(InputError, match=r"^eval kitti-object: --gt .*no: needs a folder with label_02/.*got no such folder"):
        score(tmp_path / "no", results)
    with pytest.raises(InputError, match=r"^eval kitti-object: --results .*no: needs a folder with \*.txt.*got no such folder"):
        score(root, tmp_path / "no")
    (results / "000007.txt").touch()
    with pytest.raises(InputError, match=r"^eval kitti-object: --gt: needs labels of 000007, has 000000$"):
        score(root, results)
    (tmp_path / "label_02").mkdir()
    (tmp_path / "label_02/0000.txt").write_text("0 1 " + row())
    with pytest.raises(InputError, match=r"needs the object layout \(label_2/NNNNNN.txt\), got the tracking layout; for "):
        score(tmp_path, results)


def test_as_the_node_on_a_generated_scene(files):
    """Boxes of the generated traffic, written as KITTI files, and given to score.detection: the same curves."""
    camera = Calibration(
        np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0]]),
        np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
        np.array([1242, 375], np.int32),
    )
    config, rng = DetectionConfig(rule="kitti"), np.random.default_rng(0)
    node, frames = Scores(config, in_picture=True), []
    for reading in run_source(SyntheticTraffic, {"frames": 50}, wanted=["truth"]):
        truth = reading.values["truth"]
        boxes2d, visible = boxes_to_image(truth.boxes3d, camera.P_cam, camera.T_cam_velo, camera.image_size)
        truth = type(truth)(*(array[visible] for array in truth._replace(boxes2d=boxes2d)))
        boxes = (truth.boxes3d + rng.normal(0, 0.08, truth.boxes3d.shape)).astype(np.float32)
        found = Boxes3D(boxes, rng.random(len(boxes)).astype(np.float32), truth.labels)
        at, _ = boxes_to_image(boxes, camera.P_cam, camera.T_cam_velo, camera.image_size)
        node.add(found, truth, at)
        frames.append((written(truth, camera, truth.boxes2d, None), written(found, camera, at, found.scores)))
    got, of_node = score(*files(*frames)), node.ap.result()
    assert 0 < got["car"]["3d"]["hard"]["r40"] < 100
    for name, metrics in got.items():
        for level in LEVELS:
            mine, theirs = metrics["3d"][level], of_node[name.capitalize()][level]
            np.testing.assert_allclose(mine["curve"], theirs.curve, atol=1e-9)
            assert (mine["truth"], mine["tp"], mine["fp"], mine["fn"]) == (
                theirs.num_truth, theirs.right, theirs.wrong, theirs.missed,
            )  # fmt: skip


def written(boxes, camera, boxes2d, scores):
    """All digits, so that both sides see the same numbers."""
    out = []
    for k, cam in enumerate(velo_to_camera(boxes.boxes3d, camera.T_cam_velo).tolist()):
        state = (boxes.truncated[k], boxes.occluded[k]) if scores is None else (-1, -1)
        numbers = [*state, 0.0, *boxes2d[k].tolist(), *cam, *([] if scores is None else [float(scores[k])])]
        out.append(" ".join([CLASSES[boxes.labels[k]], *map(repr, map(float, numbers))]) + "\n")
    return out
