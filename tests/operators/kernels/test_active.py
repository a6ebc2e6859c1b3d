import numpy as np
import pytest

from operators.kernels.active import list_sites, list_tiles, reach, restore


def padded(marks):
    """(R, C) -> active of a map: border, rows and columns rounded up to multiples of 4"""
    out = np.zeros([-(-n // 4) * 4 + 2 for n in marks.shape], np.uint8)
    out[1 : marks.shape[0] + 1, 1 : marks.shape[1] + 1] = marks
    return out


def naive_reach(marks, stride):
    wide = np.pad(marks, 1)
    rows, columns = marks.shape[0] // stride, marks.shape[1] // stride
    out = np.zeros((rows, columns), np.uint8)
    for r in range(rows):
        for c in range(columns):
            out[r, c] = wide[r * stride : r * stride + 3, c * stride : c * stride + 3].any()
    return out


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("shape", [(4, 4), (8, 12), (20, 8)])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_sites_that_see_an_active_one(shape, stride, share):
    marks = (np.random.default_rng(3).random(shape) < share).astype(np.uint8)
    expected = naive_reach(marks, stride)
    reached = padded(np.ones_like(expected))  # of the frame before
    assert reach(padded(marks), stride, expected.shape, reached) == expected.sum()
    np.testing.assert_array_equal(reached, padded(expected))


@pytest.mark.parametrize("shape", [(1, 1), (4, 6), (5, 7)])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_lists_of_sites_and_tiles(shape, share):
    marks = (np.random.default_rng(4).random(shape) < share).astype(np.uint8)
    active = padded(marks)
    inner = active[1:-1, 1:-1]
    sites, tiles = np.empty(inner.size + 1, np.int32), np.empty(inner.size // 16 + 1, np.int32)
    np.testing.assert_array_equal(sites[: list_sites(active, sites)], np.flatnonzero(inner))
    blocks = inner.reshape(inner.shape[0] // 4, 4, inner.shape[1] // 4, 4).any((1, 3))
    np.testing.assert_array_equal(tiles[: list_tiles(active, tiles)], np.flatnonzero(blocks))


def test_sites_that_are_no_longer_active_become_those_of_an_empty_scene():
    random = np.random.default_rng(5)
    before, active = (padded((random.random((6, 5)) < 0.4).astype(np.uint8)) for _ in range(2))
    empty, field = (random.random((*active.shape, 3)).astype(np.float32) for _ in range(2))
    expected = np.where(((before == 1) & (active == 0))[..., None], empty, field)
    restore(before, active, empty, field)
    np.testing.assert_array_equal(field, expected)
