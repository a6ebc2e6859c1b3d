"""Losses of both stages of TANet, and of a student against its teacher.

Source: Liu et al. 2020 (TANet), sec. 3.3; weights and matching as in its released code (happinesslz/TANet, voxelnet.py): anchors
are assigned once, for both stages; the truth of the second stage is encoded against the boxes of the first. These count as
constants: the second loss does not move them by its target.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from operators.nets.pointpillars import Heads
from operators.train.pointpillars.losses import (
    BOX_WEIGHT,
    CLASS_WEIGHT,
    DIRECTION_WEIGHT,
    Losses,
    box_loss,
    detection_loss,
)
from operators.train.pointpillars.trainer import BatchTargets
from operators.train.tanet.stages import against_coarse, final

SURE = 0.1
"""Boxes and directions of a teacher are learned at anchors to which it gives at least this score."""


class StageLosses(NamedTuple):
    """Scalars: total = hard * (cls + box + direction + refine) + soft * soft loss; the last two 0 where there is none."""

    total: Tensor
    cls: Tensor
    box: Tensor
    direction: Tensor
    refine: Tensor
    soft: Tensor


def hard_losses(
    coarse: Heads, refine: Heads | None, targets: BatchTargets, sizes: Tensor, weight: float
) -> tuple[Losses, Tensor]:
    """-> losses of the first stage, weighted loss of the second. sizes (A, 2): l w of the anchors."""
    first = detection_loss(*coarse, *targets)
    if refine is None:
        return first, torch.zeros_like(first.total)
    before = coarse.box_residuals.detach().flatten(0, 1)[targets.at].float()
    wanted = against_coarse(targets.residuals, before, sizes[targets.at % len(sizes)])
    return first, weight * detection_loss(*refine, *targets._replace(residuals=wanted)).total


def soft_losses(
    student: tuple[Heads, Heads | None], teacher: tuple[Heads, Heads | None], sizes: Tensor, weight: float, temperature: float
) -> Tensor:
    """Against a teacher: stage by stage; a student of one stage learns what the teacher finds in the end. 0 for equal outputs."""
    coarse, refine = student
    if refine is None:
        return soft_loss(coarse, final(*teacher, sizes), temperature)
    assert teacher[1] is not None
    return soft_loss(coarse, teacher[0], temperature) + weight * soft_loss(refine, teacher[1], temperature)


def soft_loss(student: Heads, teacher: Heads, temperature: float) -> Tensor:
    """One stage: divergence of class and direction probabilities at this temperature, smooth-L1 between boxes.

    Source: Hinton et al. 2015, sec. 2, for a sigmoid per class; T^2 keeps the size of the derivative. Classes at all anchors,
    the rest where the teacher is sure; all divided by the number of these anchors.
    """
    logits = teacher.class_logits.float()
    sure = logits.sigmoid().amax(-1) >= SURE  # (B, A)
    divisor = max(int(sure.sum()), 1)
    cls = binary_divergence(logits / temperature, student.class_logits.float() / temperature) * temperature**2
    box = box_loss(student.box_residuals.float()[sure], teacher.box_residuals.float()[sure])
    wanted, found = (functional.log_softmax(h.direction_logits.float()[sure] / temperature, -1) for h in (teacher, student))
    direction = functional.kl_div(found, wanted, reduction="sum", log_target=True) * temperature**2
    return (CLASS_WEIGHT * cls + BOX_WEIGHT * box + DIRECTION_WEIGHT * direction) / divisor


def binary_divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """Sum of KL(sigmoid(wanted) || sigmoid(found)) over logits of one shape."""
    p = wanted.sigmoid()
    yes = p * (functional.logsigmoid(wanted) - functional.logsigmoid(found))
    no = (1 - p) * (functional.logsigmoid(-wanted) - functional.logsigmoid(-found))
    return (yes + no).sum()
