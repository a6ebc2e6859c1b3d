from typing import NamedTuple

import numpy as np
import pytest
from rays import FAR_M, LEAFY, WALLS, box, cast, lidar, many

from operators.kernels import returns
from operators.kernels.returns import Directions, Surfaces

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # without numba the hash wraps aloud


class Seen(NamedTuple):
    points: np.ndarray
    ids: np.ndarray


SURFACE = {"reflectance": (0.5, "f4"), "drop": (0.0, "f4"), "gloss": (0.0, "f4"), "retro": (False, "?"), "rough": (0.0, "f4")}


def seen(
    triangles, got, sensor, near=0.5, far=FAR_M, noise=0.0, weakest=0.0, lost=0.0, seed=3, owners=None, width=None, **surface
):
    """surface: of SURFACE, by default its values"""
    triangles = np.array(triangles, np.float64).reshape(-1, 3, 3)
    count, size = len(triangles), sensor.shape[0] * sensor.shape[1]
    columns = [
        np.broadcast_to(np.asarray(surface.pop(name, default), dtype), count).copy() for name, (default, dtype) in SURFACE.items()
    ]
    assert not surface
    surfaces = Surfaces(*columns, np.arange(count) if owners is None else np.array(owners, np.int64))
    points, ids = np.full((size, 4), np.nan, np.float32), np.full(size, -9)
    limits = np.array([near, far, noise, weakest, lost, *([] if width is None else [width])])
    directions = Directions(np.arctan(sensor.tangents), sensor.heights, sensor.azimuths)
    num = returns.returns(got.ranges, got.hits, triangles, surfaces, directions, limits, seed, points, ids)
    assert np.isnan(points[num:]).all() and (ids[num:] == -9).all(), "nothing is written beyond the count"
    return Seen(points[:num], ids[:num])


def exact(got, sensor):
    """The end of each ray, beam by beam -> (B, C, 3)"""
    e, a = np.arctan(sensor.tangents)[:, None], sensor.azimuths[None]
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e) * np.ones_like(a)], -1)
    return got.ranges.T[..., None] * rays + np.array([0, 0, 1]) * sensor.heights[:, None, None]


def test_no_hits_no_points():
    sensor = lidar()
    points, ids = seen([], cast([], sensor), sensor)
    assert points.shape == (0, 4) and ids.shape == (0,)


def test_without_noise_points_lie_where_rays_end_ring_by_ring():
    triangles, sensor = many(1), lidar(blocks=((0.03, -0.15, 6, 0.2), (-0.16, -0.46, 7, 0.12)))
    got = cast(triangles, sensor)
    points, ids = seen(triangles, got, sensor, near=2.0, far=20.0)
    kept = (got.ranges.T >= 2) & (got.ranges.T <= 20)
    assert 0.2 < kept.mean() < 0.9 and len(points) == kept.sum(), "nothing else is lost"
    np.testing.assert_allclose(points[:, :3], exact(got, sensor)[kept], atol=0.00051)
    np.testing.assert_array_equal(ids, got.hits.T[kept])
    np.testing.assert_allclose(points[:, :3], np.rint(points[:, :3].astype(float) * 1000) / 1000, atol=4e-6)


def test_owners_are_reported():
    triangles, sensor = WALLS, lidar(40, turn=2.0)
    _, ids = seen(triangles, cast(triangles, sensor, porosity=LEAFY), sensor, owners=[-1] * 12 + [77] * 12)
    assert set(ids) == {77}


def test_a_wide_beam_meets_what_is_beside_its_ray():
    """A post 8 cm wide, 10 m ahead of a wall that is 20 m or 0.8 m behind it, or of nothing."""
    post, sensor = box(10, 0.03, 0, 0.08, 0.08, 6), lidar(1440, blocks=((0.2, -0.2, 40, 0.0),), turn=2.0)
    for wall in (box(30, 0, 0, 0.5, 400, 100), box(11, 0, 0, 0.1, 400, 100), np.zeros((0, 3, 3))):
        triangles = np.concatenate([post, wall])
        owners, got = np.repeat([0, -1], (12, len(wall))), cast(triangles, sensor)
        rays, none = (seen(triangles, got, sensor, owners=owners, width=width) for width in (None, 0.0))
        assert rays.points.tobytes() == none.points.tobytes()
        wide = seen(triangles, got, sensor, owners=owners, width=0.6)
        gained = (wide.ids == 0).sum() - (rays.ids == 0).sum()
        columns = len(np.unique(np.rint(np.arctan2(*rays.points[rays.ids == 0, 1::-1].T) / np.diff(sensor.azimuths)[0])))
        assert columns >= 4 and gained == pytest.approx(40 * 2 * 0.6 * 0.5, rel=0.4), "half of 0.6 on either side"
        assert len(wide.points) == len(rays.points) + (0 if len(wall) else gained)
        between = (wide.points[:, 0] > 10.1) & (wide.points[:, 0] < 10.9)
        assert between.sum() > 3 if len(wall) and wall[:, :, 0].min() < 12 else not between.any(), (
            "returns of a little depth merge"
        )


ROOM = box(0, 0, 0, 24, 20, 14)
WIDE = lidar(360, blocks=((0.5, -0.5, 24, 0.0),))


@pytest.fixture(scope="module")
def room():
    return cast(ROOM, WIDE)


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_noise_is_along_the_ray(room, noise):
    points, _ = seen(ROOM, room, WIDE, noise=noise)
    true = exact(room, WIDE).reshape(-1, 3)
    off = np.linalg.norm(points[:, :3], axis=1) - np.linalg.norm(true, axis=1)
    assert len(points) == room.hits.size
    assert off.std() == pytest.approx(noise, rel=0.03) and abs(off.mean()) < noise / 20 and np.abs(off).max() < 3.8 * noise
    across = np.cross(points[:, :3], true) / np.linalg.norm(true, axis=1)[:, None]
    assert np.abs(across).max() < 0.002


def test_rough_surfaces_lie_deeper(room):
    """Leaves: exponential in depth, never in front of the surface."""
    points, _ = seen(ROOM, room, WIDE, rough=0.1)
    deeper = np.linalg.norm(points[:, :3], axis=1) - room.ranges.T.reshape(-1)
    assert deeper.min() > -0.001 and deeper.mean() == pytest.approx(0.1, rel=0.05) and deeper.max() < 0.7


@pytest.mark.parametrize(("drop", "left"), [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
@pytest.mark.parametrize("retro", [False, True])
def test_drop(room, drop, left, retro):
    points, _ = seen(ROOM, room, WIDE, drop=drop, retro=retro)
    assert len(points) / room.hits.size == (left if left in (0, 1) else pytest.approx(left, abs=0.01))


@pytest.mark.parametrize(("lost", "left"), [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0)])
def test_lost_for_no_reason(room, lost, left):
    points, _ = seen(ROOM, room, WIDE, lost=lost)
    assert len(points) / room.hits.size == (left if left in (0, 1) else pytest.approx(left, abs=0.01))


def test_weak_signals_get_lost(room):
    """chance = 1 - exp(-signal / weakest), signal = reflectance x cosine x (10 m / range)^2."""
    weakest, reflectance = 0.2, 0.4
    kept = [seen(ROOM, room, WIDE, reflectance=reflectance, weakest=weakest, seed=seed) for seed in range(8)]
    true = exact(room, WIDE).reshape(-1, 3)
    distance = np.linalg.norm(true, axis=1)
    cosine = np.max(np.abs(true) * np.isclose(np.abs(true), (12, 10, 7), atol=1e-6), axis=1) / distance
    expected = 1 - np.exp(-reflectance * cosine * (10 / distance) ** 2 / weakest)
    assert 0.2 < expected.min() < 0.8 < expected.max()
    assert np.mean([len(k.points) for k in kept]) == pytest.approx(expected.sum(), rel=0.005)
    steep = cosine < np.median(cosine)
    seen_steep = np.mean([np.isin(_key(true[steep]), _key(k.points[:, :3])).mean() for k in kept])
    assert seen_steep == pytest.approx(expected[steep].mean(), abs=0.01)
    assert len(seen(ROOM, room, WIDE, reflectance=reflectance, weakest=weakest, retro=True).points) == room.hits.size


def _key(points):
    x, y, z = np.rint(np.asarray(points, np.float64) * 1000).astype(np.int64).T
    return (x * 100_003 + y) * 100_003 + z


@pytest.mark.parametrize("gloss", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("reflectance", [0.005, 0.3, 1.0])
def test_intensity_is_a_share_in_hundredths(room, gloss, reflectance):
    points, _ = seen(ROOM, room, WIDE, reflectance=reflectance, gloss=gloss)
    intensity = points[:, 3].astype(np.float64)
    assert 0 <= intensity.min() and intensity.max() <= np.float32(0.99)
    np.testing.assert_allclose(intensity * 100, np.rint(intensity * 100), atol=1e-5)


def test_intensity_tells_materials_apart(room):
    dark, bright, mirror, plate = (
        seen(ROOM, room, WIDE, **kind).points[:, 3]
        for kind in ({"reflectance": 0.05}, {"reflectance": 0.6}, {"reflectance": 0.6, "gloss": 1.0}, {"retro": True})
    )
    assert dark.mean() + 0.1 < bright.mean() and (plate == np.float32(0.99)).all()
    assert mirror.std() > bright.std()


def test_same_seed_same_bytes_another_seed_others(room):
    kind = {"noise": 0.02, "gloss": 0.3, "rough": 0.1, "drop": 0.1, "weakest": 0.01, "lost": 0.01}
    first, again, other = (seen(ROOM, room, WIDE, **kind, seed=seed) for seed in (5, 5, 6))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert first.points.tobytes() != other.points.tobytes()


def test_plain_python_computes_the_same(monkeypatch):
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    triangles, sensor = many(6, count=8), lidar(12, seconds=0.1, blocks=((0.3, -0.3, 4, 0.2), (-0.31, -0.5, 3, 0.1)))
    got = cast(triangles, sensor, drift=(3.0, 1.0, 0.1), porosity=0.3, owners=np.arange(len(triangles)) % 3)
    want = seen(triangles, got, sensor)
    for name in ("returns", "uniform", "normal"):
        compiled = getattr(returns, name)
        monkeypatch.setattr(returns, name, getattr(compiled, "py_func", compiled))
    plain = seen(triangles, got, sensor)
    np.testing.assert_array_equal(plain.ids, want.ids)
    np.testing.assert_allclose(plain.points, want.points, atol=0.0011)
