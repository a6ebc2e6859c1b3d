import numpy as np
import pytest

from operators.geometry.boxes3d import velo_to_camera
from operators.streams import CLASSES, DONT_CARE
from operators.write.kitti import lines


def arrays(*rows, labels=None):
    boxes3d = np.array(rows, np.float32).reshape(-1, 7)
    labels = np.zeros(len(boxes3d), np.int32) if labels is None else np.array(labels, np.int32)
    return boxes3d, np.linspace(0, 1, len(boxes3d), dtype=np.float32), labels


@pytest.mark.parametrize("only_visible", [True, False])
def test_no_boxes_no_lines(straight, only_visible):
    rows, text = lines(*arrays(), straight, only_visible)
    assert rows.tolist() == [] and text == []


def test_one_line_by_hand(straight):
    """A car 10 m ahead, 1 m left, its centre at the camera's height, driving away: alpha = ry - atan2(-1, 10)"""
    rows, text = lines(*arrays((10, 1, 0, 4, 2, 1.5, 0)), straight, True)
    assert rows.tolist() == [0]
    assert text == [
        "Car -1 -1 -1.471128 75.000000 40.625000 100.000000 59.375000 "
        "1.500000 2.000000 4.000000 -1.000000 0.750000 10.000000 -1.570796 0.000000"
    ]


def test_many_lines_read_back_are_the_boxes(calibration):
    rng = np.random.default_rng(0)
    boxes3d, scores, labels = arrays(*rng.uniform([5, -9, -2, 1, 1, 1, -3.1], [60, 9, 0, 6, 3, 2, 3.1], (50, 7)))
    labels[:] = np.arange(50) % len(CLASSES)
    _, text = lines(boxes3d, scores, labels, calibration, False)
    fields = [line.split() for line in text]
    assert {len(f) for f in fields} == {16}
    numbers = np.array([[float(v) for v in f[1:]] for f in fields])
    np.testing.assert_allclose(numbers[:, 7:14], velo_to_camera(boxes3d, calibration.T_cam_velo), atol=1e-6)
    np.testing.assert_allclose(numbers[:, 14], scores, atol=1e-6)
    assert [f[0] for f in fields] == [CLASSES[label] for label in labels]
    width, height = calibration.image_size
    assert (numbers[:, 3:5] >= 0).all() and (numbers[:, 5] <= width - 1).all() and (numbers[:, 6] <= height - 1).all()
    assert (numbers[:, 3] <= numbers[:, 5]).all() and (numbers[:, 4] <= numbers[:, 6]).all()


def test_out_of_the_picture(straight):
    boxes = arrays((-10, 0, 0, 4, 2, 1.5, 0), (10, 0, 0, 4, 2, 1.5, 0), (10, 60, 0, 4, 2, 1.5, 0))
    assert lines(*boxes, straight, True)[0].tolist() == [1]
    rows, text = lines(*boxes, straight, False)
    assert rows.tolist() == [0, 1, 2] and text[0].split()[4:8] == ["0.000000"] * 4


def test_a_region_nobody_labelled(straight):
    assert lines(*arrays((10, 0, 0, 4, 2, 1.5, 0), labels=[DONT_CARE]), straight, True)[1][0].startswith("DontCare ")
