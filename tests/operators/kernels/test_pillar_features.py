import numpy as np
import pytest

from operators.kernels.pillar_features import add_taps, by_residue, pillar_features, rectify


@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize("num", [0, 1, 30])
def test_features_are_the_maximum_of_a_linear_layer(num, depth):
    random = np.random.default_rng(1)
    cell, first_centre = np.array([0.5, 0.25]), np.array([0.25, -7.875])
    cells = random.integers(0, (60, 120), (num, 2)).astype(np.int32)
    counts = random.integers(1, 5, num).astype(np.int32)
    pillars = random.normal(0, 20, (num, 4, 4)).astype(np.float32)
    of_point, of_pillar, bias, least = (random.normal(size=n).astype(np.float32) for n in ((4, 6), (5, 6), 6, 6))
    place = random.permutation(num)
    out = np.empty((num, 6), np.float32)
    pillar_features(pillars, counts, cells, first_centre, cell, of_point, of_pillar, bias, least, depth, place, out)
    for p in range(num):
        points = pillars[p, : counts[p]].astype(np.float64)
        centre = first_centre + cell * cells[p, ::-1]
        points[:, :2] -= centre
        value = (points @ of_point).max(0) + np.concatenate([centre, points[:, :3].mean(0)]) @ of_pillar + bias
        expected = np.maximum(value, np.maximum(least, 0) if counts[p] < depth else 0)
        np.testing.assert_allclose(out[place[p]], expected, atol=1e-3)

    packed, again = pillars[np.arange(4) < counts[:, None]].reshape(-1, 1, 4), np.empty_like(out)
    pillar_features(packed, counts, cells, first_centre, cell, of_point, of_pillar, bias, least, depth, place, again)
    np.testing.assert_array_equal(again, out)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("num", [0, 1, 40])
def test_sum_over_pillars_is_a_convolution_of_the_canvas(num, stride):
    random = np.random.default_rng(2)
    rows, columns = 12, 24
    at = random.choice(rows * columns, num, replace=False)
    at[:2] = [0, rows * columns - 1][: min(num, 2)]
    at = np.unique(at)
    cells = np.stack([at // columns, at % columns], 1).astype(np.int32)
    place, starts = np.empty(len(at), np.int64), np.empty(stride * stride + 1, np.int64)
    by_residue(cells, stride, place, starts)
    np.testing.assert_array_equal(np.sort(place), np.arange(len(at)))
    assert starts[0] == 0 and starts[-1] == len(at)

    features, weight = random.normal(size=(len(at), 3)).astype(np.float32), random.normal(size=(3, 3, 3, 5)).astype(np.float32)
    empty = random.normal(size=5).astype(np.float32)
    ordered = np.empty_like(features)
    ordered[place] = features
    size = rows // stride, columns // stride
    field = np.full((size[0] + 4, size[1] + 4, 5), 7, np.float32)
    active = np.zeros(field.shape[:2], np.uint8)
    for g in range(stride * stride):
        row, column = divmod(g, stride)
        taps = [(i, j) for i in range(3) for j in range(3) if (row + 1 - i) % stride == 0 and (column + 1 - j) % stride == 0]
        if taps:
            products = ordered[starts[g] : starts[g + 1]] @ np.concatenate([weight[i, j] for i, j in taps], 1)
            add_taps(products, cells, place, starts[g], np.array(taps), stride, size, empty, field, active)

    canvas, seen = np.zeros((rows + 4, columns + 4, 3)), np.zeros((rows + 4, columns + 4), bool)
    canvas[cells[:, 0] + 1, cells[:, 1] + 1], seen[cells[:, 0] + 1, cells[:, 1] + 1] = features, True
    for r in range(size[0]):
        for c in range(size[1]):
            window = slice(r * stride, r * stride + 3), slice(c * stride, c * stride + 3)
            expected = np.einsum("ijf,ijfn->n", canvas[window], weight) + empty
            assert active[r + 1, c + 1] == seen[window].any()
            np.testing.assert_allclose(field[r + 1, c + 1], expected if seen[window].any() else 7, atol=1e-4)
    assert not active[[0, -1, -2]].any() and not active[:, [0, -1, -2]].any()


def test_rectify_leaves_other_sites():
    field = np.array([[[-1, 2], [-3, 4]]], np.float32)
    rectify(np.array([[1, 0]], np.uint8), field)
    np.testing.assert_array_equal(field, [[[0, 2], [-3, 4]]])
