"""A panoptic label for each pixel: classes by their logits, instances by fused logits inside their boxes.

Labels are codes: 0 void, 1 + c stuff of class c, 1 + C + k instance k. A row of all planes stays in the cache while instances
look at it again. NaN never wins; of a stuff and a thing class with equal logits the pixel is the stuff.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.panoptic_masks import logits_of_row

_CHUNK = 32


@njit(nogil=True, cache=True)
def _stuff_of_row(planes: np.ndarray, row: int, classes: np.ndarray, best: np.ndarray, codes: np.ndarray) -> None:
    """planes (C, h, W): fills best (W,) float32 and codes (W,) int32 of the best of `classes`; six planes at a time."""
    width, last = len(best), len(classes) - 1
    best[:] = -np.inf
    codes[:] = 0
    for i in range(0, last + 1, 6):  # the last class again where fewer than six are left: an equal logit wins nothing
        c0, c1, c2 = classes[i], classes[min(i + 1, last)], classes[min(i + 2, last)]
        c3, c4, c5 = classes[min(i + 3, last)], classes[min(i + 4, last)], classes[min(i + 5, last)]
        p0, p1, p2 = planes[c0, row], planes[c1, row], planes[c2, row]
        p3, p4, p5 = planes[c3, row], planes[c4, row], planes[c5, row]
        n0, n1, n2 = np.int32(c0 + 1), np.int32(c1 + 1), np.int32(c2 + 1)
        n3, n4, n5 = np.int32(c3 + 1), np.int32(c4 + 1), np.int32(c5 + 1)
        for x in range(width):
            top, code = best[x], codes[x]
            code = n0 if p0[x] > top else code
            top = p0[x] if p0[x] > top else top
            code = n1 if p1[x] > top else code
            top = p1[x] if p1[x] > top else top
            code = n2 if p2[x] > top else code
            top = p2[x] if p2[x] > top else top
            code = n3 if p3[x] > top else code
            top = p3[x] if p3[x] > top else top
            code = n4 if p4[x] > top else code
            top = p4[x] if p4[x] > top else top
            code = n5 if p5[x] > top else code
            top = p5[x] if p5[x] > top else top
            best[x], codes[x] = top, code


@njit(nogil=True, cache=True)
def _void_things_of_row(planes: np.ndarray, row: int, classes: np.ndarray, best: np.ndarray, codes: np.ndarray) -> None:
    """planes (C, h, W): sets codes (W,) to 0 where one of `classes` is better than best (W,)."""
    width, num = len(best), len(classes)
    for i in range(0, num, 4):
        p0, p1 = planes[classes[i], row], planes[classes[min(i + 1, num - 1)], row]
        p2, p3 = planes[classes[min(i + 2, num - 1)], row], planes[classes[min(i + 3, num - 1)], row]
        for x in range(width):
            top = p0[x]
            top = p1[x] if p1[x] > top else top
            top = p2[x] if p2[x] > top else top
            top = p3[x] if p3[x] > top else top
            codes[x] = np.int32(0) if top > best[x] else codes[x]


@njit(nogil=True, cache=True, error_model="numpy")  # a check of the division would keep it from vector instructions
def _compete(a: np.ndarray, b: np.ndarray, code: np.int32, best: np.ndarray, codes: np.ndarray) -> None:
    """Instance logits a, semantic logits b of its class: the fused logit takes each pixel where it is better than `best`.

    sigmoid(x) = 0.5 + x P(x^2) / Q(x^2) within 3e-7, fitted for |x| < 15.8: compiled to vector instructions, which exp is not.
    Pixels in a row that the instance cannot have, as those around its mask, are passed over.
    """
    one, limit, above, below = np.float32(1), np.float32(15.8), np.float32(2.00001), np.float32(-1e-5)
    p0, p1 = np.float32(0.2499998564548138), np.float32(0.00807668052199939)
    p2, p3 = np.float32(4.6070547236275254e-05), np.float32(4.4588715773456563e-08)
    q1, q2 = np.float32(0.11563952353625272), np.float32(0.0014877204030644357)
    q3, q4 = np.float32(3.724935477962926e-06), np.float32(9.598634973008924e-10)
    width = len(a)
    for start in range(0, width, _CHUNK):
        num, hopeful = min(_CHUNK, width - start), 0
        for i in range(num):
            x = np.uint64(start) + np.uint64(i)
            total = a[x] + b[x]
            most = above * total if total > 0 else below * total  # the fused logit is less, with all rounding
            hopeful += np.int32(most >= best[x])
        if hopeful == 0:
            continue
        for i in range(num):
            x = np.uint64(start) + np.uint64(i)
            u, v = a[x], b[x]
            s = -limit if u < -limit else u
            t = -limit if v < -limit else v
            s = limit if s > limit else s
            t = limit if t > limit else t
            ss, tt = s * s, t * t
            over_u, under_u = s * (p0 + ss * (p1 + ss * (p2 + ss * p3))), one + ss * (q1 + ss * (q2 + ss * (q3 + ss * q4)))
            over_v, under_v = t * (p0 + tt * (p1 + tt * (p2 + tt * p3))), one + tt * (q1 + tt * (q2 + tt * (q3 + tt * q4)))
            sigmoids = one + (over_u * under_v + over_v * under_u) / (under_u * under_v)
            fused = sigmoids * (u + v)  # eq. 67: (sigma(A) + sigma(B)) (A + B)
            codes[x] = code if fused > best[x] else codes[x]
            best[x] = fused if fused > best[x] else best[x]


@njit(nogil=True, cache=True)
def _hide(a: np.ndarray, owned: np.ndarray) -> None:
    """Takes the logits of an instance away where a better mask is; owned (W,) bool: where one is, this one from now on too."""
    for x in range(len(a)):
        inside = a[x] > 0
        a[x] = np.float32(-np.inf) if owned[x] else a[x]
        owned[x] |= inside


@njit(nogil=True, cache=True)
def _paste(a: np.ndarray, code: np.int32, first: np.int32, codes: np.ndarray) -> None:
    """The instance takes each pixel of its mask that no instance has; codes of instances begin at `first`."""
    for x in range(len(a)):
        codes[x] = code if (a[x] > 0) & (codes[x] < first) else codes[x]


@njit(nogil=True, cache=True)
def _widen(cells: np.ndarray, stride: int, out: np.ndarray) -> None:
    """cells (w,) -> out (W,): each `stride` pixels wide, bilinear between the centres, constant beyond the outer ones."""
    last = len(cells) - 1
    for x in range(len(out)):
        place = min(max((x + 0.5) / stride - 0.5, 0.0), float(last))
        cell = int(place)
        share = np.float32(place - cell)
        here = cells[cell]
        out[x] = here + share * (cells[min(cell + 1, last)] - here)


@njit(nogil=True, cache=True)
def enlarge_rows(first: int, last: int, logits: np.ndarray, stride: int, out: np.ndarray) -> None:
    """logits (C, h, w) float32, a cell for stride x stride pixels; fills out (C, >= last - first, W) with rows first .. last - 1
    of the picture, bilinear between the centres of the cells."""
    num, cells, width = logits.shape[0], logits.shape[1], out.shape[2]
    above, below = np.empty(width, np.float32), np.empty(width, np.float32)
    for c in range(num):
        held_above, held_below = -1, -1
        for row in range(first, last):
            place = min(max((row + 0.5) / stride - 0.5, 0.0), cells - 1.0)
            cell = int(place)
            after, share = min(cell + 1, cells - 1), np.float32(place - cell)
            if held_above != cell:
                if held_below == cell:
                    above[:] = below
                else:
                    _widen(logits[c, cell], stride, above)
                held_above = cell
            if held_below != after:
                _widen(logits[c, after], stride, below)
                held_below = after
            line = out[c, row - first]
            for x in range(width):
                line[x] = above[x] + share * (below[x] - above[x])


@njit(nogil=True, cache=True)
def label_rows(
    first: int,
    last: int,
    planes: np.ndarray,
    top: int,
    stuff: np.ndarray,
    things: np.ndarray,
    paste: bool,
    alone: bool,
    kept: np.ndarray,
    classes: np.ndarray,
    size: int,
    boxes: np.ndarray,
    spans: np.ndarray,
    starts: np.ndarray,
    wide: np.ndarray,
    raw: np.ndarray,
    areas: np.ndarray,
) -> None:
    """Labels rows first .. last - 1 of the picture.

    in   planes   (C, h, W) float32  class logits, contiguous; row 0 is row `top` of the picture
         stuff, things               classes, int64, rising
         paste                       True: instances take the pixels of their masks in the order of `kept`; False: fused logits
         alone                       True: of the masks on a pixel only the best competes
         kept     (K,) int64         instances, best first: rows of the following arrays
         classes  (M,) int64         the plane of each instance's class
         size, boxes, spans, starts, wide    as in panoptic_masks.py
    out  raw      (H, W) uint16      codes
         areas    (1 + C + M,) int64 pixels of each code in these rows
    """
    num, width = planes.shape[0], raw.shape[1]
    best, codes, line = np.empty(width, np.float32), np.empty(width, np.int32), np.empty(width, np.float32)
    owned = np.zeros(width, np.bool_)
    counts = np.zeros((4, len(areas)), np.int32)  # neighbours in different tables: no sum waits for the one before
    for row in range(first, last):
        _stuff_of_row(planes, row - top, stuff, best, codes)
        _void_things_of_row(planes, row - top, things, best, codes)
        owned[:] = False
        for k in kept:
            if not spans[k, 1] <= row < spans[k, 3]:
                continue
            left, right = spans[k, 0], spans[k, 2]
            logits_of_row(row, k, size, boxes, spans, starts, wide, line)
            code, own = np.int32(1 + num + k), line[: right - left]
            if alone:
                _hide(own, owned[left:right])
            if paste:
                _paste(own, code, np.int32(1 + num), codes[left:right])
            else:
                _compete(own, planes[classes[k], row - top, left:right], code, best[left:right], codes[left:right])
        labels = raw[row]
        for x in range(width):
            labels[x] = np.uint16(codes[x])
        for x in range(0, width - 3, 4):
            counts[0, codes[x]] += 1
            counts[1, codes[x + 1]] += 1
            counts[2, codes[x + 2]] += 1
            counts[3, codes[x + 3]] += 1
        for x in range(width - width % 4, width):
            counts[0, codes[x]] += 1
    for code in range(len(areas)):
        areas[code] = counts[0, code] + counts[1, code] + counts[2, code] + counts[3, code]


@njit(nogil=True, cache=True)
def number(first: int, last: int, raw: np.ndarray, ids: np.ndarray, out: np.ndarray) -> None:
    """Fills rows first .. last - 1 of out (H, W) int32 with the segment id of each code; ids (codes,) int32."""
    for row in range(first, last):
        codes, line = raw[row], out[row]
        for x in range(len(line)):
            line[x] = ids[codes[x]]
