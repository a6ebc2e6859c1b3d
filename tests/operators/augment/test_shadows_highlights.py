"""RSH against the acceptance list of D2: identity, partition, factors, corners, seeds, sizes."""

import re

import numpy as np
import pytest

from operators.augment.seeded import rng_of
from operators.augment.shadows_highlights import (
    Drawn,
    ShadowsHighlights,
    ShadowsHighlightsConfig,
    apply,
    draw,
    polygon_mask,
    scaled,
    shadows_highlights,
)
from pipeline.testing import header, run_operator

SIZES = [(0, 0), (1, 1), (7, 30), (24, 32)]
ALWAYS = ShadowsHighlightsConfig(p=1.0)
PATCH = ShadowsHighlightsConfig(p=1.0, mode="patch")


def picture(size=(24, 32), channels=(3,), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (*size, *channels), dtype, endpoint=True)


@pytest.mark.parametrize("mode", ["image", "patch"])
def test_p_0_is_the_identity(mode):
    image = picture()
    assert shadows_highlights(image, ShadowsHighlightsConfig(p=0.0, mode=mode), rng_of(1)) is image


def test_p_is_the_share_of_changed_pictures():
    rng = rng_of(0)
    changed = sum(draw(ShadowsHighlightsConfig(p=0.3), (10, 10), rng) is not None for _ in range(2000))
    assert 0.26 < changed / 2000 < 0.34


@pytest.mark.parametrize("seed", range(20))
def test_the_corners_are_the_four_points_of_the_random_heights(seed):
    height, width = 480, 640
    config = ShadowsHighlightsConfig(
        p=1.0, left_upper=(0.1, 0.2), left_lower=(0.3, 0.4), right_upper=(0.5, 0.6), right_lower=(0.2, 0.3)
    )
    drawn = draw(config, (height, width), rng_of(seed))
    tl, tr, br, bl = drawn.corners
    assert tl[0] == bl[0] == 0 and tr[0] == br[0] == width
    assert 0.1 <= tl[1] / height <= 0.2 and 0.3 <= (bl[1] - tl[1]) / height <= 0.4
    assert 0.5 <= tr[1] / height <= 0.6 and 0.2 <= (br[1] - tr[1]) / height <= 0.3
    assert 0.01 <= drawn.inside <= 0.5 and 1.0 <= drawn.outside <= 2.0


@pytest.mark.parametrize("size", SIZES[1:])
def test_the_mask_is_the_polygon_of_its_corners(size):
    """By the cross products of every pixel centre with the four sides."""
    corners = draw(ALWAYS, size, rng_of(3)).corners
    mask = polygon_mask(corners, size)
    for row, column in np.ndindex(size):
        centre = np.array([column + 0.5, row + 0.5])
        crosses = []
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            (dx, dy), (px, py) = b - a, centre - a
            crosses.append(dx * py - dy * px)
        assert mask[row, column] == all(c >= 0 for c in crosses)


@pytest.mark.parametrize("config", [ALWAYS, PATCH], ids=["image", "patch"])
@pytest.mark.parametrize("channels", [(3,), ()], ids=["rgb", "grey"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_inside_is_scaled_by_one_factor_outside_by_the_other_both_clipped(config, channels, dtype):
    image = picture(channels=channels, dtype=dtype)
    drawn = draw(config, image.shape[:2], rng_of(5))
    out = apply(image, drawn)
    most = np.iinfo(dtype).max
    inside, outside = (np.minimum(np.rint(image * factor), most) for factor in (drawn.inside, drawn.outside))
    mask = polygon_mask(drawn.corners, image.shape[:2])
    assert 0 < mask.sum() < mask.size  # the two masks, this one and its inverse, partition the picture
    assert np.array_equal(out[mask], inside[mask]) and np.array_equal(out[~mask], outside[~mask])
    assert out.shape == image.shape and out.dtype == dtype


def test_brightness_is_rounded_and_clipped():
    assert scaled(np.array([0, 1, 3, 200, 255], np.uint8), 1.5).tolist() == [0, 2, 4, 255, 255]
    assert scaled(np.array([0, 40_000], np.uint16), 2.0).tolist() == [0, 65_535]


def test_a_patch_lies_in_the_picture_and_has_the_sizes_asked_for():
    for seed in range(200):
        drawn = draw(PATCH, (60, 80), rng_of(seed))
        (x1, y1), (x2, y2) = drawn.corners[0], drawn.corners[2]
        assert 0 <= x1 < x2 <= 80 and 0 <= y1 < y2 <= 60
        assert polygon_mask(drawn.corners, (60, 80)).sum() == (x2 - x1) * (y2 - y1)
        assert 0.01 < (x2 - x1) * (y2 - y1) / 4800 < 0.45
        assert drawn.outside == 1.0 and (0.01 <= drawn.inside <= 0.5 or 1.0 <= drawn.inside <= 2.0)


@pytest.mark.parametrize("config", [ALWAYS, PATCH], ids=["image", "patch"])
@pytest.mark.parametrize("size", SIZES)
def test_the_size_stays_and_a_seed_gives_one_result(config, size):
    image = picture(size)
    outs = [shadows_highlights(image, config, rng_of(seed, "0000", 4)) for seed in (1, 1, 2)]
    assert all(out.shape == image.shape for out in outs)
    assert np.array_equal(outs[0], outs[1])
    assert size != (24, 32) or not np.array_equal(outs[0], outs[2])


def test_a_polygon_beyond_the_lower_edge_is_cut_there():
    drawn = Drawn(np.array([(0, 2), (4, 2), (4, 9), (0, 9)], float), 0.0, 1.0)
    assert np.flatnonzero(apply(np.full((4, 4), 7, np.uint8), drawn).any(axis=1)).tolist() == [0, 1]


def test_the_operator_draws_by_sequence_and_frame():
    images = [{"image": picture()}] * 3
    headers = [header(4, "0000/000004"), header(4, "0000/000004"), header(4, "0001/000004")]
    first, again, other = (o["image"] for o in run_operator(ShadowsHighlights, images, {"p": 1.0, "seed": 3}, headers=headers))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(first, shadows_highlights(picture(), ALWAYS, rng_of(3, "0000", 4)))
    (grey,) = run_operator(ShadowsHighlights, [{"grey": picture(channels=())}], {"p": 0.0})
    assert list(grey) == ["grey"] and np.array_equal(grey["grey"], picture(channels=()))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"p": 1.5}, "p: needs 0 .. 1, got 1.5"),
        ({"seed": -1}, "seed: needs 0 .. 4294967295, got -1"),
        ({"shadow": (0.5, 0.1)}, "shadow: needs low <= high within 0 .. 1, got [0.5, 0.1]"),
        ({"highlight": (0.5, 2.0)}, "highlight: needs low <= high within 1 .. 100, got [0.5, 2.0]"),
        ({"left_lower": (0.4, 1.6)}, "left_lower: needs low <= high within 0 .. 1, got [0.4, 1.6]"),
        ({"patch_area": (0.0, 1.0)}, "patch_area: needs low <= high within 1e-06 .. 1, got [0.0, 1.0]"),
    ],
)
def test_wrong_parameters(config, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        ShadowsHighlightsConfig(**config)
