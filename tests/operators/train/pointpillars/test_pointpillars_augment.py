"""Augmented scenes stay valid: points stay in their boxes, objects do not overlap."""

import numpy as np
import pytest

import naive
from operators.train.pointpillars.augment import (
    Bank,
    augment,
    degrade,
    draw_motion,
    move,
    paste,
)
from operators.train.pointpillars.boxes import overlap_from_above, points_in_boxes
from operators.train.pointpillars.config import AugmentConfig, PasteConfig
from operators.train.scenes import IGNORED, Scene

NAMES = ("Car", "Pedestrian")
RANGE_M = (0.0, -12.0, -3.0, 24.0, 12.0, 1.0)


def scene_of(seed=0, cars=4, position=0, spread=25.0, ground=-1.7):
    """Flat ground, cars of 60 points each well apart, 5 cm above it."""
    random = np.random.default_rng(seed)
    at = np.column_stack([random.uniform(-spread, spread, (4000, 2)), np.full(4000, ground)])
    places = random.permutation(np.array([(x, y) for x in range(-20, 21, 8) for y in range(-20, 21, 8)]))[:cars]
    boxes = np.array([[x, y, ground + 0.85, 4.2, 1.8, 1.6, random.uniform(-3, 3)] for x, y in places], np.float64).reshape(-1, 7)
    points = [at]
    for box in boxes:
        local = random.uniform(-0.49, 0.49, (60, 3)) * box[3:6]
        c, s = np.cos(box[6]), np.sin(box[6])
        points.append(
            np.column_stack([c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1], local[:, 2]]) + box[:3]
        )
    xyz = np.concatenate(points)
    cloud = np.column_stack([xyz, random.uniform(0, 1, len(xyz))]).astype(np.float32)
    return Scene(cloud, boxes, np.zeros(cars, np.int32), np.empty((0, 4), np.float32), None, position)


def random_of(seed):
    return np.random.default_rng(seed)


def empty():
    return Scene(np.empty((0, 4), np.float32), np.empty((0, 7)), np.empty(0, np.int32), np.empty((0, 4), np.float32), None, 0)


def test_an_empty_scene_stays_one():
    bank = Bank(8, 10)
    bank.add(empty())
    config = AugmentConfig(paste=PasteConfig({"Car": 5}), point_drop=0.5, intensity_noise=0.1)
    for seed in range(5):
        made, T = augment(empty(), bank, config, NAMES, RANGE_M, random_of(seed))
        assert made.points.shape == (0, 4) and made.boxes3d.shape == (0, 7) and np.isfinite(T).all()


@pytest.mark.parametrize("seed", range(5))
def test_all_points_within_range_are_there(seed):
    """Cropping to the range before the motion gives the same points as cropping after it."""
    scene = scene_of(seed)
    config = AugmentConfig(rotate_rad=np.pi)
    made, T = augment(scene, Bank(8, 10), config, NAMES, RANGE_M, random_of(seed))
    everything = move(scene, T)
    x0, y0, _, x1, y1, _ = RANGE_M

    def inside(points):
        return points[(points[:, 0] >= x0) & (points[:, 0] < x1) & (points[:, 1] >= y0) & (points[:, 1] < y1)]

    assert 200 < len(made.points) < len(scene.points)
    np.testing.assert_allclose(inside(made.points), inside(everything.points), atol=1e-5)
    np.testing.assert_array_equal(made.boxes3d, everything.boxes3d)


def test_points_in_boxes_as_naive():
    scene = scene_of(3, cars=9)
    owner, counts = points_in_boxes(scene.points, scene.boxes3d)
    inside = np.stack([naive.inside_box(scene.points, box) for box in scene.boxes3d])
    np.testing.assert_array_equal(counts, inside.sum(1))
    np.testing.assert_array_equal(owner >= 0, inside.any(0))
    assert all(inside[m, i] for i, m in enumerate(owner) if m >= 0)


@pytest.mark.parametrize("seed", range(8))
def test_points_stay_in_their_boxes(seed):
    scene = scene_of(seed)
    T = draw_motion(AugmentConfig(rotate_rad=np.pi, scale=(0.8, 1.2), raise_m=0.3), random_of(seed))
    moved = move(scene, T)
    before, after = points_in_boxes(scene.points, scene.boxes3d)[0], points_in_boxes(moved.points, moved.boxes3d)[0]
    np.testing.assert_array_equal(after, before)
    assert (before >= 0).sum() == 60 * 4
    assert (moved.boxes3d[:, 6] >= -np.pi).all() and (moved.boxes3d[:, 6] < np.pi).all()
    back = move(moved, np.linalg.inv(T))
    np.testing.assert_allclose(back.points, scene.points, atol=1e-4)
    np.testing.assert_allclose(back.boxes3d, scene.boxes3d, atol=1e-9)


def test_flip_mirrors_the_heading():
    scene = scene_of(1, cars=1)
    flipped = move(scene, np.diag([1.0, -1, 1, 1]))
    np.testing.assert_allclose(flipped.boxes3d[0, [1, 6]], -scene.boxes3d[0, [1, 6]])
    np.testing.assert_array_equal(flipped.boxes3d[0, [0, 2, 3, 4, 5]], scene.boxes3d[0, [0, 2, 3, 4, 5]])


@pytest.mark.parametrize("seed", range(6))
def test_pasted_objects_overlap_nothing_and_stand_on_the_ground(seed):
    bank = Bank(8, 10)
    for k in range(8):
        bank.add(scene_of(100 + 10 * seed + k, cars=5, position=k, ground=-1.7 + 0.05 * k))
    scene = scene_of(seed, cars=3, position=8)
    made = paste(scene, bank, PasteConfig({"Car": 12}, turn_rad=1.0), NAMES, random_of(seed))
    new = made.boxes3d[3:]
    assert 4 <= len(made.boxes3d) <= 12 and (made.classes == 0).all()
    np.testing.assert_array_equal(made.boxes3d[:3], scene.boxes3d)
    overlap = overlap_from_above(made.boxes3d, made.boxes3d)
    assert (overlap[~np.eye(len(made.boxes3d), dtype=bool)] == 0).all()
    np.testing.assert_allclose(new[:, 2] - new[:, 5] / 2, -1.7, atol=1e-6)  # the ground of this scene
    _, counts = points_in_boxes(made.points, made.boxes3d * [1, 1, 1, 1, 1, 0.99, 1])
    assert (counts[3:] == 60).all()  # their own points, none of the ground
    ranges = {round(float(np.hypot(*box[:2])), 6) for k in range(8) for box in scene_of(100 + 10 * seed + k, cars=5).boxes3d}
    assert all(round(float(np.hypot(*box[:2])), 6) in ranges for box in new)


def test_nothing_is_pasted_where_there_is_no_ground_or_enough_already():
    bank = Bank(8, 10)
    bank.add(scene_of(1, cars=5))
    bare = scene_of(2, cars=2, position=1)
    bare.points = bare.points[:0]
    assert paste(bare, bank, PasteConfig({"Car": 5}), NAMES, random_of(0)) is bare
    full = scene_of(2, cars=5, position=1)
    assert paste(full, bank, PasteConfig({"Car": 5}), NAMES, random_of(0)) is full
    assert paste(full, bank, PasteConfig({"Pedestrian": 5}), NAMES, random_of(0)) is full


def test_the_bank_drops_old_objects_and_takes_none_that_are_ignored_or_have_few_points():
    bank = Bank(2, 10)
    poor = scene_of(1, cars=3, position=0)
    poor.classes[1] = IGNORED
    poor.points = poor.points[: 4000 + 120 + 9]  # of the third car nine points
    bank.add(poor)
    assert [len(cut.points) for cut in bank.before(1, 0)] == [60]
    assert len(bank.before(2, 0)) == 1 and len(bank.before(3, 0)) == 0


def test_degrade():
    points = scene_of(0).points
    some = degrade(points.copy(), AugmentConfig(point_drop=0.5), random_of(1))
    assert 0.5 * len(points) <= len(some) < len(points)
    noisy = degrade(points.copy(), AugmentConfig(intensity_gain=(2.0, 2.0), intensity_noise=0.1), random_of(1))
    assert noisy[:, 3].min() >= 0 and noisy[:, 3].max() == 1 and noisy[:, 3].mean() > points[:, 3].mean()
    np.testing.assert_array_equal(noisy[:, :3], points[:, :3])
    assert not degrade(points.copy(), AugmentConfig(intensity_drop=1.0), random_of(1))[:, 3].any()
    np.testing.assert_array_equal(degrade(points.copy(), AugmentConfig(), random_of(1)), points)
