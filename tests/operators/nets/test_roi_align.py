"""RoIAlign: levels by the formula, cells against a plain twin, gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.roi_align import align, roi_align, roi_levels  # noqa: E402


@pytest.mark.parametrize(("side", "level"), [(224, 3), (112, 2), (56, 1), (10, 1), (223, 2), (447, 3), (448, 4), (2000, 4)])
def test_levels(side, level):
    assert roi_levels(torch.tensor([[5.0, 7.0, 5.0 + side, 7.0 + side]]), 224).tolist() == [level]


def test_levels_go_by_the_area():
    assert roi_levels(torch.tensor([[0.0, 0, 448, 112], [0, 0, 112, 28]]), 224).tolist() == [3, 1]


def plain(features, boxes, stride, size):
    """Each cell the mean of 2 x 2 bilinear samples; features beyond the border repeat it."""
    channels, rows, columns = features.shape
    out = np.zeros((len(boxes), channels, size, size))
    for r, (x1, y1, x2, y2) in enumerate(boxes):
        for i in range(2 * size):
            for j in range(2 * size):
                v = np.clip((y1 + (i + 0.5) / (2 * size) * (y2 - y1)) / stride - 0.5, 0, rows - 1)
                u = np.clip((x1 + (j + 0.5) / (2 * size) * (x2 - x1)) / stride - 0.5, 0, columns - 1)
                top, left = min(int(v), rows - 2), min(int(u), columns - 2)
                dv, du = v - top, u - left
                corner = features[:, top : top + 2, left : left + 2]
                weights = np.array([[(1 - dv) * (1 - du), (1 - dv) * du], [dv * (1 - du), dv * du]])
                out[r, :, i // 2, j // 2] += (corner * weights).sum((1, 2)) / 4
    return out


def test_cells_are_those_of_the_plain_twin():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(3, 6, 9)).astype(np.float32)
    boxes = np.array([[0, 0, 36, 24], [3, 2, 7, 9.5], [20, 10, 36, 24], [11, 11, 11.5, 11.2]], np.float32)
    got = roi_align(torch.from_numpy(features), torch.from_numpy(boxes), 4, 3)
    np.testing.assert_allclose(got.numpy(), plain(features, boxes, 4, 3), atol=1e-5)


def test_every_region_from_its_own_map_and_picture():
    maps = [torch.full((2, 1, 32 >> k, 64 >> k), float(k + 1)) for k in range(4)]
    for m in maps:
        m[1] += 10
    boxes = [torch.tensor([[0.0, 0, 56, 56], [0, 0, 224, 112]]), torch.tensor([[0.0, 0, 10, 10], [0, 0, 256, 256]])]
    cells = align(maps, boxes, 2, 224)
    assert cells.shape == (4, 1, 2, 2)
    assert cells[:, 0, 0, 0].tolist() == [1, 2, 11, 13]


def test_no_region():
    assert align([torch.zeros(1, 5, 4, 4)], [torch.zeros(0, 4)], 7, 224).shape == (0, 5, 7, 7)
    assert roi_align(torch.zeros(5, 4, 4), torch.zeros(0, 4), 4, 7).shape == (0, 5, 7, 7)


def test_gradients_reach_the_features_and_not_the_boxes():
    features = torch.randn(1, 2, 4, 4, requires_grad=True)
    align([features], [torch.tensor([[0.0, 0, 8, 8]])], 2, 224).sum().backward()
    assert features.grad.sum() == pytest.approx(2 * 4, rel=1e-5)
