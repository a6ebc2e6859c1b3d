import numpy as np
import pytest

from operators.kernels.active import list_tiles
from operators.kernels.winograd import WEIGHT_TRANSFORM, from_products, to_products

B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)


def convolved(field, weight, bias):
    """field (R + 2, C + 2, F), weight (3, 3, F, N) -> relu, (R, C, N), float64"""
    rows, columns = field.shape[0] - 2, field.shape[1] - 2
    out = np.zeros((rows, columns, weight.shape[3])) + bias
    for i in range(3):
        for j in range(3):
            out += field[i : i + rows, j : j + columns].astype(np.float64) @ weight[i, j]
    return np.maximum(out, 0)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(4, 4), (8, 12), (5, 7)])
def test_it_is_a_convolution_at_active_sites(shape, share):
    random = np.random.default_rng(1)
    (rows, columns), inner = shape, [-(-n // 4) * 4 for n in shape]
    field = np.zeros((inner[0] + 2, inner[1] + 2, 5), np.float32)
    field[1 : rows + 1, 1 : columns + 1] = random.normal(size=(rows, columns, 5))
    weight, bias = random.normal(size=(3, 3, 5, 3)), random.normal(size=3).astype(np.float32)
    active = np.zeros(field.shape[:2], np.uint8)
    active[1 : rows + 1, 1 : columns + 1] = random.random(shape) < share
    tiles = np.empty(active.size, np.int32)
    tiles = tiles[: list_tiles(active, tiles)]

    seen = np.empty((36, len(tiles), 5), np.float32)
    to_products(field, tiles, np.empty((6, 30), np.float32), seen)
    for k, tile in enumerate(tiles):
        r, c = 4 * (tile // (inner[1] // 4)), 4 * (tile % (inner[1] // 4))
        expected = np.einsum("ia,abc,jb->ijc", B, field[r : r + 6, c : c + 6], B)
        np.testing.assert_allclose(seen[:, k].reshape(6, 6, 5), expected, atol=1e-4)

    domain = np.einsum("ia,abcn,jb->ijcn", WEIGHT_TRANSFORM, weight, WEIGHT_TRANSFORM).reshape(36, 5, 3).astype(np.float32)
    out = np.full((inner[0] + 2, inner[1] + 2, 3), 7, np.float32)
    from_products(np.matmul(seen, domain), bias, tiles, active, np.empty((28, 3), np.float32), out)
    expected = convolved(field, weight, bias)
    there = active[1:-1, 1:-1] == 1
    np.testing.assert_allclose(out[1:-1, 1:-1][there], expected[there], atol=1e-4)
    assert (out[active == 0] == 7).all(), "other sites are not written"
