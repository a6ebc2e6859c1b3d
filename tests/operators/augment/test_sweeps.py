"""Faults of LiDAR sweeps: which points are lost, how many, the same ones by seed."""

import math

import numpy as np
import pytest

from operators.augment.seeded import rng_of
from operators.augment.sweeps import beam_loss, fog_extinction, rain_extinction, sector_loss, weather

FAULTS = {"beam_loss": (beam_loss, 0.5), "sector_loss": (sector_loss, 90.0), "weather": (weather, 0.02)}


def sweep(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    azimuth, elevation, r = rng.uniform(-math.pi, math.pi, n), rng.uniform(-0.4, 0.1, n), rng.uniform(2, 80, n)
    xyz = np.stack([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)], 1) * r[:, None]
    return np.concatenate([xyz, rng.random((n, 1))], axis=1).astype(np.float32)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_left_is_a_part_in_order_by_seed_and_empty_stays_empty(fault):
    change, level = FAULTS[fault]
    points = sweep()
    points.flags.writeable = False
    one, two, other = (change(points, level, rng_of(s)) for s in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    rows = {tuple(p): i for i, p in enumerate(points[:, :3].tolist())}
    numbers = [rows[tuple(p)] for p in one[:, :3].tolist()]
    assert 0 < len(numbers) < len(points) and numbers == sorted(numbers)
    assert one.dtype == np.float32 and change(points[:0], level, rng_of(1)).shape == (0, 4)


def test_beams_are_lost_whole():
    points = sweep()
    row = np.floor((np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])) + math.pi / 2) / math.radians(0.4))
    left = beam_loss(points, 0.5, rng_of(3))
    left_row = np.floor((np.arctan2(left[:, 2], np.hypot(left[:, 0], left[:, 1])) + math.pi / 2) / math.radians(0.4))
    assert 0.3 < len(np.unique(left_row)) / len(np.unique(row)) < 0.7
    for beam in np.unique(left_row):
        assert (left_row == beam).sum() == (row == beam).sum()
    assert len(beam_loss(points, 0.0, rng_of(3))) == len(points) and len(beam_loss(points, 1.0, rng_of(3))) == 0


def test_a_sector_is_lost_whole_and_nothing_else():
    left = sector_loss(sweep(), 90.0, rng_of(3))
    assert len(left) / 20_000 == pytest.approx(0.75, abs=0.02)
    azimuth = np.sort(np.arctan2(left[:, 1], left[:, 0]))
    gaps = np.diff(np.append(azimuth, azimuth[0] + 2 * math.pi))
    assert math.degrees(gaps.max()) == pytest.approx(90, abs=1) and np.sort(gaps)[-2] < math.radians(1)
    assert len(sector_loss(sweep(), 360.0, rng_of(3))) == 0


def test_far_points_are_lost_first_and_intensity_falls():
    points = sweep()
    left = weather(points, 0.02, rng_of(0))
    for low, high in ((2, 10), (20, 30), (50, 80)):
        before, after = (np.linalg.norm(p[:, :3], axis=1) for p in (points, left))
        share = ((after >= low) & (after < high)).sum() / ((before >= low) & (before < high)).sum()
        near = before[(before >= low) & (before < high)]
        assert share == pytest.approx(np.exp(-0.04 * near).mean(), abs=0.03)
    first = left[0]
    given = points[(points[:, :3] == first[:3]).all(axis=1)][0]
    assert first[3] == pytest.approx(given[3] * math.exp(-0.04 * np.linalg.norm(first[:3])), rel=1e-5)
    assert np.array_equal(weather(points, 0.0, rng_of(0)), points)


def test_extinctions():
    assert rain_extinction(0.0) == 0.0
    assert rain_extinction(50.0) == pytest.approx(0.0034, rel=0.02)  # 14.8 dB/km
    assert fog_extinction(50.0) == pytest.approx(0.06, rel=0.01)  # as in Hahner et al.


def test_nan_points():
    points = sweep(10)
    points[3, 0] = np.nan
    assert np.isnan(beam_loss(points, 1.0, rng_of(0))).any() and len(sector_loss(points, 360.0, rng_of(0))) == 1
    assert not np.isnan(weather(points, 0.01, rng_of(0))).any()
