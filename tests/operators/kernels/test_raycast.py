from itertools import pairwise

import numpy as np
import pytest
from rays import FAR_M, LEAFY, WALLS, box, cast, lidar, many

import naive
from operators.kernels import raycast

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # without numba the hash wraps aloud


def same_as_naive(triangles, sensor, drift=None, far=FAR_M):
    """-> share of rays that hit"""
    count = len(triangles)
    drift = np.zeros((count, 3)) if drift is None else drift
    ranges, hits, covered = naive.spin(
        np.asarray(triangles), drift, sensor.tangents, sensor.heights, sensor.azimuths, sensor.times, far
    )
    got = cast(triangles, sensor, drift, owners=np.arange(count), far=far)
    np.testing.assert_array_equal(got.hits, hits)
    np.testing.assert_allclose(got.ranges, ranges, rtol=1e-9)
    np.testing.assert_array_equal(got.covered, covered)
    return (hits >= 0).mean()


def test_nothing_to_hit():
    got = cast([], lidar())
    assert np.isinf(got.ranges).all() and (got.hits == raycast.NOTHING).all() and got.covered.shape == (0,)


@pytest.mark.parametrize("seed", range(6))
def test_many_equal_the_naive_rays(seed):
    assert 0.5 < same_as_naive(many(seed), lidar()) < 1, "the scene is neither empty nor full"


@pytest.mark.parametrize(
    ("sensor", "why"),
    [
        (lidar(1), "one column"),
        (lidar(1, ahead=2.5), "one column, elsewhere"),
        (lidar(2), "two columns"),
        (lidar(24, turn=1.3), "part of a turn"),
        (lidar(24, turn=1.3, ahead=3.0), "part of a turn, over the seam behind"),
        (lidar(24, turn=1.3, ahead=-4.4), "part of a turn, counted from elsewhere"),
        (lidar(36, turn=-2 * np.pi), "clockwise"),
        (lidar(24, turn=-1.1, ahead=-2.8), "part of a turn, clockwise, over the seam"),
        (lidar(36, turn=2 * np.pi, ahead=2.0), "a turn that begins elsewhere"),
        (lidar(blocks=((0.03, -0.15, 6, 0.2), (-0.16, -0.46, 7, 0.12))), "two blocks of beams from different heights"),
        (lidar(blocks=((0.6, 0.6, 1, 0.0),)), "one beam"),
        (lidar(blocks=((0.2, -0.4, 5, 0.0), (0.3, -0.5, 5, 0.4), (0.1, -0.6, 3, -0.3))), "three blocks that overlap"),
        (lidar(blocks=((30.0, -30.0, 9, 0.0),)), "nearly straight up and down"),
    ],
)
def test_sensors(sensor, why):
    assert same_as_naive(many(9), sensor) > 0.2, why


@pytest.mark.parametrize("seconds", [0.1, 2.0])
@pytest.mark.parametrize("turn", [2 * np.pi, -2 * np.pi, 2.0])
def test_everything_drifts_its_own_way(seconds, turn):
    """Slowly, and so fast that objects pass over and through the sensor within a sweep."""
    triangles = many(11)
    drift = np.random.default_rng(2).uniform(-12, 12, (len(triangles), 3)) * (1, 1, 0.1)
    assert same_as_naive(triangles, lidar(turn=turn, seconds=seconds), drift) > 0.3


def test_a_moving_sensor_is_a_standing_one_further_on():
    triangles, sensor = many(3), lidar(seconds=0.1)
    moving = cast(triangles, sensor, drift=(15.0, 2.0, 0.3))
    for c in range(0, len(sensor.azimuths), 5):
        frozen = sensor._replace(times=np.zeros(len(sensor.times)))
        there = cast(np.asarray(triangles) - np.array([15.0, 2.0, 0.3]) * sensor.times[c], frozen)
        np.testing.assert_array_equal(moving.hits[c], there.hits[c])
        np.testing.assert_allclose(moving.ranges[c], there.ranges[c], rtol=1e-9)


def solids(seed):
    """(T, 3, 3) boxes, some of which overlap, none around the sensor; (T,) owners."""
    rng = np.random.default_rng(seed)
    angles, away = rng.uniform(-3.1, 3.1, 30), rng.uniform(4, 30, 30)
    places = np.stack([away * np.cos(angles), away * np.sin(angles), rng.uniform(-2, 2, 30)], 1)
    boxes = [box(*place, *rng.uniform(0.2, 3.5, 3), rng.uniform(-3, 3)) for place in places]
    return np.concatenate(boxes), np.repeat(np.arange(30), len(boxes[0]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("drift", [(0, 0, 0), (15.0, 2.0, 0.3)])
def test_the_back_of_a_solid_makes_no_difference(seed, drift):
    (triangles, owners), sensor = solids(seed), lidar(blocks=((0.3, -0.2, 20, 0.2), (-0.2, -0.5, 20, 0.12)), seconds=0.1)
    hollow, solid = (cast(triangles, sensor, drift, owners=owners, solid=flag) for flag in (False, True))
    for got, want in zip(solid, hollow, strict=True):
        np.testing.assert_array_equal(got, want)
    assert (solid.hits >= 0).mean() > 0.1


def test_from_inside_a_solid_is_seen_what_is_outside():
    inner, outer = box(0, 0, 0, 3, 3, 3), box(20, 0, 0, 2, 60, 30)
    got = cast(np.concatenate([inner, outer]), lidar(), solid=True)
    assert (got.hits[np.isfinite(got.ranges)] >= len(inner)).all() and np.isfinite(got.ranges).any()


@pytest.mark.parametrize(
    ("corners", "why"),
    [
        ([(5, 0.1, 0), (5, 0.1, 0), (5, 0.1, 0)], "a point"),
        ([(5, -1, 0), (5, 0, 0), (5, 1, 0)], "a line"),
        ([(5, -1, -1), (5, -1, -1), (5, 2, 1)], "two corners in one place"),
        ([(0, 0, -1), (0, 0, 0), (0, 0, 1)], "the axis of the sensor"),
        ([(5, -1, 20), (5, 1, 20), (6, 0, 25)], "above all beams"),
        ([(90, -20, -20), (90, 20, -20), (90, 0, 20)], "beyond the range"),
        ([(5, 0.02, 0.02), (5, 0.021, 0.02), (5, 0.02, 0.021)], "between rays"),
    ],
)
def test_not_hit(corners, why):
    assert (cast([corners], lidar()).hits == raycast.NOTHING).all(), why


def test_over_and_under_the_sensor():
    """An endless roof and floor: every upward ray hits the roof, every downward ray the floor."""
    flat = [[(-300, -250, 0), (300, -250, 0), (0, 400, 0)]]
    sensor = lidar(blocks=((8.0, -8.0, 16, 0.0),))
    got = cast([np.add(flat[0], (0, 0, 2)), np.add(flat[0], (0, 0, -1.5))], sensor)
    up = sensor.tangents > 0
    assert (got.hits[:, up] == 0).all() and (got.hits[:, ~up] == 1).all()
    elevation = np.arctan(sensor.tangents)
    np.testing.assert_allclose(got.ranges, np.where(up, 2, -1.5) / np.sin(elevation) * np.ones((36, 1)))


@pytest.mark.xfail(strict=True, reason="the plane of such a triangle says nothing about the distance; rare: no corner may be off")
def test_a_triangle_in_the_plane_of_a_column_is_hit_where_it_is():
    sensor, rng = lidar(360, blocks=((0.3, -0.5, 64, 0.0),)), np.random.default_rng(0)
    for azimuth in rng.choice(sensor.azimuths, 60):
        ahead, z = rng.uniform(4, 30, 3), rng.uniform(-3, 3, 3)
        got = cast([np.stack([ahead * np.cos(azimuth), ahead * np.sin(azimuth), z], 1)], sensor)
        distance = (got.ranges / np.sqrt(1 + sensor.tangents**2))[got.hits >= 0]
        assert ((distance > ahead.min() - 0.01) & (distance < ahead.max() + 0.01)).all()


def test_watertight():
    """A surrounding wall of many slivers has no holes, for every position of columns and seams."""
    angles = np.sort(np.random.default_rng(4).uniform(-np.pi, np.pi, 200))
    foot = np.stack([9 * np.cos(angles), 9 * np.sin(angles)], 1)
    wall = []
    for a, b in pairwise([*foot, foot[0]]):
        low_a, low_b, high_a, high_b = (*a, -9), (*b, -9), (*a, 9), (*b, 9)
        wall += [[low_a, low_b, high_b], [low_a, high_b, high_a]]
    for turn in (2 * np.pi, -2 * np.pi, 2.03 * np.pi, 1.97 * np.pi):  # a sensor that turns itself sweeps more or less than a turn
        assert (cast(wall, lidar(720, turn=turn)).hits >= 0).all()


def test_the_first_of_two_equal_ones_is_hit():
    wall = [(6, -4, -2), (6, 4, -2), (6, 0, 5)]
    assert set(np.unique(cast([wall, wall], lidar()).hits)) == {-1, 0}


def test_the_range_ends():
    """A wall at 10 m: the part within the range is hit, to the centimetre."""
    wall = [[(10, 300, -90), (10, -300, -90), (10, -300, 90)], [(10, 300, -90), (10, -300, 90), (10, 300, 90)]]
    sensor = lidar(64, turn=2.4)
    whole = cast(wall, sensor, far=1e3)
    assert (whole.hits >= 0).all()
    cut = cast(wall, sensor, far=12.0, owners=[0, 0])
    np.testing.assert_array_equal(cut.hits >= 0, whole.ranges <= 12)
    np.testing.assert_array_equal(cut.ranges[cut.hits >= 0], whole.ranges[whole.ranges <= 12])
    assert cut.covered[0] == (whole.ranges <= 12).sum()


@pytest.mark.parametrize("bands", [2, 3, 7, 40])
def test_bands_change_nothing(bands):
    """Threads get bands of columns; there may be more bands than columns."""
    triangles, sensor = many(5), lidar(seconds=0.1)
    owners, porosity = np.arange(len(triangles)) % 7 - 1, np.where(np.arange(len(triangles)) % 3, 0.0, 0.4)
    drift = np.random.default_rng(0).normal(0, 5, (len(triangles), 3))
    one, more = (cast(triangles, sensor, drift, porosity, owners, bands=n) for n in (1, bands))
    for got, want in zip(more, one, strict=True):
        assert got.tobytes() == want.tobytes()


def test_covered_counts_every_ray_that_meets_an_object_once():
    """Even if it is occluded, hit several times, or hit from either side."""
    near, far = box(5, 0, 0, 1, 4, 3), box(12, 0, 0, 1, 4, 3)
    sensor = lidar(360)
    alone = cast(far, sensor, owners=[0] * 12)
    assert alone.covered[0] == (alone.hits >= 0).sum() > 50, "met at the front and at the back"
    hidden = cast(np.concatenate([near, far]), sensor, owners=[1] * 12 + [0] * 12)
    assert hidden.covered[0] == alone.covered[0] and not (hidden.hits >= 12).any()
    twice = cast(np.concatenate([near, far]), sensor, owners=[0] * 24)
    assert twice.covered[0] == (twice.hits >= 0).sum() < hidden.covered.sum()
    front, back = (cast(far[:2][:, ::turn], sensor, owners=[0, 0]) for turn in (1, -1))
    np.testing.assert_array_equal(front.hits, back.hits)
    assert front.covered[0] == (front.hits >= 0).sum() > 20 and back.covered[0] == front.covered[0]


def test_nothing_stops_at_what_is_all_holes_and_everything_at_what_has_none():
    sensor = lidar(40, turn=2.0)
    solid, holes = cast(WALLS, sensor), cast(WALLS, sensor, porosity=LEAFY)
    assert (solid.hits < 12).all() and (holes.hits >= 12).all()
    np.testing.assert_array_equal(holes.ranges, cast(WALLS[12:], sensor).ranges)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_share_of_the_rays_passes_through_leaves(share):
    """At random, from the seed and the triangle's key only. Front and back: two chances to be stopped."""
    sensor = lidar(400, turn=2.0)
    leaves = [cast(WALLS, sensor, porosity=LEAFY * share, seed=seed) for seed in (1, 1, 2)]
    through = (leaves[0].hits >= 12).mean()
    assert through == pytest.approx(share**2, abs=0.03)
    np.testing.assert_array_equal(leaves[0].hits, leaves[1].hits)
    assert (leaves[0].hits != leaves[2].hits).mean() > 0.05
    elsewhere = np.concatenate([box(-9, 0, 0, 1, 1, 1), WALLS])
    moved = cast(elsewhere, sensor, porosity=[*np.zeros(12), *LEAFY * share], keys=[*range(100, 112), *range(24)])
    np.testing.assert_array_equal(moved.hits, leaves[0].hits + 12)


def test_two_neighbouring_keys_share_their_holes():
    """The two triangles of a leaf: if one is put in the place of the other, the same rays pass."""
    face, sensor = [(6, -90, -90), (6, 90, -90), (6, 0, 120)], lidar(100, turn=2.0)
    seen = [cast([face], sensor, porosity=0.5, keys=[key]).hits for key in (4, 5, 6)]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[0] != seen[2]).any()


def test_plain_python_computes_the_same(monkeypatch):
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    triangles, sensor = many(6, count=8), lidar(12, seconds=0.1, blocks=((0.3, -0.3, 4, 0.2), (-0.31, -0.5, 3, 0.1)))
    more = {"drift": (3.0, 1.0, 0.1), "porosity": 0.3, "owners": np.arange(len(triangles)) % 3}
    want = cast(triangles, sensor, **more)
    for name in ("_window", "_around", "_end", "_span", "_cast_columns", "_tables", "uniform"):
        compiled = getattr(raycast, name)
        monkeypatch.setattr(raycast, name, getattr(compiled, "py_func", compiled))
    plain = cast(triangles, sensor, **more)
    np.testing.assert_array_equal(plain.hits, want.hits)
    np.testing.assert_allclose(plain.ranges, want.ranges, rtol=1e-12)
    np.testing.assert_array_equal(plain.covered, want.covered)
