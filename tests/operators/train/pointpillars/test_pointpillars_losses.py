"""Losses against numbers worked out by hand, derivatives against finite differences."""

import math

import pytest

torch = pytest.importorskip("torch")

from operators.train.pointpillars.losses import box_loss, detection_loss, focal_loss  # noqa: E402


def heads(anchors=4, classes=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    shapes = ((1, anchors, classes), (1, anchors, 7), (1, anchors, 2))
    return [torch.randn(shape, generator=random).requires_grad_() for shape in shapes]


def nothing():
    return torch.empty(0, dtype=torch.int64), torch.empty((0, 7)), torch.empty(0, dtype=torch.int64)


def test_without_objects_the_loss_is_finite_and_lowers_all_scores():
    cls, box, direction = heads()
    losses = detection_loss(cls, box, direction, torch.zeros((1, 4), dtype=torch.int8), *nothing())
    losses.total.backward()
    assert losses.box == 0 and losses.direction == 0 and losses.total == losses.cls > 0
    assert (cls.grad > 0).all() and not box.grad.any() and not direction.grad.any()


def test_all_ignored_is_zero():
    losses = detection_loss(*heads(), torch.full((1, 4), -1, dtype=torch.int8), *nothing())
    assert losses.total == 0


@pytest.mark.parametrize(
    ("logit", "label", "expected"),
    [
        (0.0, 0, 0.75 * 0.25 * math.log(2)),
        (0.0, 1, 0.25 * 0.25 * math.log(2)),
        (math.log(3), 1, 0.25 * 0.0625 * math.log(4 / 3)),  # p = 3/4
        (math.log(3), 0, 0.75 * 0.5625 * math.log(4)),
        (math.log(3), -1, 0.0),
        (80.0, 0, 0.75 * 80),  # no overflow
        (-80.0, 1, 0.25 * 80),
    ],
)
def test_focal_by_hand(logit, label, expected):
    got = focal_loss(torch.tensor([[[logit]]]), torch.tensor([[label]], dtype=torch.int8))
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_focal_counts_every_class_of_an_anchor():
    logits, label = torch.zeros(1, 1, 3), torch.tensor([[2]], dtype=torch.int8)
    assert focal_loss(logits, label).item() == pytest.approx((0.25 + 2 * 0.75) * 0.25 * math.log(2), rel=1e-5)


def test_focal_derivative():
    logits = torch.linspace(-4, 4, 18, dtype=torch.float64).reshape(1, 6, 3).requires_grad_()
    labels = torch.tensor([[0, 1, 2, 3, -1, 0]], dtype=torch.int8)
    assert torch.autograd.gradcheck(lambda x: 3 * focal_loss(x, labels), logits)


def test_box_by_hand():
    error = torch.tensor([[0.05, 1.0, 0, 0, 0, 0, math.pi + 0.05]])
    quadratic, linear = 0.5 * 9 * 0.05**2, 1.0 - 0.5 / 9
    turned = 0.5 * 9 * math.sin(0.05) ** 2  # half a turn has no box loss; the direction loss has it
    assert box_loss(error, torch.zeros(1, 7)).item() == pytest.approx(quadratic + linear + turned, rel=1e-4)


def test_weights_and_divisor():
    cls, box, direction = torch.zeros(2, 3, 1), torch.zeros(2, 3, 7), torch.zeros(2, 3, 2)
    labels = torch.tensor([[1, 0, -1], [0, 1, -1]], dtype=torch.int8)
    at = torch.tensor([0, 4])
    residuals = torch.zeros(2, 7)
    residuals[:, 0] = 1.0
    losses = detection_loss(cls, box, direction, labels, at, residuals, torch.tensor([0, 1]))
    assert losses.box.item() == pytest.approx(2 * (1 - 0.5 / 9), rel=1e-5)
    assert losses.direction.item() == pytest.approx(0.2 * math.log(2), rel=1e-5)
    assert losses.cls.item() == pytest.approx((2 * 0.25 + 2 * 0.75) * 0.25 * math.log(2) / 2, rel=1e-5)
    assert losses.total.item() == pytest.approx(sum(part.item() for part in losses[1:]), rel=1e-6)


def test_positives_are_read_from_their_own_scan():
    cls, box, direction = heads(anchors=3)
    box = torch.cat([box, box + 5]).detach().requires_grad_()
    arrays = torch.cat([cls, cls]), box, torch.cat([direction, direction])
    labels = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int8)
    detection_loss(*arrays, labels, torch.tensor([5]), torch.zeros(1, 7), torch.tensor([0])).total.backward()
    touched = box.grad.abs().sum(2) > 0
    assert touched.tolist() == [[False] * 3, [False, False, True]]
