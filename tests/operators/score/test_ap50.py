import json

import numpy as np
import pytest

from operators.score import coco
from operators.score.ap50 import Paired, Truth2D, coco_ap50, paired_ap50
from operators.streams import Boxes2D

NONE = Boxes2D(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int32))


def boxes(*rows):
    """(x1, y1, x2, y2, score, label) each"""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Boxes2D(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def truth(*rows):
    """(x1, y1, x2, y2, label, crowd) each"""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Truth2D(table[:, :4], table[:, 4].astype(np.int32), table[:, 5].astype(bool))


ONE = (0, 0, 10, 10, 0, 0)
CASES = [
    ([truth(ONE)], [NONE], 0, "nothing found"),
    ([truth(ONE)], [boxes((0, 0, 10, 10, 0.5, 0))], 1, "found"),
    ([truth(ONE)], [boxes((0, 0, 10, 5, 0.5, 0))], 1, "IoU exactly 0.5"),
    ([truth(ONE)], [boxes((0, 0, 10, 10, 0.5, 1))], 0, "another class"),
    ([truth(ONE)], [boxes((0, 0, 10, 10, 0.5, 0), (0, 0, 10, 10, 0.9, 0))], 1, "the second one costs nothing at full recall"),
    ([truth(ONE)], [boxes((50, 0, 60, 10, 0.9, 0), (0, 0, 10, 10, 0.5, 0))], 0.5, "a wrong one before"),
    ([truth(ONE, (20, 0, 30, 10, 0, 1))], [boxes((20, 0, 25, 5, 0.9, 0), (0, 0, 10, 10, 0.5, 0))], 1, "in a crowd: forgiven"),
    ([truth(ONE, (0, 0, 9, 9, 1, 0))], [boxes((0, 0, 10, 10, 0.5, 0))], 0.5, "the mean of two classes"),
]


@pytest.mark.parametrize(("of_truth", "found", "expected", "why"), CASES)
def test_by_hand(of_truth, found, expected, why):
    assert coco_ap50(of_truth, found) == pytest.approx(expected), why


def test_without_truth_there_is_no_number():
    assert np.isnan(coco_ap50([], [])) and np.isnan(coco_ap50([truth()], [boxes((0, 0, 1, 1, 1, 0))]))
    assert np.isnan(paired_ap50([], [], [])).all() and np.isnan(paired_ap50([truth()], [NONE], [NONE])).all()


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"^needs truth and detections of the same images, got 1 and 0 images$"):
        coco_ap50([truth(ONE)], [])


def scene(seed, num_images, levels=20):
    """Random truth of three classes with crowds, and detections whose scores are often equal."""
    rng = np.random.default_rng(seed)
    of_truth, found = [], []
    for _ in range(num_images):
        n = rng.integers(0, 6)
        corner, size = rng.uniform(0, 500, (n, 2)), rng.uniform(10, 100, (n, 2))
        box, labels = np.concatenate([corner, corner + size], 1), rng.integers(0, 3, n).astype(np.int32)
        of_truth.append(Truth2D(box, labels, rng.random(n) < 0.15))
        at = rng.integers(0, n, 2 * n) if n else np.zeros(0, np.int64)
        moved = box[at] + rng.normal(0, 6, (len(at), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
        found.append(Boxes2D(moved, rng.integers(0, levels, len(at)) / levels, labels[at]))
    return of_truth, found


def files(tmp_path, of_truth, found):
    """COCO's files of a scene."""

    def rows(labels, boxes2d, **more):
        size = boxes2d[:, 2:] - boxes2d[:, :2]
        for i, label in enumerate(labels.tolist()):
            yield {"category_id": label, "bbox": [*boxes2d[i, :2].tolist(), *size[i].tolist()]} | {
                k: v[i] for k, v in more.items()
            }

    gt, results = tmp_path / "gt.json", tmp_path / "results.json"
    annotations = [
        row | {"image_id": i, "id": 0}
        for i, t in enumerate(of_truth)
        for row in rows(t.labels, t.boxes2d, iscrowd=t.crowd.astype(int).tolist())
    ]
    images = [{"id": i} for i in range(len(of_truth))]
    categories = [{"id": k, "name": str(k)} for k in range(3)]
    gt.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    results.write_text(
        json.dumps(
            [row | {"image_id": i} for i, f in enumerate(found) for row in rows(f.labels, f.boxes2d, score=f.scores.tolist())]
        )
    )
    return gt, results


@pytest.mark.parametrize(("seed", "num_images"), [(0, 1), (1, 8), (2, 40), (3, 40)])
def test_equal_to_pycocotools(tmp_path, seed, num_images):
    pytest.importorskip("pycocotools")
    of_truth, found = scene(seed, num_images)
    expected = coco.evaluate(*files(tmp_path, of_truth, found))["AP50"]
    assert coco_ap50(of_truth, found) == pytest.approx(expected, abs=1e-12)


def test_a_draw_is_the_score_of_the_repeated_images():
    of_truth, reference = scene(4, 30, levels=10**9)
    _, candidate = scene(4, 30, levels=10**9)
    candidate = [Boxes2D(b.boxes2d[1:], b.scores[1:], b.labels[1:]) for b in candidate]
    drawn = np.random.default_rng(5).multinomial(30, np.full(30, 1 / 30), 10)
    losses = []
    for counts in drawn:
        at = np.repeat(np.arange(30), counts)
        sides = [coco_ap50([of_truth[i] for i in at], [of[i] for i in at]) for of in (reference, candidate)]
        losses.append(sides[0] - sides[1])
    got = paired_ap50(of_truth, reference, candidate, draws=10, seed=5)
    points = coco_ap50(of_truth, reference), coco_ap50(of_truth, candidate)
    assert got == pytest.approx(Paired(*points, points[0] - points[1], *np.quantile(losses, (0.95, 0.025, 0.975))), abs=1e-12)
    assert 0 < got.loss and got.low < got.loss < got.high and got.upper95 < got.high


def test_the_same_detector_loses_nothing():
    of_truth, found = scene(6, 20)
    got = paired_ap50(of_truth, found, found, draws=50)
    assert got[2:] == (0, 0, 0, 0) and 0 < got.reference < 1
