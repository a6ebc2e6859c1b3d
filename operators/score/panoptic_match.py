"""Which predicted segments are right: panopticapi's rules on counted pixels.

A match has one class and an IoU above 0.5. Void pixels of the truth leave the union. Crowd segments of the truth match nothing
and are never missed. An unmatched prediction is not wrong if more than half of it lies on void and the crowd of its class (of
several, the last). A segment of the truth has the area that its file states: with a wrong one an IoU may be above 1, and two
predictions may match one segment. Pixels of the truth whose id is no segment are neither void nor a segment.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.score.panoptic_pairs import Pairs, Rows

MIN_IOU = 0.5


class Segments(NamedTuple):
    """Of one map: ids, each once, classes (any integers), areas [px] (S,) int64; crowd (S,) bool, of the truth."""

    ids: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


class Matches(NamedTuple):
    """truth, found (M,): rows that match, iou (M,) theirs; missed, wrong: rows of the truth and of the prediction."""

    truth: np.ndarray
    found: np.ndarray
    iou: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray


def match(pairs: Pairs, rows: Rows, truth: Segments, found: Segments, void: int = 0) -> Matches:
    """rows: of the pairs in truth.ids and found.ids; void: the id of pixels without truth."""
    t, f = rows
    on_void = np.zeros(len(found.ids), np.int64)
    voided = (pairs.truth == void) & (f >= 0)
    on_void[f[voided]] = pairs.pixels[voided]
    one_class = (t >= 0) & (f >= 0)
    one_class[one_class] = truth.classes[t[one_class]] == found.classes[f[one_class]]
    plain = one_class.copy()
    plain[one_class] = ~truth.crowd[t[one_class]]
    t_row, f_row, both = t[plain], f[plain], pairs.pixels[plain]
    union = truth.areas[t_row] + found.areas[f_row] - both - on_void[f_row]
    iou = both / np.maximum(union, 1)  # a union of 0: the file states too small an area
    right = iou > MIN_IOU
    t_row, f_row, iou = t_row[right], f_row[right], iou[right]
    is_missed = ~truth.crowd
    is_missed[t_row] = False
    forgiven = on_void.copy()
    if truth.crowd.any():
        last = {int(truth.classes[row]): int(row) for row in np.flatnonzero(truth.crowd)}
        of_crowd = one_class & np.isin(t, list(last.values()))
        forgiven[f[of_crowd]] += pairs.pixels[of_crowd]
    is_wrong = 2 * forgiven <= found.areas
    is_wrong[f_row] = False
    return Matches(t_row, f_row, iou, np.flatnonzero(is_missed), np.flatnonzero(is_wrong))
