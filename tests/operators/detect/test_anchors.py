import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.detect.anchors import anchor_grid, decode, direction_bins, encode
from operators.nets.pointpillars_config import CAR, PointPillarsConfig

SMALL = PointPillarsConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), block_layers=(0,), block_channels=(8,), up_channels=(8,)
)
QUARTER, HALF = np.pi / 4, np.pi


def test_the_grid_by_hand():
    anchors = anchor_grid(SMALL)
    assert anchors.shape == (8 * 8 * 6, 7) == (SMALL.num_anchors, 7) and anchors.dtype == np.float32
    np.testing.assert_allclose(anchors[0], [1, -3.5, -1, 3.9, 1.6, 1.56, 0], rtol=1e-6)
    np.testing.assert_allclose(anchors[1, 6], np.pi / 2, rtol=1e-6)
    np.testing.assert_allclose(anchors[(2 * 8 + 5) * 6 + 3], [11, -1.5, 0.265, 0.8, 0.6, 1.73, np.pi / 2], rtol=1e-6)


def test_the_published_grid():
    anchors = anchor_grid(PointPillarsConfig(anchors=(CAR,)))
    assert anchors.shape == (248 * 216 * 2, 7)
    np.testing.assert_allclose(anchors[[0, -1], :2], [[0.16, -39.52], [68.96, 39.52]], atol=1e-5)


def test_other_yaws_and_places():
    config = dataclasses.replace(SMALL, anchor_yaws_rad=(0.5, -1.0), anchor_span_m=(-1.0, 0.0, 6.0, 14.0))
    anchors = anchor_grid(config).reshape(8, 8, 3, 2, 7)
    np.testing.assert_allclose(anchors[0, :, 0, 0, 0], np.linspace(-1, 6, 8), atol=1e-6)
    np.testing.assert_allclose(anchors[:, 0, 2, 1, 1], np.linspace(0, 14, 8), atol=1e-6)
    assert np.unique(anchors[..., 0, 6]).tolist() == [0.5] and np.unique(anchors[..., 1, 6]).tolist() == [-1.0]
    assert config.anchor_step_m == (1.0, 2.0) and SMALL.anchor_step_m == (2.0, 1.0)


@pytest.mark.parametrize(
    ("offset", "yaw", "bin"), [(HALF / 2, 0.0, 1), (HALF / 2, HALF, 0), (-HALF / 2, 0.0, 0), (-HALF / 2, HALF, 1)]
)
def test_directions_that_begin_elsewhere(offset, yaw, bin):
    assert direction_bins(np.array([yaw]), offset).tolist() == [bin]
    anchor = np.array([[0, 0, 0, 4, 2, 2, 0.1]])
    box = decode(np.array([[0, 0, 0, 0, 0, 0, yaw - 0.1 + HALF]]), [bin], anchor, offset)
    assert np.angle(np.exp(1j * (box[0, 6] - yaw))) == pytest.approx(0, abs=1e-6)


def test_none():
    none = np.empty((0, 7), np.float32)
    assert encode(none, none).shape == decode(none, np.empty(0, int), none).shape == (0, 7)
    assert direction_bins(np.empty(0)).shape == (0,)


def test_no_difference_is_the_anchor():
    anchors = anchor_grid(SMALL)
    boxes = decode(np.zeros_like(anchors), direction_bins(anchors[:, 6]), anchors)
    np.testing.assert_allclose(boxes, anchors, atol=1e-6)


def test_residuals_by_hand():
    anchor = np.array([[10, 5, -1, 4, 3, 2, 0]])
    box = np.array([[15, 0, 0, 8, 3, 1, 0.5]])
    expected = [[1, -1, 0.5, np.log(2), 0, -np.log(2), 0.5]]
    np.testing.assert_allclose(encode(box, anchor), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("yaw", "bin"),
    [
        (QUARTER, 0),
        (HALF, 0),
        (-HALF, 0),
        (5 * QUARTER - 1e-6, 0),
        (5 * QUARTER, 1),
        (0, 1),
        (-QUARTER, 1),
        (-3 * QUARTER - 1e-6, 0),
    ],
)
def test_direction_bins_by_hand(yaw, bin):
    assert direction_bins(np.array([yaw]))[0] == bin


def test_the_bin_restores_the_half_turn():
    """Residuals allow two headings half a turn apart; the bin decides."""
    anchor = np.array([[0, 0, 0, 4, 2, 2, 0]])
    for residual in (0.3, 0.3 - HALF, 0.3 + HALF):
        diff = np.array([[0, 0, 0, 0, 0, 0, residual]])
        assert decode(diff, [1], anchor)[0, 6] == pytest.approx(0.3, abs=1e-6)
        assert decode(diff, [0], anchor)[0, 6] == pytest.approx(0.3 - HALF, abs=1e-6)


def test_an_absurd_size_stays_finite():
    boxes = decode(np.full((1, 7), 1000.0), [0], np.array([[0, 0, 0, 4, 2, 2, 0]]))
    assert np.isfinite(boxes).all() and boxes[0, 3] == pytest.approx(4 * np.exp(4))


@given(st.data())
def test_there_and_back(data):
    spot, size, angle = st.floats(-50, 50, width=32), st.floats(0.25, 16, width=32), st.floats(-3.140625, 3.140625, width=32)
    box = np.array([data.draw(st.tuples(spot, spot, st.floats(-3, 3, width=32), size, size, size, angle))], np.float32)
    anchor = anchor_grid(SMALL)[[data.draw(st.integers(0, SMALL.num_anchors - 1))]]
    back = decode(encode(box, anchor), direction_bins(box[:, 6]), anchor)
    np.testing.assert_allclose(back[:, :3], box[:, :3], atol=1e-5)
    np.testing.assert_allclose(back[:, 3:6], box[:, 3:6], rtol=1e-6)
    border = abs(np.mod(float(box[0, 6]) - QUARTER + 1, HALF) - 1) < 1e-5  # at the border of two bins rounding decides
    turn = back[0, 6] - box[0, 6]
    assert abs(np.sin(turn) if border else np.mod(turn + 1, 2 * HALF) - 1) < 1e-5
    assert -HALF <= back[0, 6] < HALF
