"""Residuals of the second stage agree with boxes that are decoded and encoded one by one."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.detect.anchors import MAX_LOG_SIZE, decode, encode  # noqa: E402
from operators.nets.pointpillars import Heads  # noqa: E402
from operators.train.tanet.stages import against_anchors, against_coarse, final  # noqa: E402


def case(n, seed=0, large=False):
    random = np.random.default_rng(seed)
    anchors = np.column_stack([random.uniform(-40, 40, (n, 3)), random.uniform(0.5, 5, (n, 3)), random.choice([0, np.pi / 2], n)])
    residuals, coarse = (random.normal(0, 0.4, (n, 7)) for _ in range(2))
    if large:
        coarse[:, 3:6] *= 30
    return anchors, residuals, coarse


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def coarse_boxes(coarse, anchors):
    """As the first stage finds them, without the half turn: the yaw is taken as it is."""
    boxes = decode(coarse, np.zeros(len(coarse), np.int64), anchors).astype(np.float64)
    boxes[:, 6] = coarse[:, 6] + anchors[:, 6]
    return boxes


@pytest.mark.parametrize(("n", "large"), [(0, False), (1, False), (200, False), (200, True)])
def test_against_coarse_is_encode_of_decode(n, large):
    anchors, residuals, coarse = case(n, large=large)
    truth = coarse_boxes(residuals, anchors)
    got = against_coarse(*tensors(residuals, coarse, anchors[:, 3:5])).numpy()
    limited = np.clip(coarse[:, 3:6], -MAX_LOG_SIZE, MAX_LOG_SIZE)
    before = coarse_boxes(coarse, anchors)
    np.testing.assert_allclose(got, encode(truth, before), rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(got[:, 3:6], residuals[:, 3:6] - limited, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 100])
def test_there_and_back(n):
    anchors, residuals, coarse = tensors(*case(n, seed=1))
    sizes = anchors[:, 3:5]
    back = against_anchors(against_coarse(residuals, coarse, sizes), coarse, sizes)
    torch.testing.assert_close(back, residuals)


def test_no_change_by_the_second_stage_is_the_first():
    anchors, _, coarse = tensors(*case(20, seed=2))
    torch.testing.assert_close(against_anchors(torch.zeros_like(coarse), coarse, anchors[:, 3:5]), coarse)


def test_final():
    anchors, refine, coarse = tensors(*case(6, seed=3))
    logits, turns = torch.randn(1, 6, 1), torch.randn(1, 6, 2)
    first = Heads(logits, coarse[None].float(), turns)
    assert final(first, None, anchors[:, 3:5].float()) is first
    second = Heads(logits + 1, refine[None].float(), turns + 1)
    made = final(first, second, anchors[:, 3:5].float())
    torch.testing.assert_close(made.class_logits, logits + 1)
    torch.testing.assert_close(made.direction_logits, turns + 1)
    torch.testing.assert_close(made.box_residuals[0], against_anchors(refine, coarse, anchors[:, 3:5]).float())
