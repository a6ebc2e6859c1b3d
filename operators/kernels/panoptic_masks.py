"""Masks of instances stretched over their boxes, and which of them lie on others.

Cell (i, j) of a mask (S, S) has its centre (i + 0.5) / S down its box and (j + 0.5) / S across; between centres the logit is
bilinear, beyond the outer ones constant. A pixel belongs to a box if its centre lies inside or on the edge. Columns and rows of a
box: first (included) and last (excluded) in the picture.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def cell_of(at: int, low: float, high: float, size: int) -> tuple[int, float]:
    """Pixel `at` of a box from `low` to `high` [px] -> the cell before it, 0 .. size - 1, and the weight 0..1 of the next one."""
    place = size * 0.5 - 0.5
    if high > low:
        place = (at - low) / (high - low) * size - 0.5
    place = min(max(place, 0.0), size - 1.0)
    cell = int(place)
    return cell, place - cell


@njit(nogil=True, cache=True)
def stretch(
    first: int,
    last: int,
    masks: np.ndarray,
    boxes: np.ndarray,
    scale: float,
    spans: np.ndarray,
    starts: np.ndarray,
    wide: np.ndarray,
) -> None:
    """Stretches masks first .. last - 1 across their boxes: the S rows of each become as wide as its box.

    in   masks   (M, S, S) float32    logits
         boxes   (M, 4) float64       x1 y1 x2 y2 [px]
         scale                        the logits are multiplied by it
         spans   (M, 4) int64         first column, row, last column, row of each box in the picture
         starts  (M,) int64           where in `wide` the rows of each mask begin
    out  wide    float32              S rows after one another, each as wide as the span
    """
    size = masks.shape[1]
    factor = np.float32(scale)
    for k in range(first, last):
        left, width, at = spans[k, 0], spans[k, 2] - spans[k, 0], starts[k]
        for x in range(width):
            cell, weight = cell_of(left + x, boxes[k, 0], boxes[k, 2], size)
            after, share = min(cell + 1, size - 1), np.float32(weight)
            for row in range(size):
                here = masks[k, row, cell]
                wide[at + row * width + x] = factor * (here + share * (masks[k, row, after] - here))


@njit(nogil=True, cache=True)
def logits_of_row(
    row: int, k: int, size: int, boxes: np.ndarray, spans: np.ndarray, starts: np.ndarray, wide: np.ndarray, out: np.ndarray
) -> None:
    """Fills out[:width of span k] with the logits of mask k in row `row` of the picture."""
    width, at = spans[k, 2] - spans[k, 0], starts[k]
    cell, weight = cell_of(row, boxes[k, 1], boxes[k, 3], size)
    after, share = min(cell + 1, size - 1), np.float32(weight)
    upper, lower = wide[at + cell * width : at + (cell + 1) * width], wide[at + after * width : at + (after + 1) * width]
    for x in range(width):
        out[x] = upper[x] + share * (lower[x] - upper[x])


@njit(nogil=True, cache=True)
def insides(
    first: int,
    last: int,
    size: int,
    boxes: np.ndarray,
    spans: np.ndarray,
    starts: np.ndarray,
    wide: np.ndarray,
    places: np.ndarray,
    inside: np.ndarray,
    line: np.ndarray,
) -> None:
    """Which pixels of their boxes masks first .. last - 1 cover: logit > 0.

    in   places  (M,) int64   where in `inside` the rows of each box begin, a multiple of 8
    out  inside  uint8        0 or 1; a row begins at the box's first column rounded down to a multiple of 8, and its length is a
                              multiple of 8
         line    float32      scratch, as long as the widest span
    """
    for k in range(first, last):
        left, width = spans[k, 0], spans[k, 2] - spans[k, 0]
        before = left % 8
        length = (before + width + 7) // 8 * 8
        at = places[k]
        for row in range(spans[k, 1], spans[k, 3]):
            logits_of_row(row, k, size, boxes, spans, starts, wide, line)
            covers = inside[at : at + length]
            covers[:before] = 0
            covers[before + width :] = 0
            middle = covers[before : before + width]
            for x in range(width):
                middle[x] = np.uint8(1) if line[x] > 0 else np.uint8(0)
            at += length


@njit(nogil=True, cache=True)
def _sum_of_bytes(word: np.uint64) -> int:
    low = np.uint64(0x00FF00FF00FF00FF)
    pairs = (word & low) + ((word >> np.uint64(8)) & low)
    return int((pairs * np.uint64(0x0001000100010001)) >> np.uint64(48))


@njit(nogil=True, cache=True)
def choose(
    first: int,
    last: int,
    spans: np.ndarray,
    places: np.ndarray,
    inside: np.ndarray,
    max_overlap: float,
    occupied: np.ndarray,
    kept: np.ndarray,
) -> None:
    """Keeps masks first .. last - 1 of which at most max_overlap lies on masks kept before; empty masks are not kept.

    in   inside    uint64              of `insides`, eight pixels a word
    io   occupied  (H, words) uint64   pixels of the masks kept so far, 0 or 1 a byte
    out  kept      (M,) bool
    """
    for k in range(first, last):
        left, words = spans[k, 0] // 8, (spans[k, 2] + 7) // 8 - spans[k, 0] // 8
        start = places[k] // 8
        area, common = 0, 0
        at = start
        for row in range(spans[k, 1], spans[k, 3]):
            # the bytes of a sum of words stay below 256: at most 255 words
            for begin in range(0, words, 255):
                all_, both = np.uint64(0), np.uint64(0)
                for word in range(begin, min(begin + 255, words)):
                    all_ += inside[at + word]
                    both += inside[at + word] & occupied[row, left + word]
                area += _sum_of_bytes(all_)
                common += _sum_of_bytes(both)
            at += words
        kept[k] = area > 0 and common <= max_overlap * area
        if not kept[k]:
            continue
        at = start
        for row in range(spans[k, 1], spans[k, 3]):
            for word in range(words):
                occupied[row, left + word] |= inside[at + word]
            at += words
