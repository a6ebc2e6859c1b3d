import numpy as np
import pytest

from operators.detect.anchors import anchor_grid, direction_bins, encode
from operators.detect.decode import DecodeConfig, decode
from operators.nets.pointpillars_config import PointPillarsConfig
from operators.streams import BOXES3D_PROBABILITY, CLASSES

GRID = PointPillarsConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), block_layers=(0,), block_channels=(8,), up_channels=(8,)
)
ANCHORS = anchor_grid(GRID)
LABELS = np.array([CLASSES.index(name) for name in GRID.class_names])
QUIET = -20.0


def said(*boxes):
    """Heads of a net with these predictions: (anchor, column, logit, box)"""
    logits = np.full((len(ANCHORS), 3), QUIET, np.float32)
    residuals, directions = np.zeros((len(ANCHORS), 7), np.float32), np.zeros((len(ANCHORS), 2), np.float32)
    for anchor, column, logit, box in boxes:
        logits[anchor, column] = logit
        box = np.array([box], np.float32)
        residuals[anchor] = encode(box, ANCHORS[[anchor]])[0]
        directions[anchor, direction_bins(box[:, 6])[0]] = 1
    return logits, residuals, directions


def run(*boxes, labels=LABELS, **config):
    found = decode(*said(*boxes), ANCHORS, labels, DecodeConfig(**config))
    BOXES3D_PROBABILITY.check(found._asdict(), "decode")
    return found


def test_nothing_above_the_threshold():
    found = run()
    assert len(found.scores) == 0 and found.boxes3d.shape == (0, 7)
    assert [a.dtype.name for a in found] == ["float32", "float32", "int32"]


def test_one_box():
    box = (3.2, 1.1, -0.9, 4.2, 1.7, 1.5, -2.5)
    found = run((100, 0, 1.0, box))
    np.testing.assert_allclose(found.boxes3d, [box], atol=1e-5)
    assert found.labels.tolist() == [0] and found.scores[0] == pytest.approx(1 / (1 + np.exp(-1.0)))


@pytest.mark.parametrize("turned", [False, True])
def test_a_second_stage_is_decoded_against_the_boxes_of_the_first(turned):
    """The half turn of a coarse box does not matter: the second stage's direction decides."""
    coarse, box = (3.2, 1.1, -0.9, 4.2, 1.7, 1.5, -0.4), (3.4, 1.0, -0.8, 4.0, 1.6, 1.6, 2.6)
    logits, first, _ = said((100, 0, 1.0, (*coarse[:6], coarse[6] + np.pi * turned)))
    residuals, directions = np.zeros_like(first), np.zeros((len(ANCHORS), 2), np.float32)
    residuals[100] = encode(np.array([box]), np.array([coarse]))[0]
    directions[100, direction_bins(np.array([box[6]]))[0]] = 1
    found = decode(logits, residuals, directions, ANCHORS, LABELS, DecodeConfig(), first)
    np.testing.assert_allclose(found.boxes3d, [box], atol=1e-5)
    directions[:] = 0  # no residual, no direction of its own: the coarse box
    found = decode(logits, np.zeros_like(residuals), directions, ANCHORS, LABELS, DecodeConfig(), first)
    np.testing.assert_allclose(found.boxes3d[:, :6], [coarse[:6]], atol=1e-5)
    assert np.sin(found.boxes3d[0, 6] - coarse[6]) == pytest.approx(0, abs=1e-5)


def test_the_threshold_is_a_probability():
    box = ANCHORS[10]
    assert len(run((10, 0, 0.01, box), score_threshold=0.5).scores) == 1
    assert len(run((10, 0, -0.01, box), score_threshold=0.5).scores) == 0
    assert len(run((10, 0, np.nan, box)).scores) == 0


def test_the_better_of_two_stays_within_a_class_but_not_across():
    car, near = (5, 0, -1, 4, 2, 1.5, 0), (5.2, 0, -1, 4, 2, 1.5, 0)
    found = run((60, 0, 1.0, car), (66, 0, 2.0, near), (70, 2, 0.5, car))
    assert found.labels.tolist() == [0, 2]
    np.testing.assert_allclose(found.boxes3d[:, 0], [5.2, 5], atol=1e-5)


def test_the_best_first_and_ties_in_order():
    spots = [(3 * i, 0, 0, 1, 1, 1, 0) for i in range(5)]
    found = run(
        (9, 1, 1.0, spots[0]), (3, 1, 1.0, spots[1]), (6, 0, 1.0, spots[2]), (200, 2, 3.0, spots[3]), (1, 2, -1.0, spots[4])
    )
    assert found.labels.tolist() == [2, 0, 1, 1, 2]
    np.testing.assert_allclose(found.boxes3d[:, 0], [9, 6, 3, 0, 12], atol=1e-5)


def test_limits():
    spots = [(n, 0, 1.0 - n / 9, (3 * n, 0, 0, 1, 1, 1, 0)) for n in range(5)]
    np.testing.assert_allclose(run(*spots, max_boxes=2).boxes3d[:, 0], [0, 3], atol=1e-5)
    np.testing.assert_allclose(run(*spots, max_candidates=3).boxes3d[:, 0], [0, 3, 6], atol=1e-5)


def test_the_scores_of_all_anchors_at_once_are_within_the_limits():
    logits = np.full((len(ANCHORS), 3), 5.0, np.float32)
    found = decode(logits, np.zeros((len(ANCHORS), 7)), np.zeros((len(ANCHORS), 2)), ANCHORS, LABELS, DecodeConfig(max_boxes=20))
    assert len(found.scores) == 20 and len(np.unique(found.boxes3d, axis=0)) == 20


def test_a_class_with_a_negative_label_is_left_out():
    boxes = [(9, 1, 1.0, (0, 0, 0, 1, 1, 1, 0)), (3, 0, 1.0, (5, 0, 0, 1, 1, 1, 0))]
    assert run(*boxes, labels=np.array([-1, 1, -1])).labels.tolist() == [1]
    assert run(*boxes, labels=np.array([-1, -1, -1])).boxes3d.shape == (0, 7)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"score_threshold": 0.0}, "score_threshold: needs a probability between 0 and 1, got 0"),
        ({"score_threshold": 1.0}, "score_threshold: needs a probability between 0 and 1, got 1"),
        ({"nms_iou": 1.5}, "nms_iou: needs 0 to 1, got 1.5"),
        ({"max_boxes": 0}, "max_boxes: needs 1 or more, got 0"),
        ({"max_candidates": 0}, "max_candidates: needs 1 or more, got 0"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DecodeConfig(**config)
