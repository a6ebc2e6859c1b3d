"""Losses of the heads: focal, smooth-L1 and direction.

Source: Lang et al. 2019, eq. (1)-(4): L = (2 L_box + 1 L_class + 0.2 L_direction) / number of positive anchors.
All losses are float32, for every precision of the net. Without positive anchors the divisor is 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

ALPHA, GAMMA = 0.25, 2.0
SIGMA = 3.0
BOX_WEIGHT, CLASS_WEIGHT, DIRECTION_WEIGHT = 2.0, 1.0, 0.2


class Losses(NamedTuple):
    """Scalars, weighted and divided: total is the sum of the others."""

    total: Tensor
    cls: Tensor
    box: Tensor
    direction: Tensor


def detection_loss(
    class_logits: Tensor,
    box_residuals: Tensor,
    direction_logits: Tensor,
    labels: Tensor,
    at: Tensor,
    residuals: Tensor,
    bins: Tensor,
) -> Losses:
    """Heads (B, A, C), (B, A, 7), (B, A, 2); labels (B, A) int8; of the P positive anchors: index at (P,) into B * A,
    residuals (P, 7), bins (P,)."""
    positives = max(len(at), 1)
    cls = focal_loss(class_logits.float(), labels) * (CLASS_WEIGHT / positives)
    box = box_loss(box_residuals.flatten(0, 1)[at].float(), residuals) * (BOX_WEIGHT / positives)
    logits = direction_logits.flatten(0, 1)[at].float()
    direction = functional.cross_entropy(logits, bins, reduction="sum") * (DIRECTION_WEIGHT / positives)
    return Losses(cls + box + direction, cls, box, direction)


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum of -alpha_t (1 - p_t)^gamma log p_t over all classes of all anchors that are not ignored.    Lin et al. 2017, eq. (5)

    logits (B, A, C) float32; labels (B, A): class + 1, 0 negative, -1 ignored
    """
    return _Focal.apply(logits, labels)


class _Focal(torch.autograd.Function):
    """Computes its own derivative: autograd would keep a dozen arrays as large as the logits.

    u = -logit where the target is 1, else logit; q = sigmoid(u) = 1 - p_t; L = alpha_t q^2 softplus(u);
    dL/du = alpha_t q^2 (2 (1 - q) softplus(u) + q).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        target = labels[..., None] == torch.arange(1, logits.shape[-1] + 1, device=labels.device, dtype=labels.dtype)
        u = torch.where(target, -logits, logits)
        q, entropy = torch.sigmoid(u), functional.softplus(u)
        weight = torch.where(target, ALPHA, 1 - ALPHA) * (labels >= 0)[..., None] * q**GAMMA
        slope = weight * (GAMMA * (1 - q) * entropy + q)
        ctx.save_for_backward(torch.where(target, -slope, slope))
        return (weight * entropy).sum()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * above[0], None


def box_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Sum of smooth-L1 over (P, 7); for the yaw, of the sine of the difference: 0 at half a turn, too (SECOND, sec. 3.3)."""
    error = predicted - wanted
    error = torch.cat([error[:, :6], torch.sin(error[:, 6:])], 1)
    return functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="sum", beta=1 / SIGMA**2)
