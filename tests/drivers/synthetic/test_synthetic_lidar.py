import math

import numpy as np
import pytest

from drivers.synthetic.lidar import GROUND, NOTHING, cast, directions

RAYS = directions()


def box(x, y, yaw=0.0, size=(4.0, 2.0, 1.5), z=-1.0):
    return [x, y, z, *size, yaw]


def boxes(*rows):
    return np.array(rows, np.float64).reshape(-1, 7)


def test_rays_are_unit_vectors_that_go_round_once():
    assert np.linalg.norm(RAYS, axis=2) == pytest.approx(np.ones(RAYS.shape[:2]))
    azimuth = np.arctan2(RAYS[0, :, 1], RAYS[0, :, 0])
    assert (np.diff(azimuth) > 0).all() and np.ptp(azimuth) == pytest.approx(2 * math.pi * 479 / 480)


def test_without_boxes_there_is_the_ground():
    ranges, hit = cast(RAYS, boxes(), 50.0)
    assert set(np.unique(hit)) == {GROUND, NOTHING}
    assert np.isinf(ranges[hit == NOTHING]).all() and ranges[hit == GROUND].max() <= 50
    assert (RAYS[hit == GROUND] * ranges[hit == GROUND][:, None])[:, 2] == pytest.approx(-1.73)


def test_the_near_face_of_a_box_ahead():
    ranges, hit = cast(RAYS, boxes(box(10, 0)), 50.0)
    points = RAYS[hit == 0] * ranges[hit == 0][:, None]
    assert len(points) > 100
    face = np.isclose(points[:, 0], 8.0)
    top = np.isclose(points[:, 2], -0.25)
    assert (face | top).all() and face.any()
    assert np.abs(points[:, 1]).max() <= 1.0 and points[:, 2].min() >= -1.75
    behind = (RAYS * np.where(hit == GROUND, ranges, 0)[..., None])[hit == GROUND]
    assert not ((np.abs(behind[:, 1]) < 0.5) & (behind[:, 0] > 8.5) & (behind[:, 0] < 9.5)).any()  # its shadow


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.0, math.pi / 2])
@pytest.mark.parametrize("x, y", [(12, 5), (-9, 0.3), (0, -8), (-7, -7)])
def test_every_hit_lies_on_the_surface_all_around(x, y, yaw):
    one = box(x, y, yaw)
    ranges, hit = cast(RAYS, boxes(one), 50.0)
    points = RAYS[hit == 0] * ranges[hit == 0][:, None]
    d = points - one[:3]
    c, s = math.cos(yaw), math.sin(yaw)
    share = np.abs(np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0], d[:, 2]], 1)) / (np.array(one[3:6]) / 2)
    assert len(points) > 50
    assert share.max(axis=1) == pytest.approx(np.ones(len(points)), abs=1e-9)


def test_the_nearer_of_two_hides_the_other():
    _, hit = cast(RAYS, boxes(box(20, 0), box(8, 0, size=(4, 6, 3), z=0)), 50.0)
    assert (hit == 1).any() and not (hit == 0).any()


def test_the_order_of_the_boxes_does_not_matter():
    near, far = box(10, 1, 0.4), box(18, 2, 1.0)
    one, two = cast(RAYS, boxes(near, far), 50.0)[0], cast(RAYS, boxes(far, near), 50.0)[0]
    assert np.array_equal(one, two)


def test_density_falls_with_distance():
    counts = [(cast(RAYS, boxes(box(x, 0)), 60.0)[1] == 0).sum() for x in (6, 12, 24, 48)]
    assert counts == sorted(counts, reverse=True) and counts[0] > 10 * counts[2] > 0


def test_inside_a_box_nothing_of_it_is_seen():
    _, hit = cast(RAYS, boxes(box(0, 0, size=(6, 6, 6), z=0)), 50.0)
    assert not (hit == 0).any()
