"""Faults of pictures: what each level changes, and by how much."""

import numpy as np
import pytest

from operators.augment.pictures import blackout, glare, noise, salt_and_pepper, shift, whiteout
from operators.augment.seeded import rng_of

KINDS = {"rgb": ((32, 40, 3), np.uint8), "grey": ((32, 40), np.uint8), "raw": ((32, 40), np.uint16)}
FAULTS = {
    "blackout": lambda p, level, rng: blackout(p, level),
    "whiteout": lambda p, level, rng: whiteout(p, level),
    "glare": glare,
    "noise": noise,
    "salt_and_pepper": salt_and_pepper,
    "shift": lambda p, level, rng: shift(p, level, rng.uniform(0, 6)),
}


def picture(kind, seed=0):
    shape, dtype = KINDS[kind]
    low, high = (20, 200) if dtype == np.uint8 else (7000, 9000)
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_size_and_type_stay_the_input_is_not_written_and_a_seed_gives_one_result(fault, kind):
    given = picture(kind)
    given.flags.writeable = False
    before = given.copy()
    one, two = (FAULTS[fault](given, 0.4, rng_of(1, "a", 2)) for _ in range(2))
    assert one.shape == given.shape and one.dtype == given.dtype
    assert np.array_equal(one, two) and np.array_equal(given, before)
    empty = np.zeros((0, 0, *given.shape[2:]), given.dtype)
    assert FAULTS[fault](empty, 0.4, rng_of(1)).shape == empty.shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [f for f in FAULTS if f != "glare"])
def test_level_0_changes_nothing(fault, kind):
    assert np.array_equal(FAULTS[fault](picture(kind), 0.0, rng_of(1)), picture(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_level_1_is_black_or_white(kind):
    given = picture(kind)
    assert not blackout(given, 1.0).any() and (whiteout(given, 1.0) == np.iinfo(given.dtype).max).all()
    assert np.abs(blackout(given, 0.25).astype(int) - given * 0.75).max() <= 0.5
    most = np.iinfo(given.dtype).max
    assert np.abs(whiteout(given, 0.25) - (given + 0.25 * (most - given.astype(float)))).max() <= 0.5


def test_noise_has_its_sigma():
    grey = np.full((200, 200), 128, np.uint8)
    assert np.std(noise(grey, 0.1, rng_of(0)).astype(float)) == pytest.approx(25.5, rel=0.05)
    raw = np.full((200, 200), 8000, np.uint16)
    raw[0, 0], raw[0, 1] = 7500, 8500  # a range of 1,000 counts
    assert np.std(noise(raw, 0.05, rng_of(0)).astype(float)) == pytest.approx(50, rel=0.05)


def test_salt_and_pepper_takes_its_share_half_black_half_white():
    out = salt_and_pepper(np.full((200, 200, 3), 128, np.uint8), 0.2, rng_of(0))
    black, white = (out == 0).all(axis=2).mean(), (out == 255).all(axis=2).mean()
    assert black == pytest.approx(0.1, abs=0.01) and white == pytest.approx(0.1, abs=0.01)
    assert ((out == 128).all(axis=2).mean()) == pytest.approx(1 - black - white)


def test_glare_darkens_a_part_and_brightens_the_rest():
    grey = np.full((100, 100), 100, np.uint8)
    out = glare(grey, 1.0, rng_of(0))
    assert len(np.unique(out)) == 2 and out.min() <= 50 and out.max() >= 200
    assert np.abs(glare(grey, 0.1, rng_of(0)).astype(int) - 100).max() <= 20


@pytest.mark.parametrize(("angle", "right", "down"), [(0.0, 3, 0), (np.pi / 2, 0, 3), (np.pi, -3, 0), (-np.pi / 2, 0, -3)])
def test_shift_moves_the_content(angle, right, down):
    out = shift(picture("grey"), 3.0, angle)
    expected = np.roll(picture("grey"), (down, right), axis=(0, 1))
    expected[(slice(0, down) if down > 0 else slice(32 + down, 32)) if down else slice(0, 0)] = 0
    expected[:, (slice(0, right) if right > 0 else slice(40 + right, 40)) if right else slice(0, 0)] = 0
    assert np.array_equal(out, expected)


def test_a_shift_beyond_the_picture_leaves_nothing():
    assert not shift(picture("rgb"), 100.0, 0.0).any()
