"""Losses of EfficientPS and of the tracking head.      Source: Mohan and Valada 2021, Hurtado et al. 2020; report, C2, B3"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from operators.streams import VOID

HARDEST = 0.25
"""Share of the pixels that count in the semantic loss."""


def hard_pixel_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean cross entropy of the hardest quarter of each picture's pixels: eq. (1), (2), w_ij = 4 / (W H) there, else 0.

    logits (B, C, H, W), truth (B, H, W) int64; pixels without a class have a loss of 0.
    """
    each = functional.cross_entropy(logits, truth, ignore_index=VOID, reduction="none").flatten(1)
    return each.topk(max(int(HARDEST * each.shape[1]), 1), dim=1, sorted=False).values.mean()


def objectness_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """L_os: logits of the sampled anchors with and without an object, (P,), (N,)."""
    num = max(len(positive) + len(negative), 1)
    return -(functional.logsigmoid(positive).sum() + functional.logsigmoid(-negative).sum()) / num


def box_loss(offsets: Tensor, goals: Tensor, num: int) -> Tensor:
    """L_op, L_bbx: smooth L1 of the positive ones, (P, 4), (P, 4), over the number of all sampled ones."""
    return functional.smooth_l1_loss(offsets, goals, reduction="sum") / max(num, 1)


def class_loss(logits: Tensor, things: Tensor) -> Tensor:
    """L_cls: cross entropy of the sampled proposals, (K, things + 1), (K,); the last class is no object. 0 without any."""
    return functional.cross_entropy(logits, things, reduction="sum") / max(len(things), 1)


def mask_loss(logits: Tensor, truth: Tensor, counts: Tensor) -> Tensor:
    """L_mask: mean over the regions with an object of the mean binary cross entropy of their non-void pixels.

    logits (R, 28, 28) of each region's class, truth, counts (R, 28, 28) bool.
    """
    each = functional.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none") * counts
    return (each.sum((1, 2)) / counts.sum((1, 2)).clamp(min=1)).sum() / max(len(logits), 1)


def triplet_loss(embeddings: Tensor, things: Tensor, identities: Tensor, margin: float) -> Tensor:
    """L_track, batch-hard: mean over the segments of max(farthest of the same identity - nearest other of the class + margin, 0).

    embeddings (S, E) of the segments of t_w frames, things, identities (S,) int64. 0 for a segment whose class has no other
    identity, and without segments.
    """
    if len(embeddings) == 0:
        return embeddings.sum()
    squared = (embeddings[:, None] - embeddings[None]).square().sum(2)
    distance = squared.clamp(min=1e-12).sqrt()  # the root has no gradient at 0
    of_class, of_identity = things[:, None] == things[None], identities[:, None] == identities[None]
    farthest = distance.masked_fill(~(of_class & of_identity), 0).amax(1)
    nearest = distance.masked_fill(~of_class | of_identity, float("inf")).amin(1)
    return (farthest - nearest + margin).clamp(min=0).mean()
