import re

import naive_range_image as naive
import numpy as np
import pytest

from operators.lidar.range_image import RangeImageConfig, RangeImages
from operators.streams import NO_RING
from pipeline.errors import FrameError
from pipeline.testing import run_operator

SMALL = {"beams": 16, "columns": 64}


def sweep(rings=4, columns=32, range_m=10.0):
    """Ring by ring from the highest, each from forward over left, as KITTI's files"""
    angle = (np.arange(columns) + 0.5) * 2 * np.pi / columns
    up = np.radians(np.linspace(2, -20, rings))
    points = np.zeros((rings, columns, 4), np.float32)
    points[..., 0] = range_m * np.cos(up)[:, None] * np.cos(angle)
    points[..., 1] = range_m * np.cos(up)[:, None] * np.sin(angle)
    points[..., 2] = range_m * np.sin(up)[:, None]
    points[..., 3] = np.linspace(0, 1, columns)
    return points.reshape(-1, 4)


def test_an_empty_scan():
    ((image, pixels),) = run_operator(RangeImages, [np.zeros((0, 4), np.float32)], SMALL)
    assert image.shape == (5, 16, 64) and not image.any() and pixels.shape == (0, 2)


def test_one_point_and_a_nearer_one_behind_it():
    points = np.array([(8, 0, -1, 0.25), (4, 0, -0.5, 0.75)], np.float32)
    one, two = run_operator(RangeImages, [points[:1], points], SMALL)
    row, column = one.point_pixels[0]
    assert column == 32 and one.range_image[:, row, column].tolist() == [8, 0, -1, np.float32(65**0.5), 0.25]
    assert two.point_pixels.tolist() == [[row, column]] * 2 and two.range_image[3, row, column] < 5
    assert (one.range_image[3] > 0).sum() == (two.range_image[3] > 0).sum() == 1


def test_many_points_and_bad_ones(make, caplog):
    points = np.random.default_rng(0).normal(0, 20, (5000, 4)).astype(np.float32)
    points[::500, 1] = np.nan
    op = make(RangeImages, **SMALL, fov_deg=(-40.0, 10.0), clip=False)
    got = op.process(points=points)
    image, pixels, owners = naive.project(points, 16, 64, (-40.0, 10.0), False)
    np.testing.assert_array_equal(got.range_image, image)
    np.testing.assert_array_equal(got.point_pixels, pixels)
    np.testing.assert_array_equal(op.project.owners, owners)
    assert (pixels[::500] == -1).all() and (owners >= 0).any()
    with caplog.at_level("INFO"):
        op.close()
    assert f"{(pixels[:, 0] < 0).sum()} points have no pixel" in caplog.text


def test_rows_of_rings_and_of_file_order_are_the_beams():
    """Beams closer together than a row of the picture: by elevation several share a row."""
    points = sweep(rings=16, columns=60)
    points[:, 2] /= 4
    rings = np.repeat(np.arange(16), 60)
    given = {"points": points, "point_rings": rings.astype(np.uint8)}
    (by_ring,) = run_operator(RangeImages, [given], {"beams": 16, "columns": 60})
    (by_order,) = run_operator(RangeImages, [points], {"beams": 16, "columns": 60, "rows": "file_order"})
    (by_angle,) = run_operator(RangeImages, [points], {"beams": 16, "columns": 60})
    assert by_ring.point_pixels[:, 0].tolist() == by_order.point_pixels[:, 0].tolist() == rings.tolist()
    np.testing.assert_array_equal(by_ring.range_image, by_order.range_image)
    assert (by_ring.range_image[3] > 0).all() and (by_angle.range_image[3] > 0).mean() < 0.5


def test_a_point_of_an_unknown_ring_has_no_pixel():
    points, rings = sweep(rings=2, columns=4), np.array([0, 0, NO_RING, 0, 1, 16, 1, 1], np.uint8)
    (got,) = run_operator(RangeImages, [{"points": points, "point_rings": rings}], SMALL)
    assert got.point_pixels[:, 0].tolist() == [0, 0, -1, 0, 1, -1, 1, 1]


def test_the_facts_say_where_the_rows_come_from(make):
    op, said = make(RangeImages, **SMALL, rows="file_order"), []
    op._emit_meta = lambda port, meta: said.append((port, meta))
    op.process(points=sweep())
    op.process(points=sweep(), point_rings=np.zeros(128, np.uint8))
    assert said == [("range_image", {"rows": "file_order"}), ("range_image", {"rows": "rings"})]


def test_points_in_no_order_are_refused():
    points = np.random.default_rng(0).permutation(sweep())
    with pytest.raises(FrameError, match=re.escape("at most 16 rings (config.beams), got ")):
        run_operator(RangeImages, [points], {**SMALL, "rows": "file_order"})


def test_rings_of_another_scan_are_refused():
    with pytest.raises(FrameError, match="needs a ring of each of the 128 points, got 3"):
        run_operator(RangeImages, [{"points": sweep(), "point_rings": np.zeros(3, np.uint8)}], SMALL)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"beams": 0}, "beams: needs 1 .. 128, got 0"),
        ({"columns": 5000}, "columns: needs 1 .. 4096, got 5000"),
        ({"fov_deg": (3.0, -25.0)}, "fov_deg: needs -90 <= lower < upper <= 90, got [3.0, -25.0]"),
        ({"max_points": 10**9}, "max_points: needs 1 .. 200000"),
    ],
)
def test_a_wrong_config_names_its_key(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RangeImageConfig(**config)


def test_the_slot_has_room_for_the_largest_scan(make):
    config = RangeImageConfig(beams=64, columns=2048, max_points=130_000)
    assert RangeImages.slot_bytes(config)["range_image"] == 5 * 64 * 2048 * 4 + 130_000 * 8


@pytest.mark.data
def test_a_real_scan_has_the_published_pixels(shared_data):
    """97021 pixels where it is projected in float32 (expected.json of the net); in float64 two points change their pixel."""
    points = np.fromfile(shared_data / "semantickitti" / "000000.bin", np.float32).reshape(-1, 4)
    (by_angle,) = run_operator(RangeImages, [points])
    (by_order,) = run_operator(RangeImages, [points], {"rows": "file_order"})
    assert abs(int((by_angle.range_image[3] > 0).sum()) - 97021) <= 2
    assert len(np.unique(by_order.point_pixels[:, 0])) == 64
    assert (by_order.range_image[3] > 0).sum() > 111_000  # 14 % more than by elevation
    np.testing.assert_array_equal(by_order.point_pixels[:, 0], naive.rings(points))
