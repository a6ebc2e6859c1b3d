import numpy as np

from operators.geometry.extents import extents


def test_extents_are_those_of_a_walk_over_the_pixels():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (7, 3), (5, 9)):
        ids = rng.integers(0, 9, shape).astype(np.int32)
        areas, boxes = extents(ids, 12)
        for k in range(12):
            rows, columns = np.nonzero(ids == k)
            expected = [0] * 4 if not len(rows) else [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert areas[k] == len(rows) and boxes[k].tolist() == expected
    assert extents(np.zeros((0, 0), np.int32), 2)[0].tolist() == [0, 0]
