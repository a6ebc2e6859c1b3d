"""Losses of segment.efficientps against plain twins and hand cases."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.streams import VOID  # noqa: E402
from operators.train.panoptic.losses import (  # noqa: E402
    box_loss,
    class_loss,
    hard_pixel_loss,
    mask_loss,
    objectness_loss,
    triplet_loss,
)


def test_semantic_loss_is_the_mean_of_the_hardest_quarter():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 5, 8, 12), torch.randint(5, (2, 8, 12))
    truth[0, :2] = VOID
    each = -logits.log_softmax(1).gather(1, truth.clamp(max=4)[:, None])[:, 0]
    each[truth == VOID] = 0
    quarters = [np.sort(picture.ravel())[-24:] for picture in each.numpy()]
    assert hard_pixel_loss(logits, truth).item() == pytest.approx(np.mean(quarters), rel=1e-5)
    weights = np.zeros(96)  # eq. (1): w = 4 / (W H) of the hardest quarter
    order = np.argsort(each[1].numpy().ravel())
    weights[order[-24:]] = 4 / 96
    assert hard_pixel_loss(logits[1:], truth[1:]).item() == pytest.approx((weights * each[1].numpy().ravel()).sum(), rel=1e-5)


def test_semantic_loss_of_a_picture_without_classes():
    assert hard_pixel_loss(torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), VOID)).item() == 0


def test_objectness_is_binary_cross_entropy():
    positive, negative = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.0, -4.0])
    p = [*(1 / (1 + np.exp(-positive.numpy()))), *(1 - 1 / (1 + np.exp(-negative.numpy())))]
    assert objectness_loss(positive, negative).item() == pytest.approx(-np.log(p).mean(), rel=1e-5)
    assert objectness_loss(positive[:0], negative[:0]).item() == 0


def test_box_loss_is_smooth_l1_over_all_sampled():
    offsets, goals = torch.tensor([[0.0, 0.5, 3, 0]]), torch.zeros(1, 4)
    assert box_loss(offsets, goals, 8).item() == pytest.approx((0.5 * 0.25 + 2.5) / 8)
    assert box_loss(offsets[:0], goals[:0], 0).item() == 0


def test_class_loss():
    logits = torch.tensor([[1.0, 0, 0], [0, 0, 2]])
    expected = [-1 + math.log(math.e + 2), -2 + math.log(math.e**2 + 2)]
    assert class_loss(logits, torch.tensor([0, 2])).item() == pytest.approx(np.mean(expected))
    assert class_loss(logits[:0], torch.zeros(0, dtype=torch.long)).item() == 0


def test_mask_loss_leaves_void_pixels_out():
    logits = torch.zeros(2, 28, 28)
    logits[0, 0] = 50.0
    truth, counts = torch.ones(2, 28, 28, dtype=torch.bool), torch.ones(2, 28, 28, dtype=torch.bool)
    assert mask_loss(logits, truth, counts).item() == pytest.approx(math.log(2) * (27 / 28 + 1) / 2, rel=1e-5)
    counts[0, 0], counts[1] = False, False  # the second region is void altogether
    assert mask_loss(logits, truth, counts).item() == pytest.approx(math.log(2) / 2, rel=1e-5)


# ---- triplets


def plain(embeddings, things, identities, margin):
    total = 0.0
    for s, a in enumerate(embeddings):
        same = [
            np.linalg.norm(a - e) for k, e in enumerate(embeddings) if (things[k], identities[k]) == (things[s], identities[s])
        ]
        other = [
            np.linalg.norm(a - e) for k, e in enumerate(embeddings) if things[k] == things[s] and identities[k] != identities[s]
        ]
        total += max(max(same) - min(other, default=np.inf) + margin, 0)
    return total / len(embeddings)


@pytest.mark.parametrize("seed", range(5))
def test_triplet_loss_is_brute_force(seed):
    rng = np.random.default_rng(seed)
    embeddings, things, identities = rng.normal(size=(14, 6)), rng.integers(3, size=14), rng.integers(4, size=14)
    got = triplet_loss(*(torch.from_numpy(a) for a in (embeddings, things, identities)), 0.7)
    assert got.item() == pytest.approx(plain(embeddings, things, identities, 0.7), rel=1e-5, abs=1e-5)


def test_triplet_loss_is_0_for_perfect_embeddings():
    embeddings = torch.tensor([[0.0, 0], [0, 0], [0.21, 0], [0.21, 0]], requires_grad=True)
    things, identities = torch.zeros(4, dtype=torch.long), torch.tensor([1, 1, 2, 2])
    loss = triplet_loss(embeddings, things, identities, 0.2)
    loss.backward()
    assert loss.item() == 0 and embeddings.grad.isfinite().all()
    assert triplet_loss(embeddings * 0.9, things, identities, 0.2).item() == pytest.approx(0.2 - 0.189, abs=1e-4)


def test_triplet_loss_ignores_pairs_of_different_classes():
    embeddings = torch.zeros(2, 3)
    assert triplet_loss(embeddings, torch.tensor([0, 1]), torch.tensor([1, 2]), 0.2).item() == 0
    assert triplet_loss(embeddings, torch.tensor([0, 0]), torch.tensor([1, 2]), 0.2).item() == pytest.approx(0.2, abs=1e-5)


def test_triplet_loss_without_segments():
    nothing = torch.zeros(0, dtype=torch.long)
    assert triplet_loss(torch.zeros(0, 4), nothing, nothing, 0.2).item() == 0
