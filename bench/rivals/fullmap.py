"""EfficientPS's panoptic fusion word by word, in torch: every instance is a channel as large as the picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from operators.fuse.panoptic_fusion import Objects, Rules


class FullMaps(NamedTuple):
    """codes (H, W): 0 void, 1 + c stuff, 1 + C + i instance i; stack (S + K, H, W): stuff logits and fused ones."""

    codes: Tensor
    stack: Tensor


def fuse(logits: Tensor, is_thing: np.ndarray, objects: Objects, rules: Rules) -> FullMaps:
    """logits (C, H, W) float32"""
    (num, height, width), stuff = logits.shape, torch.from_numpy(np.flatnonzero(~is_thing))
    occupied = torch.zeros(height, width, dtype=torch.bool)
    fused, kept = [], []
    good = np.flatnonzero(objects.scores >= rules.score_threshold)
    for i in good[np.argsort(-objects.scores[good], kind="stable")].tolist():
        own, inside = _stretched(torch.from_numpy(objects.mask_logits[i]), objects.boxes[i].tolist(), height, width)
        own = own * rules.mask_scale
        mask = own > 0
        if not mask.any() or (mask & occupied).sum() > rules.max_overlap * mask.sum():
            continue
        occupied |= mask
        of_class = torch.where(inside, logits[int(objects.planes[i])], 0.0)
        both = (torch.sigmoid(own) + torch.sigmoid(of_class)) * (own + of_class)
        fused.append(torch.where(inside, both, -torch.inf))
        kept.append(i)
    semantic = logits.argmax(0)
    codes = torch.where(torch.from_numpy(is_thing)[semantic], 0, 1 + semantic)
    stack = torch.cat([logits[stuff], torch.stack(fused)]) if fused else logits[stuff]
    best = stack.argmax(0)
    codes = torch.where(best >= len(stuff), 1 + num + torch.tensor([0, *kept])[(best - len(stuff)).clamp(-1) + 1], codes)
    for c in stuff.tolist():
        if (codes == 1 + c).sum() < rules.min_stuff_px:
            codes[codes == 1 + c] = 0
    return FullMaps(codes, stack)


def _stretched(mask: Tensor, box: list[float], height: int, width: int) -> tuple[Tensor, Tensor]:
    """(S, S) -> (H, W), 0 outside of the box; and (H, W) bool: inside."""
    (x1, y1, x2, y2), size = box, len(mask)
    columns, rows = (torch.arange(side, dtype=torch.float64) for side in (width, height))
    inside = ((rows >= y1) & (rows <= y2))[:, None] & ((columns >= x1) & (columns <= x2))
    parts = []
    for at, low, high in ((rows, y1, y2), (columns, x1, x2)):
        place = ((at - low) / (high - low) * size - 0.5).clamp(0, size - 1)
        first = place.long()
        parts.append((first, (first + 1).clamp(max=size - 1), (place - first).float()))
    (i0, i1, v), (j0, j1, u) = parts
    upper = mask[i0][:, j0] * (1 - u) + mask[i0][:, j1] * u
    lower = mask[i1][:, j0] * (1 - u) + mask[i1][:, j1] * u
    return torch.where(inside, upper * (1 - v[:, None]) + lower * v[:, None], 0.0), inside


def margin(stack: Tensor) -> Tensor:
    """(N, H, W) -> the best minus the second best."""
    first, second = stack.topk(2, 0).values
    return first - second
