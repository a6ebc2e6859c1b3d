import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from operators.lidar.grouping import grid_size
from operators.lidar.zones import split_range

RANGE_M = (0.0, -39.68, -3.0, 69.12, 39.68, 1.0)


@pytest.mark.parametrize(
    ("cell_m", "x1", "share", "near", "far"),
    [
        (0.16, 69.12, 0.5, 216, 216),
        (0.16, 69.12, 0.33, 144, 288),
        (0.16, 69.12, 0.24, 104, 328),
        (0.32, 69.12, 0.5, 112, 104),  # 108 is not divisible by 8
        (0.32, 69.12, 0.33, 72, 144),
        (0.24, 71.04, 0.5, 152, 144),
        (0.28, 71.68, 0.24, 64, 192),
    ],
)
def test_cells_of_the_zones(cell_m, x1, share, near, far):
    whole = (0.0, -39.68, -3.0, x1, 39.68, 1.0)
    zones = split_range(whole, (cell_m, cell_m), share)
    assert [grid_size((cell_m, cell_m), zone)[1] for zone in zones] == [near, far]
    assert zones.near[3] == zones.far[0] and (zones.near[0], zones.far[3]) == (0.0, x1)
    assert zones.near[1:3] == zones.far[1:3] == whole[1:3] and zones.near[4:] == zones.far[4:] == whole[4:]


@given(
    st.integers(2, 80), st.sampled_from([0.1, 0.16, 0.2, 0.24, 0.28, 0.32]), st.floats(0.01, 0.99), st.sampled_from([4, 8, 16])
)
def test_near_and_far_are_the_whole(groups, cell, share, multiple):
    whole = (-4.0, 0.0, 0.0, -4.0 + groups * multiple * cell, 8.0, 1.0)
    cells = groups * multiple
    if not 0.5 <= share * groups < groups - 0.5:
        with pytest.raises(ValueError, match=r"^share: needs "):
            split_range(whole, (cell, cell), share, multiple)
        return
    zones = split_range(whole, (cell, cell), share, multiple)
    near, far = (grid_size((cell, cell), zone)[1] for zone in zones)
    assert near + far == cells and near % multiple == far % multiple == 0 < min(near, far)
    assert abs(near - share * cells) <= multiple / 2


@pytest.mark.parametrize("share", [0.5, 0.33, 0.24])
@pytest.mark.parametrize(("cell_m", "x1"), [(0.16, 69.12), (0.32, 69.12), (0.24, 71.04), (0.28, 71.68)])
def test_no_point_at_the_border_is_in_both_zones_and_one_float32_at_most_in_neither(cell_m, x1, share):
    zones = split_range((0.0, -1.12, -3.0, x1, 1.12, 1.0), (cell_m, 1.12), share)
    xs = [np.float32(zones.near[3])]
    for _ in range(8):
        xs = [np.nextafter(xs[0], np.float32(0)), *xs, np.nextafter(xs[-1], np.float32(99))]
    points = np.zeros((len(xs), 4), np.float32)
    points[:, 0] = xs
    near, far = (sum(map(len, naive.pillars_of(points, zone, (cell_m, 1.12))[0].values())) for zone in zones)
    assert near in (7, 8) and far == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0.16, 0.16), 0.009), "share: needs 8 or more of 432 cells in each zone, got 0.009: 0 near"),
        (((0.16, 0.16), 1.0), "share: needs 8 or more of 432 cells in each zone, got 1: 432 near"),
        (((0.64, 0.64), 0.5), "range_m: needs a multiple of 8 cells along x, got 108 from 0.0 to 69.12 in cells of 0.64 m"),
    ],
)
def test_splits_that_are_impossible(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        split_range(RANGE_M, *arguments)
