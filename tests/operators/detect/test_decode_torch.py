import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.detect.decode import DecodeConfig, decode  # noqa: E402
from operators.detect.decode_torch import decode_on_device, iou_bev  # noqa: E402
from operators.kernels.iou import iou_bev as iou_bev_kernel  # noqa: E402

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def boxes(num, spread, seed=0):
    random = np.random.default_rng(seed)
    out = random.uniform((-spread, -spread, -1, 0.3, 0.3, 1, -4), (spread, spread, 1, 5, 3, 2, 4), (num, 7))
    out[::7, 6] = 0  # parallel sides
    return out


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("num", [0, 1, 60])
def test_overlaps_are_those_of_the_kernel(num, device):
    a, b = boxes(num, 3), boxes(num, 3, 1)
    b[:num:9] = a[:num:9]  # the same box
    expected = np.zeros((num, num))
    iou_bev_kernel(a, b, expected)
    found = iou_bev(*(torch.from_numpy(x).to(device) for x in (a, b))).cpu().numpy()
    np.testing.assert_allclose(found, np.diagonal(expected), atol=1e-9)
    assert num < 60 or (found > 0.2).sum() > 5


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("anchors", "config"),
    [
        (0, {}),
        (1, {"score_threshold": 0.5}),
        (400, {"score_threshold": 0.3, "nms_iou": 0.3}),
        (400, {"score_threshold": 0.1, "nms_iou": 0.0}),
        (400, {"score_threshold": 0.5, "max_candidates": 20, "max_boxes": 7}),
        (400, {"score_threshold": 0.999}),
    ],
)
def test_boxes_are_those_of_decode(anchors, config, device):
    random = np.random.default_rng(3)
    logits = random.normal(size=(anchors, 3)).astype(np.float32)
    logits[:5] = np.nan
    places = boxes(anchors, 12, 4).astype(np.float32)
    residuals = random.normal(0, 0.2, (anchors, 7)).astype(np.float32)
    directions = random.normal(size=(anchors, 2)).astype(np.float32)
    labels, decoding = np.array([0, -1, 3]), DecodeConfig(**config)
    expected = decode(logits, residuals, directions, places, labels, decoding)
    there = [torch.from_numpy(x).to(device) for x in (logits, residuals, directions, places)]
    found = decode_on_device(there[0], lambda at: (there[1][at], there[2][at]), there[3], labels.tolist(), decoding)
    assert [part.dtype for part in found] == [np.float32, np.float32, np.int32]
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_allclose(found.boxes3d, expected.boxes3d, atol=1e-4)
