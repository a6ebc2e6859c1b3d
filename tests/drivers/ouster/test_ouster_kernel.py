import numpy as np
import pytest

from drivers.ouster.kernel import cloud


def naive(ranges, strengths, order, times_s, direction, offset, strongest, most):
    rows = []
    for column in order:
        for row in range(ranges.shape[2]):
            for k in range(len(ranges)):
                if ranges[k, column, row]:
                    xyz = float(ranges[k, column, row]) * direction[column, row] + offset[column, row]
                    rows.append((*xyz, min(strengths[k, column, row] / strongest, 1.0), times_s[column], row))
    total = len(rows)
    if total > most:
        rows = [row for i, row in enumerate(rows) if (i + 1) * most // total > i * most // total]
    return np.array(rows, np.float64).reshape(-1, 6)


@pytest.mark.parametrize("returns", [1, 2])
@pytest.mark.parametrize("most", [10_000, 200, 1])
@pytest.mark.parametrize("columns", [0, 1, 24])
def test_kernel_is_its_naive_twin(returns, most, columns):
    draw = np.random.default_rng(columns)
    ranges = draw.integers(1, 200_000, (returns, 32, 16), np.uint32)
    ranges[draw.random(ranges.shape) < 0.4] = 0
    strengths = draw.integers(0, 300, ranges.shape, np.uint16)
    direction, offset = draw.normal(0, 1e-3, (32, 16, 3)), draw.normal(0, 0.02, (32, 16, 3))
    order, times_s = draw.permutation(32)[:columns], draw.uniform(-0.1, 0, 32).astype(np.float32)
    total = int(np.count_nonzero(ranges[:, order]))
    num = min(total, most)
    points, times, rings = np.empty((num, 4), np.float32), np.empty(num, np.float32), np.empty(num, np.uint8)
    cloud(ranges, strengths, order, times_s, direction, offset, 255.0, total, points, times, rings)
    expected = naive(ranges, strengths, order, times_s, direction, offset, 255.0, most)
    np.testing.assert_allclose(np.column_stack([points, times, rings]), expected, rtol=1e-6, atol=1e-7)
