"""Per frame: how much truth and tracks overlap, and which of the pairs an evaluation looks at.

Everything is flat: rows by frame, `starts` (F + 1,) int64 says where frame k begins; matrices of the frames one after another,
rows truth, columns tracks. Boxes are (N, 4) float64 x1 y1 x2 y2 [px] unless said otherwise.
Comparisons carry TrackEval's epsilon, so that a value exactly at a limit falls on its side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.iou import iou_3d
from operators.kernels.lsap import best_pairs

EPS = 2.220446049250313e-16


@njit(nogil=True, cache=True)
def iou_2d(boxes_a: np.ndarray, boxes_b: np.ndarray, out: np.ndarray) -> None:
    """out (A, B): shared area / united area; 0 where one of the two has no area."""
    for i in range(boxes_a.shape[0]):
        area_a = (boxes_a[i, 2] - boxes_a[i, 0]) * (boxes_a[i, 3] - boxes_a[i, 1])
        for j in range(boxes_b.shape[0]):
            area_b = (boxes_b[j, 2] - boxes_b[j, 0]) * (boxes_b[j, 3] - boxes_b[j, 1])
            shared = _shared(boxes_a[i], boxes_b[j])
            united = area_a + area_b - shared
            out[i, j] = shared / united if area_a > EPS and area_b > EPS and united > EPS else 0.0


@njit(nogil=True, cache=True)
def _shared(a: np.ndarray, b: np.ndarray) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


@njit(nogil=True, cache=True)
def mostly_within(box: np.ndarray, regions: np.ndarray, margin: float) -> bool:
    """Does one of the regions hold more than half of the box's area?"""
    area = (box[2] - box[0]) * (box[3] - box[1])
    if not area > EPS:
        return False
    most = 0.0
    for k in range(regions.shape[0]):
        most = max(most, _shared(box, regions[k]) / area)
    return most > 0.5 + margin


@njit(nogil=True, cache=True)
def prepare(
    truth: np.ndarray,
    truth_starts: np.ndarray,
    aside: np.ndarray,
    counted: np.ndarray,
    tracks: np.ndarray,
    track_starts: np.ndarray,
    regions: np.ndarray,
    region_starts: np.ndarray,
    min_height: float,
    kept: np.ndarray,
    similarity: np.ndarray,
) -> int:
    """The pairs that count -> how many of them.

    Removed are tracks that match truth `aside` (NG,) bool, unmatched tracks at most `min_height` high or mostly within a
    region, and truth not `counted` (NG,) bool. A match has an IoU of at least 0.5.
    out  kept (NT,) bool; similarity (>= sum of rows x columns,) float64: IoU of truth counted with tracks kept
    """
    at = 0
    for f in range(truth_starts.shape[0] - 1):
        g0, g1, t0, t1 = truth_starts[f], truth_starts[f + 1], track_starts[f], track_starts[f + 1]
        if t1 == t0:
            continue
        iou = np.empty((g1 - g0, t1 - t0))
        iou_2d(truth[g0:g1], tracks[t0:t1], iou)
        matched = np.zeros(t1 - t0, np.bool_)
        kept[t0:t1] = True
        if g1 > g0:
            gain = np.where(iou < 0.5 - EPS, 0.0, iou)
            column = np.empty(g1 - g0, np.int64)
            best_pairs(gain, column)
            for i in range(g1 - g0):
                if column[i] >= 0:
                    matched[column[i]] = True
                    if aside[g0 + i]:
                        kept[t0 + column[i]] = False
        of_frame = regions[region_starts[f] : region_starts[f + 1]]
        for j in range(t1 - t0):
            if not matched[j]:
                box = tracks[t0 + j]
                if box[3] - box[1] <= min_height + EPS or mostly_within(box, of_frame, EPS):
                    kept[t0 + j] = False
        for i in range(g1 - g0):
            if not counted[g0 + i]:
                continue
            for j in range(t1 - t0):
                if kept[t0 + j]:
                    similarity[at] = iou[i, j]
                    at += 1
    return at


@njit(nogil=True, cache=True)
def all_pairs(
    truth: np.ndarray, truth_starts: np.ndarray, tracks: np.ndarray, track_starts: np.ndarray, solid: bool, out: np.ndarray
) -> None:
    """out (sum of rows x columns,) float64: IoU of every pair of a frame.

    solid: boxes are (N, 7) as for `iou_3d`; a box with a size of 0 or less overlaps nothing."""
    at = 0
    for f in range(truth_starts.shape[0] - 1):
        a, b = truth[truth_starts[f] : truth_starts[f + 1]], tracks[track_starts[f] : track_starts[f + 1]]
        rows, columns = a.shape[0], b.shape[0]
        iou = out[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        if not solid:
            iou_2d(a, b, iou)
            continue
        bad_a, bad_b = _without_volume(a), _without_volume(b)
        if bad_a.any() or bad_b.any():
            a, b = a.copy(), b.copy()
            for i in range(rows):
                if bad_a[i]:
                    a[i, 3:6] = 1.0
            for j in range(columns):
                if bad_b[j]:
                    b[j, 3:6] = 1.0
        iou_3d(a, b, iou)
        for i in range(rows):
            for j in range(columns):
                if bad_a[i] or bad_b[j]:
                    iou[i, j] = 0.0


@njit(nogil=True, cache=True)
def _without_volume(boxes: np.ndarray) -> np.ndarray:
    out = np.empty(boxes.shape[0], np.bool_)
    for i in range(boxes.shape[0]):
        out[i] = not (boxes[i, 3] > 0 and boxes[i, 4] > 0 and boxes[i, 5] > 0)
    return out
