import logging
import re

import naive_lidar as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kernels import ground as kernel
from operators.lidar.ground import Ground, GroundConfig, Splitter
from operators.streams import POINTS

FLAT = -1.73


def split(points, **config):
    """-> points above the ground, points of the ground"""
    above, ground = np.empty_like(points), np.empty_like(points)
    num_above, num_ground = Splitter(GroundConfig(**config))(points, above, ground)
    return above[:num_above], ground[:num_ground]


def rings(z=lambda x, y: FLAT + 0 * x):
    """Ground points as of a spinning LiDAR: 40 rings up to 50 m, 720 columns"""
    r, a = (m.ravel() for m in np.meshgrid(np.geomspace(4, 50, 40), np.linspace(-np.pi, np.pi, 720, endpoint=False)))
    points = np.zeros((r.size, 4), np.float32)
    points[:, 0], points[:, 1] = r * np.cos(a), r * np.sin(a)
    points[:, 2] = z(points[:, 0], points[:, 1])
    return points


def block(x, y, low, high, size=1.0):
    """A grid of points on a cube's front"""
    ys, zs = (m.ravel() for m in np.meshgrid(np.linspace(y - size / 2, y + size / 2, 9), np.linspace(low, high, 9)))
    points = np.zeros((ys.size, 4), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = x, ys, zs
    return points


def test_an_empty_scan(make):
    got = make(Ground).process(points=np.zeros((0, 4), np.float32))
    assert {port: points.shape for port, points in got.items()} == {"points": (0, 4), "ground": (0, 4)}


@pytest.mark.parametrize(("z", "above"), [(FLAT, False), (FLAT + 0.5, False), (FLAT + 0.9, True), (-9.0, False), (5.0, True)])
def test_one_point(make, z, above):
    """Alone 10 m away, it may be ground that has risen by max_rise_m = 0.6."""
    got = make(Ground).process(points=np.array([(10, 2, z, 0.5)], np.float32))
    for port, points in got.items():
        POINTS.check({"points": points}, port)
        assert len(points) == (above == (port == "points"))


@pytest.mark.parametrize(
    ("z", "why"),
    [
        (lambda x, y: FLAT + 0 * x, "flat"),
        (lambda x, y: FLAT + 0.08 * x, "uphill"),
        (lambda x, y: FLAT - 0.06 * np.abs(x) + 0.04 * y, "downhill, sloping sideways"),
        (lambda x, y: FLAT + 0.12 * (np.abs(y) > 6), "kerbs"),
        (lambda x, y: FLAT + 1.5 * np.sin(np.hypot(x, y) / 15), "hills"),
    ],
)
def test_all_of_the_ground_and_nothing_else(z, why):
    scene = rings(z)
    blocks = np.concatenate(
        [block(x, y, 0.3 + z(np.float64(x), y), 1.5 + z(np.float64(x), y)) for x, y in ((8, 0), (20, -7), (35, 9))]
    )
    shadowless = np.concatenate([scene, blocks])
    above, ground = split(shadowless)
    np.testing.assert_array_equal(above, blocks, err_msg=why)
    np.testing.assert_array_equal(ground, scene)


def test_an_object_alone_in_its_sector_keeps_its_upper_part():
    """No ground is seen near a far car: the rise is limited."""
    above, _ = split(block(45.0, 0.0, FLAT + 0.3, FLAT + 1.5))
    assert len(above) >= 45 and above[:, 2].max() == np.float32(FLAT + 1.5)


def test_echoes_below_the_ground_do_not_lower_it():
    echoes = block(12.0, 0.0, FLAT - 3, FLAT - 2)
    car = block(12.0, 0.0, FLAT + 0.3, FLAT + 1.5)
    above, ground = split(np.concatenate([rings(), echoes, car]))
    np.testing.assert_array_equal(above, car)
    assert len(ground) == len(rings()) + len(echoes)


def test_nan_and_inf_are_in_neither_and_counted(make, caplog):
    op = make(Ground, name="ground")
    points = np.array([(10, 0, FLAT, 0), (np.nan, 0, 0, 0), (0, np.inf, 0, 0), (1, 0, -np.inf, 0), (0, 0, 0, 0)], np.float32)
    got = op.process(points=points)
    np.testing.assert_array_equal(got["ground"], points[:1])
    np.testing.assert_array_equal(got["points"], points[4:])
    with caplog.at_level(logging.INFO, "ground"):
        op.close()
    assert caplog.messages == ["dropped 3 points with NaN or inf"]


coordinate = st.floats(-30, 30, width=32) | st.sampled_from([0.0, -0.0, np.nan, np.inf])
height = st.floats(-3, 2, width=32)


@settings(deadline=None)  # the first example may compile
@given(st.lists(st.tuples(coordinate, coordinate, height, st.just(0.0)), max_size=40))
def test_many_scans_equal_the_naive_twin(rows):
    points = np.array(rows, np.float32).reshape(-1, 4)
    config = {"sectors": 8, "ring_m": 4.0, "max_range_m": 24.0}
    above, ground = split(points, **config)
    expected = naive.ground(points, 8, 6, 4.0, -1.73, 0.15, 0.15, 0.6, 0.25)
    np.testing.assert_array_equal(above, points[expected[0]])
    np.testing.assert_array_equal(ground, points[expected[1]])


def test_plain_python_computes_the_same():
    points = np.concatenate([rings()[::97], block(12.0, 0.0, -1.5, 0)])
    results = []
    for plain in (False, True):
        bins, heights, divide = (getattr(f, "py_func", f) if plain else f for f in (kernel.bins, kernel.heights, kernel.divide))
        at, order, starts = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32), np.zeros(8 * 6 + 1, np.int32)
        out, above, ground = np.zeros((8, 6)), np.zeros_like(points), np.zeros_like(points)
        bins(points, 10.0, 8, 6, at, starts, order)
        heights(points, starts, order, 10.0, -1.73, 0.15, 0.15, 0.6, out)
        results.append([*divide(points, at, out, 0.25, above, ground), at.tolist(), above.tolist(), ground.tolist()])
    assert results[0] == results[1]


@pytest.mark.data
def test_a_labelled_scan(shared_data):
    """SemanticKITTI: road, parking, sidewalk, other ground, lane marking, terrain are ground; cars and people are not."""
    folder = shared_data / "semantickitti"
    points = np.fromfile(folder / "000000.bin", np.float32).reshape(-1, 4)
    labels = np.fromfile(folder / "000000.label", np.uint32) & 0xFFFF
    numbered = points.copy()
    numbered[:, 3] = np.arange(len(points))
    above, _ = split(numbered)
    is_above = np.zeros(len(points), bool)
    is_above[above[:, 3].astype(int)] = True
    ground, objects = (
        np.isin(labels, (40, 44, 48, 49, 60, 72)),
        np.isin(labels, (10, 11, 13, 15, 18, 20, 30, 31, 32, 252, 253, 254)),
    )
    assert (~is_above[ground]).mean() > 0.95
    assert is_above[objects].mean() > 0.8


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"height_m": 0}, "height_m: needs more than 0, got 0"),
        ({"max_slope": 1}, "max_slope: needs 0 <= max_slope < 1, got 1"),
        ({"sectors": 2}, "sectors: needs 4 .. 3600, got 2"),
        ({"ring_m": 100}, "ring_m: needs 1 .. 10000 rings in 80 m, got rings of 100 m"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GroundConfig(**config)
