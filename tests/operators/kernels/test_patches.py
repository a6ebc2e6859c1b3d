import numpy as np
import pytest

from operators.kernels.patches import add_parts, gather, gather_sites, rectify_rows, scatter_sites


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("num", [0, 1, 9])
def test_patches_of_sites(num, stride):
    random = np.random.default_rng(2)
    field = random.normal(size=(10, 14, 3)).astype(np.float32)
    rows, columns = 8 // stride, 12 // stride
    sites = random.choice(rows * columns, num, replace=False).astype(np.int32)
    out = np.empty((num, 27), np.float32)
    gather(field, sites, columns, stride, out)
    for site, patch in zip(sites, out, strict=True):
        r, c = site // columns * stride, site % columns * stride
        np.testing.assert_array_equal(patch, field[r : r + 3, c : c + 3].ravel())


@pytest.mark.parametrize("num", [0, 1, 9])
def test_sites_to_rows_and_back(num):
    random = np.random.default_rng(3)
    field = random.normal(size=(6, 8, 3)).astype(np.float32)
    sites = random.choice(24, num, replace=False).astype(np.int32)
    rows = np.empty((num, 3), np.float32)
    gather_sites(field, sites, rows)
    np.testing.assert_array_equal(rows, field[sites // 6 + 1, sites % 6 + 1])

    expected, bias = field.copy(), np.array([0.5, 0, -0.5], np.float32)
    expected[sites // 6 + 1, sites % 6 + 1] = np.maximum(rows + bias, 0)
    scatter_sites(rows, bias, sites, field)
    np.testing.assert_array_equal(field, expected)
    rectify_rows(rows, bias)
    np.testing.assert_array_equal(rows, expected[sites // 6 + 1, sites % 6 + 1])


@pytest.mark.parametrize("num", [0, 1, 4])
def test_the_difference_of_a_scene_goes_to_the_locations_of_its_sites(num):
    random = np.random.default_rng(4)
    empty, parts = (random.normal(size=(n, 2, 2, 5)).astype(np.float32) for n in (12, num))
    sites = random.choice(12, num, replace=False).astype(np.int32)
    total = random.normal(size=(6, 8, 5)).astype(np.float32)
    expected = total.copy()
    for part, site in zip(parts, sites, strict=True):
        r, c = 2 * (site // 4), 2 * (site % 4)
        expected[r : r + 2, c : c + 2] += part - empty[site]
    add_parts(parts, empty, sites, 4, total)
    np.testing.assert_allclose(total, expected, atol=1e-6)
