"""Targets equal those of the naive twin; unlabelled and crowded places."""

import numpy as np
import pytest

import naive
from operators.detect.anchors import decode
from operators.nets.pointpillars_config import AnchorConfig, PointPillarsConfig
from operators.streams import Calibration
from operators.train.pointpillars.targets import Assigner, half_sizes
from operators.train.scenes import IGNORED

CONFIG = PointPillarsConfig(
    cell_m=(0.4, 0.4),
    range_m=(0.0, -8.0, -3.0, 16.0, 8.0, 1.0),
    block_layers=(1,),
    block_channels=(4,),
    up_channels=(4,),
    anchors=(
        AnchorConfig("Car", (3.9, 1.6, 1.56), -1.0, 0.6, 0.45),
        AnchorConfig("Pedestrian", (0.8, 0.6, 1.73), -0.86, 0.5, 0.35),
    ),
)
CAR, PEDESTRIAN = 0, 1


@pytest.fixture(scope="module")
def assign():
    return Assigner(CONFIG)


def random_boxes(random, count):
    classes = random.integers(0, 2, count)
    boxes = np.empty((count, 7))
    boxes[:, 0], boxes[:, 1] = random.uniform(0.5, 15.5, count), random.uniform(-7.5, 7.5, count)
    boxes[:, 2] = -1
    boxes[:, 3:6] = np.where(classes[:, None] == CAR, (4.0, 1.7, 1.5), (0.7, 0.6, 1.7)) * random.uniform(0.8, 1.2, (count, 3))
    boxes[:, 6] = random.uniform(-np.pi, np.pi, count)
    return boxes, classes.astype(np.int32)


def owners(assign, targets, boxes):
    """The box that each positive anchor decodes to."""
    decoded = decode(targets.residuals, targets.bins, assign.anchors[targets.at]).astype(np.float64)
    error = np.abs(decoded[:, None, :6] - boxes[None, :, :6]).max(2)
    turn = np.abs(np.sin((decoded[:, None, 6] - boxes[None, :, 6]) / 2))
    assert (error.min(1) < 1e-3).all()
    best = error.argmin(1)
    assert (turn[np.arange(len(best)), best] < 1e-3).all()
    return best


def test_nothing(assign):
    targets = assign(np.empty((0, 7)), np.empty(0, np.int32))
    assert len(targets.labels) == CONFIG.num_anchors and not targets.labels.any()
    assert targets.at.shape == (0,) and targets.residuals.shape == (0, 7) and targets.bins.shape == (0,)


def test_an_anchor_exactly_on_a_box(assign):
    anchor = int(np.flatnonzero((assign.anchors[:, 3] > 3) & (assign.anchors[:, 6] == 0))[100])
    targets = assign(assign.anchors[anchor : anchor + 1], np.array([CAR], np.int32))
    assert targets.labels[anchor] == CAR + 1
    row = targets.residuals[list(targets.at).index(anchor)]
    np.testing.assert_allclose(row, 0, atol=1e-6)
    assert (targets.labels[assign.anchors[:, 3] < 3] == 0).all()  # not of the anchors of pedestrians


@pytest.mark.parametrize("seed", range(6))
def test_as_the_naive_twin(assign, seed):
    boxes, classes = random_boxes(np.random.default_rng(seed), 1 + 3 * seed)
    anchor_classes = np.tile([CAR, CAR, PEDESTRIAN, PEDESTRIAN], len(assign.anchors) // 4)
    matched, unmatched = np.array([0.6, 0.5])[anchor_classes], np.array([0.45, 0.35])[anchor_classes]
    labels, owner = naive.assign_anchors(assign.anchors.astype(np.float64), anchor_classes, matched, unmatched, boxes, classes)
    targets = assign(boxes, classes)
    np.testing.assert_array_equal(targets.labels, labels)
    np.testing.assert_array_equal(targets.at, np.flatnonzero(labels > 0))
    np.testing.assert_array_equal(owners(assign, targets, boxes), owner[targets.at])
    assert set(owner[owner >= 0]) <= set(range(len(boxes)))
    assert (labels > 0).any()


def test_every_box_gets_an_anchor_whatever_its_size(assign):
    boxes = np.array([[8.1, 0.3, -1, 1.4, 5.0, 1.5, 0.8], [3.0, -4.0, -1, 0.2, 0.2, 1.7, 0.0]])
    targets = assign(boxes, np.array([CAR, PEDESTRIAN], np.int32))
    assert set(owners(assign, targets, boxes)) == {0, 1}


def test_ignored_boxes_hide_their_place_but_not_a_positive(assign):
    truck = np.array([8.0, 0.0, -1, 8.0, 3.0, 3.0, 0.3])
    targets = assign(truck[None], np.array([IGNORED], np.int32))
    grown = truck + np.array([0, 0, 0, 0.6, 0.6, 1e3, 0])
    inside = naive.inside_box(assign.anchors, grown)
    np.testing.assert_array_equal(targets.labels == -1, inside)
    assert inside.any() and (targets.labels[~inside] == 0).all()

    man = np.array([8.0, 0.0, -0.86, 0.8, 0.6, 1.73, 0.0])
    both = assign(np.stack([truck, man]), np.array([IGNORED, PEDESTRIAN], np.int32))
    assert (both.labels == PEDESTRIAN + 1).any()


def test_boxes_outside_the_range_are_no_objects(assign):
    car = np.array([[17.0, 0.0, -1, 4, 1.7, 1.5, 0.0]])
    targets = assign(car, np.array([CAR], np.int32))
    assert len(targets.at) == 0 and (targets.labels == -1).any()


def test_regions_of_the_picture(assign):
    """A camera at the LiDAR's origin facing along x: its right half lies at y < 0, for any later motion of the scene."""
    P_cam = np.array([[100.0, 0, 100, 0], [0, 100, 50, 0], [0, 0, 1, 0]])
    T_cam_velo = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    calibration = Calibration(P_cam, T_cam_velo, np.array([200, 100], np.int32))
    region = np.array([[100.0, 0, 300, 400]])
    ys = assign.anchors[:: CONFIG.anchors_per_location, 1].reshape(CONFIG.head_grid)
    xs = assign.anchors[:: CONFIG.anchors_per_location, 0].reshape(CONFIG.head_grid)
    hidden = assign.hidden(region, calibration, np.eye(4))
    near = (xs > 1) & (-ys / xs < 2)
    np.testing.assert_array_equal(hidden[near], ys[near] < 0)
    flipped = assign.hidden(region, calibration, np.diag([1.0, -1, 1, 1]))
    np.testing.assert_array_equal(flipped[::-1][near], hidden[near])

    targets = assign(np.empty((0, 7)), np.empty(0, np.int32), hidden)
    np.testing.assert_array_equal(targets.labels.reshape(*CONFIG.head_grid, -1) == -1, np.repeat(hidden[..., None], 4, 2))
    assert assign.hidden(np.empty((0, 4)), calibration, np.eye(4)) is None
    assert assign.hidden(region, None, np.eye(4)) is None


def test_half_sizes_follow_the_nearer_axis():
    boxes = np.array([[0, 0, 0, 4, 2, 1, yaw] for yaw in (0.0, 0.7, 0.9, np.pi / 2, np.pi, -0.8)])
    np.testing.assert_allclose(half_sizes(boxes), [[2, 1], [2, 1], [1, 2], [1, 2], [2, 1], [1, 2]])
