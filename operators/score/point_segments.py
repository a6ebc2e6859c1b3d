"""Panoptic scores of points: mIoU, PQ of each scan, LSTQ of a sequence.

Sources: mIoU and PQ as PanopticEval of semantic-kitti-api (Behley et al. 2021); LSTQ as Panoptic4DEval of 4D-PLS (Aygün et al.
2021), both to the integer. Classes 0 .. C-1; class 0 has no truth: its points count nowhere. Rules of the originals:
- PQ: a segment is a class and an instance of one scan; instance 0 is a segment too, of stuff and of things without an instance.
  A pair of one class with IoU above 0.5 is a match, however small. Without a match, a segment of at least `min_points` points is
  a false positive or a false negative; smaller ones count as neither.
- IoU counts points predicted as class 0 as missed. Classes that never come have IoU and PQ 0 in the official means.
- LSTQ: a tube is a class and an instance, over a sequence; instance 0 is none. Of truth, only scans in which the instance has
  more than `min_points` points count. A predicted tube is an instance number, of any class but 0, and counts in all scans: so
  even the truth's own ids may have S_assoc below 1. S_cls leaves out classes that never come, but class 0 is there once a
  labelled point is predicted as class 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from operators.score.panoptic_pairs import Pairs, pairs_of

_CLASSES = 256
"""More than there are classes; the class is the low part of a segment's key, which spreads keys in a hash table."""


class Segments(NamedTuple):
    """Of one scan: class, instance and points of each segment; `row`: the segment of each pair of segments that share points."""

    classes: np.ndarray
    instances: np.ndarray
    sizes: np.ndarray
    row: np.ndarray

    @staticmethod
    def of(keys: np.ndarray, common: np.ndarray) -> Segments:
        """keys (K,) int64 of the pairs' segments, common (K,): points of each pair"""
        found, row = np.unique(keys, return_inverse=True)
        sizes = np.bincount(row.reshape(-1), common, len(found)).astype(np.int64)
        return Segments(found % _CLASSES, found // _CLASSES, sizes, row.reshape(-1))


def shared(truth_classes: np.ndarray, truth_instances: np.ndarray, classes: np.ndarray, instances: np.ndarray) -> Pairs:
    """Columns of `PointScores.add` -> the points that segments share, where truth has a class; ids: instance * 256 + class"""
    kept = truth_classes != 0
    keys = (
        instance[kept].astype(np.int64) * _CLASSES + label[kept]
        for label, instance in ((truth_classes, truth_instances), (classes, instances))
    )
    return pairs_of(*keys)


@dataclass
class Tubes:
    """Points of the tubes of one sequence: of truth by (class, instance), of found by instance, of pairs by both."""

    truth: Counter[tuple[int, int]] = field(default_factory=Counter)
    found: Counter[int] = field(default_factory=Counter)
    pairs: Counter[tuple[int, int, int]] = field(default_factory=Counter)


class PointScores:
    """`add` of each scan, then `numbers`."""

    def __init__(self, num_classes: int, min_points: int = 50) -> None:
        self.num_classes, self.min_points = num_classes, min_points
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        """[truth, found], points"""
        self.tp, self.fp, self.fn = (np.zeros(num_classes, np.int64) for _ in range(3))
        self.iou = np.zeros(num_classes)
        self.tubes: dict[str, Tubes] = defaultdict(Tubes)

    def add(
        self,
        sequence: str,
        truth_classes: np.ndarray,
        truth_instances: np.ndarray,
        classes: np.ndarray,
        instances: np.ndarray,
    ) -> None:
        """One scan, (N,) integers each; instances 0 .. 2^54, 0 = none."""
        self.count(sequence, shared(truth_classes, truth_instances, classes, instances))

    def count(self, sequence: str, pairs: Pairs) -> None:
        """One scan, as `shared` has it."""
        truth, found = Segments.of(pairs.truth, pairs.pixels), Segments.of(pairs.found, pairs.pixels)
        np.add.at(self.confusion, (truth.classes[truth.row], found.classes[found.row]), pairs.pixels)
        self._match(truth, found, pairs.pixels)
        self._trace(self.tubes[sequence], truth, found, pairs.pixels)

    def _match(self, truth: Segments, found: Segments, common: np.ndarray) -> None:
        row, other = truth.row, found.row
        iou = common / (truth.sizes[row] + found.sizes[other] - common)
        hit = (truth.classes[row] == found.classes[other]) & (iou > 0.5)
        missed, extra = truth.sizes >= self.min_points, (found.sizes >= self.min_points) & (found.classes != 0)
        missed[row[hit]], extra[other[hit]] = False, False
        np.add.at(self.tp, truth.classes[row[hit]], 1)
        np.add.at(self.iou, truth.classes[row[hit]], iou[hit])
        np.add.at(self.fn, truth.classes[missed], 1)
        np.add.at(self.fp, found.classes[extra], 1)

    def _trace(self, tubes: Tubes, truth: Segments, found: Segments, common: np.ndarray) -> None:
        counts = (truth.instances > 0) & (truth.sizes > self.min_points)
        for k in np.flatnonzero(counts).tolist():
            tubes.truth[int(truth.classes[k]), int(truth.instances[k])] += int(truth.sizes[k])
        for k in np.flatnonzero((found.instances > 0) & (found.classes != 0)).tolist():
            tubes.found[int(found.instances[k])] += int(found.sizes[k])
        for k in np.flatnonzero(counts[truth.row] & (found.instances[found.row] > 0)).tolist():
            row, other = truth.row[k], found.row[k]
            key = int(truth.classes[row]), int(truth.instances[row]), int(found.instances[other])
            tubes.pairs[key] += int(common[k])

    def numbers(self, things: tuple[int, ...]) -> dict[str, Any]:
        """The official means over all classes but 0; "present": means over classes with any truth or prediction; "lstq" and
        "s_assoc": None where no tube of truth is; "classes": numbers of each class, truth and points of it [points]."""
        hit = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hit
        iou = _share(hit, union)
        sq, rq = _share(self.iou, self.tp), _share(self.tp, self.tp + (self.fp + self.fn) / 2)
        pq = sq * rq
        every = list(range(1, self.num_classes))
        stuff, present = [c for c in every if c not in things], [c for c in every if union[c]]
        counted = [c for c in every if self.tp[c] + self.fp[c] + self.fn[c]]
        s_assoc = self._association(things)
        s_cls = float(iou.sum() / max(np.count_nonzero(union), 1))
        of_classes = {
            c: {
                "iou": float(iou[c]), "pq": float(pq[c]), "sq": float(sq[c]), "rq": float(rq[c]), "tp": int(self.tp[c]),
                "fp": int(self.fp[c]), "fn": int(self.fn[c]), "truth": int(self.confusion[c].sum()), "points": int(union[c]),
            }
            for c in every
        }  # fmt: skip
        return {
            "miou": _mean(iou, every),
            "accuracy": float(hit[1:].sum() / max(self.confusion.sum(), 1)),
            **{
                f"{name}{group}": _mean(values, members)
                for group, members in (("", every), ("_things", list(things)), ("_stuff", stuff))
                for name, values in (("pq", pq), ("sq", sq), ("rq", rq))
            },
            "pq_dagger": _mean(np.where(np.isin(np.arange(self.num_classes), stuff), iou, pq), every),
            "lstq": None if s_assoc is None else float(np.sqrt(s_assoc * s_cls)),
            "s_assoc": s_assoc,
            "s_cls": s_cls,
            "present": {
                "miou": _mean(iou, present),
                **{name: _mean(values, counted) for name, values in (("pq", pq), ("sq", sq), ("rq", rq))},
            },
            "classes": of_classes,
        }

    def _association(self, things: tuple[int, ...]) -> float | None:
        """Mean over the tubes of truth, of things, of the sum over predicted tubes of TPA * IoU, by the size of the tube."""
        total, tubes = 0.0, 0
        for of_sequence in self.tubes.values():
            tubes += sum(label in things for label, _ in of_sequence.truth)
            for (label, instance, other), common in of_sequence.pairs.items():
                size, other_size = of_sequence.truth[label, instance], of_sequence.found[other]
                if other_size:
                    total += common * (common / (size + other_size - common)) / size
        return total / tubes if tubes else None


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is"""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _mean(values: np.ndarray, classes: list[int]) -> float | None:
    return float(values[classes].mean()) if classes else None
