"""Match boxes by the distance of their centres: more tolerant of a wrong size than IoU, and needs no score.

The boxes of a frame are paired one to one (Hungarian): the most pairs within the limit, and among these the smallest total
distance. Forgiven truth removes its detection; a forgiven detection may find truth, but is never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True, slots=True)
class Counts:
    """Truth found and missed, detections right and wrong. `recall` is None without truth, `precision` without detections."""

    found: int
    missed: int
    right: int
    wrong: int

    @property
    def recall(self) -> float | None:
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None


class Centres:
    """Adds up frames; `counts` selects by distance and label afterwards."""

    def __init__(self, limit_m: float = 2.0) -> None:
        self.limit_m = limit_m
        self._truth: list[np.ndarray] = []  # distance, label, found
        self._found: list[np.ndarray] = []  # distance, label, right

    def add(
        self,
        truth_xy: np.ndarray,
        found_xy: np.ndarray,
        truth_labels: np.ndarray,
        found_labels: np.ndarray,
        truth_forgiven: np.ndarray,
        found_forgiven: np.ndarray,
    ) -> None:
        """(T, 2), (D, 2) on the ground, relative to the sensor [m]; (T,), (D,) labels, used by `counts` only, not for pairing;
        (T,), (D,) bool. Without truth all detections are wrong, without detections all truth is missed."""
        pairs = pair(truth_xy, found_xy, self.limit_m)
        truth_paired, found_paired = np.zeros(len(truth_xy), bool), np.zeros(len(found_xy), bool)
        truth_paired[pairs[:, 0]], found_paired[pairs[:, 1]] = True, True
        counts = ~found_forgiven | found_paired
        counts[pairs[:, 1]] &= ~truth_forgiven[pairs[:, 0]]
        self._truth.append(_rows(truth_xy, truth_labels, truth_paired)[~truth_forgiven])
        self._found.append(_rows(found_xy, found_labels, found_paired)[counts])

    def counts(self, low_m: float = 0.0, high_m: float = np.inf, labels: list[int] | None = None) -> Counts:
        """Counts of truth and detections with low_m <= distance < high_m and one of these labels."""
        sums = []
        for rows in (self._truth, self._found):
            table = np.concatenate([np.empty((0, 3)), *rows])
            inside = (table[:, 0] >= low_m) & (table[:, 0] < high_m)
            if labels is not None:
                inside &= np.isin(table[:, 1], labels)
            hits = int(table[inside, 2].sum())
            sums += [hits, int(inside.sum()) - hits]
        return Counts(*sums)


def pair(truth_xy: np.ndarray, found_xy: np.ndarray, limit_m: float) -> np.ndarray:
    """(T, 2), (D, 2) -> (K, 2) int [truth, detection]."""
    apart = np.linalg.norm(truth_xy[:, None] - found_xy[None], axis=2)
    none = limit_m * (min(apart.shape) + 1)  # one pair more outweighs every sum of pairs
    rows, columns = linear_sum_assignment(np.where(apart <= limit_m, apart, none))
    close = apart[rows, columns] <= limit_m
    return np.stack([rows[close], columns[close]], 1)


def _rows(xy: np.ndarray, labels: np.ndarray, paired: np.ndarray) -> np.ndarray:
    return np.column_stack([np.linalg.norm(xy, axis=1), labels, paired]).astype(np.float64)
