"""Objects are moved with their points, never into each other."""

import numpy as np
import pytest

import naive
from operators.train.pointpillars.boxes import overlap_from_above, points_in_boxes
from operators.train.pointpillars.config import NoiseConfig
from operators.train.pointpillars.noise import shake
from operators.train.scenes import IGNORED, Scene

CONFIG = NoiseConfig((0.25, 0.25, 0.1), 0.15)


def scene_of(places, points_each=50, seed=0, around=2000):
    """Cars at (x, y, yaw), each with points well inside, over scattered ground points."""
    random = np.random.default_rng(seed)
    boxes = np.array([[x, y, 0, 4, 2, 1.5, yaw] for x, y, yaw in places], np.float64).reshape(-1, 7)
    clouds = [np.column_stack([random.uniform(-30, 30, (around, 2)), np.full(around, -0.5)])]
    for box in boxes:
        local = random.uniform(-0.4, 0.4, (points_each, 3)) * box[3:6]
        c, s = np.cos(box[6]), np.sin(box[6])
        turned = np.column_stack([c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1], local[:, 2]])
        clouds.append(turned + box[:3])
    cloud = np.concatenate(clouds)
    points = np.column_stack([cloud, random.uniform(0, 1, len(cloud))]).astype(np.float32)
    return Scene(points, boxes, np.zeros(len(boxes), np.int32), np.empty((0, 4), np.float32), None, 0)


def test_nothing_to_move():
    empty = scene_of([], around=0)
    assert shake(empty, CONFIG, np.random.default_rng(0)) is empty
    still = scene_of([(0, 0, 0)])
    assert shake(still, NoiseConfig(), np.random.default_rng(0)) is still, "the default leaves all where it is"
    ignored = scene_of([(0, 0, 0)])
    ignored.classes[:] = IGNORED
    assert shake(ignored, CONFIG, np.random.default_rng(0)) is ignored


def test_one_object_keeps_its_points():
    scene = scene_of([(5, 3, 0.4)])
    made = shake(scene, CONFIG, np.random.default_rng(1))
    moved = made.boxes3d[0] - scene.boxes3d[0]
    assert 0 < np.abs(moved[:3]).max() < 1.5 and 0 < abs(moved[6]) <= 0.15 and not moved[3:6].any()
    own = made.points[-50:]
    assert naive.inside_box(own, made.boxes3d[0]).all()
    np.testing.assert_array_equal(own[:, 3], scene.points[-50:, 3])
    angle = moved[6]
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (scene.points[-50:, :2] - scene.boxes3d[0, :2]) @ R.T + made.boxes3d[0, :2]
    at_home = naive.inside_box(scene.points, scene.boxes3d[0])  # ground points in the box move, too
    assert at_home.sum() >= 50
    np.testing.assert_allclose(own[:, :2], expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_many_objects_never_touch(seed):
    """A full car park: gaps of half a metre, moves of up to metres."""
    places = [(4.5 * i, 2.6 * j, 0) for i in range(5) for j in range(6)]
    scene = scene_of(places, seed=seed)
    made = shake(scene, NoiseConfig((0.8, 0.8, 0.0), 0.5), np.random.default_rng(seed))
    overlap = overlap_from_above(made.boxes3d, made.boxes3d)
    assert (overlap[~np.eye(30, dtype=bool)] == 0).all()
    assert 5 < (made.boxes3d != scene.boxes3d).any(1).sum() <= 30
    _, before = points_in_boxes(scene.points, scene.boxes3d)
    _, after = points_in_boxes(made.points, made.boxes3d)
    np.testing.assert_array_equal(after, before)
    assert len(made.points) <= len(scene.points), "ground under a moved car is removed"


def test_where_there_is_no_room_an_object_stays():
    scene = scene_of([(0, 0, 0), (0, 2.01, 0), (0, -2.01, 0)])
    made = shake(scene, NoiseConfig((0.0, 0.0, 0.0), 1.5, tries=3), np.random.default_rng(4))
    np.testing.assert_array_equal(made.boxes3d[:, :6], scene.boxes3d[:, :6])
    assert made.boxes3d[0, 6] == 0, "the middle one"


def test_ignored_boxes_and_boxes_without_points_stay():
    scene = scene_of([(0, 0, 0), (10, 0, 0), (20, 0, 0)])
    scene.classes[0] = IGNORED
    scene.points = scene.points[:-50]
    scene.points = scene.points[~naive.inside_box(scene.points, scene.boxes3d[2])]
    made = shake(scene, CONFIG, np.random.default_rng(0))
    assert (made.boxes3d != scene.boxes3d).any(1).tolist() == [False, True, False]


def test_the_same_numbers_give_the_same_scene():
    one, two = (shake(scene_of([(0, 0, 0), (9, 4, 1)]), CONFIG, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.boxes3d, two.boxes3d)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"move_m": (0.1, -0.1, 0)}, r"move_m, turn_rad: needs 0 or more, got \[0.1, -0.1, 0\] and 0.0"),
        ({"turn_rad": -1}, r"move_m, turn_rad: needs 0 or more"),
        ({"tries": 0}, "tries: needs 1 or more, got 0"),
    ],
)
def test_wrong_values_are_named(keys, message):
    with pytest.raises(ValueError, match=message):
        NoiseConfig(**keys)
