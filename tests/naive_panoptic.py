"""C2.4 word by word: every instance a map of the whole picture, one channel each. Slow and plain."""

from typing import NamedTuple

import numpy as np


class Fused(NamedTuple):
    """codes (H, W): 0 void, 1 + c stuff, 1 + C + i instance i of the input; margin (H, W): how far the two best lie apart, the
    smaller of both argmaxes; kept: instances, best first."""

    codes: np.ndarray
    margin: np.ndarray
    kept: list[int]


def bilinear(cells, across, down):
    """cells (S, T), centres at whole numbers; across, down: places of the columns and rows -> (rows, columns)."""

    def parts(places, size):
        places = np.clip(places, 0, size - 1)
        first = places.astype(int)
        return first, np.minimum(first + 1, size - 1), places - first

    (i0, i1, v), (j0, j1, u) = parts(down, cells.shape[0]), parts(across, cells.shape[1])
    upper = cells[i0][:, j0] * (1 - u) + cells[i0][:, j1] * u
    lower = cells[i1][:, j0] * (1 - u) + cells[i1][:, j1] * u
    return upper * (1 - v)[:, None] + lower * v[:, None]


def stretched(mask, box, height, width):
    """Mask logits (S, S) -> (H, W), 0 outside of the box; and (H, W) bool: inside."""
    x1, y1, x2, y2 = (float(value) for value in box)
    columns, rows = np.arange(width), np.arange(height)
    inside = ((rows >= y1) & (rows <= y2))[:, None] & ((columns >= x1) & (columns <= x2))
    size = len(mask)
    place = [(at - low) / (high - low) * size - 0.5 if high > low else np.full(len(at), size / 2 - 0.5)
             for at, low, high in ((columns, x1, x2), (rows, y1, y2))]  # fmt: skip
    return np.where(inside, bilinear(mask.astype(np.float64), *place), 0.0), inside


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def margin_of(stack):
    """(N, ...) -> first minus second along the first axis."""
    if len(stack) < 2:
        return np.full(stack.shape[1:], np.inf)
    first, second = -np.partition(-stack, 1, axis=0)[:2]
    return np.nan_to_num(first - second, nan=np.inf)


def fuse(
    logits, is_thing, boxes, scores, planes, masks, *, threshold=0.5, overlap=0.5, least=2048, scale=4.0, paste=False, alone=False
):
    """logits (C, H, W) of the picture's size."""
    (num, height, width), kept = logits.shape, []
    logits = logits.astype(np.float64)
    occupied, channels, covers = np.zeros((height, width), bool), [], []
    for i in sorted(np.flatnonzero(scores >= threshold), key=lambda i: -scores[i]):  # sorted is stable
        if not np.isfinite(boxes[i]).all():
            continue
        own, inside = stretched(masks[i], boxes[i], height, width)
        own, mask, taken = own * scale, own > 0, occupied.copy()
        if not mask.any() or (mask & occupied).sum() > overlap * mask.sum():
            continue
        occupied |= mask
        kept.append(i)
        covers.append(mask)
        of_class = np.where(inside, logits[planes[i]], 0)
        fused = (sigmoid(own) + sigmoid(of_class)) * (own + of_class)
        channels.append(np.where(inside & ~(alone & taken), fused, -np.inf))  # the pitfall: zero padding gives 0 there
    stuff = np.flatnonzero(~is_thing)
    semantic = logits.argmax(0)
    codes = np.where(is_thing[semantic], 0, 1 + semantic)
    margin = margin_of(logits)
    if paste:
        for i, mask in reversed([*zip(kept, covers, strict=True)]):
            codes[mask] = 1 + num + i
    elif kept:
        stack = np.concatenate([logits[stuff], np.stack(channels)])
        best = stack.argmax(0)
        won = best >= len(stuff)
        codes[won] = 1 + num + np.array(kept)[best[won] - len(stuff)]
        margin = np.minimum(margin, margin_of(stack))
    for c in stuff:
        if (codes == 1 + c).sum() < least:
            codes[codes == 1 + c] = 0
    return Fused(codes, margin, kept)
