import numpy as np
import pytest

from operators.score.kitti_rows import Rows
from studies.late_association import agreement, lines, main


def rows(*boxes):
    """(frame, id, x) each"""
    n = len(boxes)
    table = np.array(boxes, np.float64).reshape(-1, 3)
    whole = [table[:, 0].astype(int), table[:, 1].astype(int), *[np.zeros(n, int)] * 3]
    boxes2d = np.stack([table[:, 2], np.zeros(n), table[:, 2] + 10, np.full(n, 10.0)], 1)
    return Rows(None, *whole, boxes2d, np.zeros((n, 7)), np.zeros(n), np.arange(n))


def test_agreement_counted_by_hand():
    """Object 1 in six frames, in four of them under both with one id; object 2 under the LiDAR alone."""
    truth = rows(*[(f, 1, 0) for f in range(6)], (0, 2, 50))
    lidar = rows(*[(f, 7, 1) for f in range(6)], (0, 8, 50))
    camera = rows((0, 9, 0), *[(f, 7, 0) for f in range(1, 5)], (5, 7, 90))
    assert agreement(truth, lidar, camera) == (5, 4, 1, 1)
    assert agreement(truth, lidar, rows()) == (0, 0, 0, 0)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_object_one_id(shared_data):
    found = main(shared_data / "kitti_tracking")
    assert len(lines(found)) == 8
    for cls, of in found.items():
        assert of["same"] >= 0.985 and of["one id"] >= 0.985, (cls, of)
        for stream in ("lidar", "camera"):
            before, after = of[f"{stream} IDS"]
            assert after <= before, (cls, stream, of)
