import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.geometry.project import NEAR_M, boxes_to_image, cylinders_to_image
from operators.kernels import picture

P_CAM = np.array([[720.0, 0, 610, 45], [0, 720, 173, 0.2], [0, 0, 1, 0.003]])
T_CAM_VELO = np.array([[0.01, -1, 0, 0], [0.02, 0, -1, -0.08], [1, 0.01, 0.02, -0.27], [0, 0, 0, 1]])
SIZE = np.array([1242, 375])


def rectangles(boxes, roundness):
    boxes = np.array(boxes, np.float64).reshape(-1, 7)
    out, visible = np.empty((len(boxes), 4), np.float32), np.empty(len(boxes), bool)
    picture.rectangles(boxes, P_CAM @ T_CAM_VELO, *SIZE, np.full(len(boxes), roundness), out, visible)
    return out, visible


def test_none():
    assert [len(a) for a in rectangles([], 0.0)] == [0, 0]


def test_the_near_plane_is_that_of_the_geometry():
    assert picture._NEAR_M == NEAR_M


@pytest.mark.parametrize("roundness", [0.0, 0.9])
@given(st.lists(st.tuples(*[st.floats(-30, 30)] * 3, *[st.floats(0.1, 8)] * 3, st.floats(-3, 3)), min_size=1, max_size=4))
def test_as_the_geometry_says(roundness, rows):
    boxes2d, visible = rectangles(rows, roundness)
    camera = (P_CAM, T_CAM_VELO, SIZE)
    theirs = cylinders_to_image(np.array(rows), *camera, roundness) if roundness else boxes_to_image(np.array(rows), *camera)
    assert visible.tolist() == theirs[1].tolist()
    np.testing.assert_allclose(boxes2d[visible], theirs[0][visible], atol=2e-4)
    assert np.isnan(boxes2d[~visible]).all()
