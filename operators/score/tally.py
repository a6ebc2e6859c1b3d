"""Right and wrong detections of one class at one level, added up over frames, and the scores from them. Rules: ap.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from operators.kernels import precision
from operators.kernels.match import COUNTS, FORGIVEN, match


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Score of one class at one level. Without truth that counts, `r40`, `r11` and `recall` are None."""

    r40: float | None
    r11: float | None
    curve: np.ndarray  # (41,) precision after the running maximum from the right
    similarity: np.ndarray  # (41,) the same of orientation; without angles that of equal angles
    recall: float | None  # at the lowest of the 41 scores
    num_truth: int
    num_found: int
    right: int  # at any score, as the next two
    wrong: int
    missed: int


class Interval(NamedTuple):
    """95 % interval of a bootstrap over frames, in per cent: R40 and R11 (low, high), and those of orientation similarity."""

    r40: tuple[float, float]
    r11: tuple[float, float]
    similarity_r40: tuple[float, float]
    similarity_r11: tuple[float, float]


class Frames(NamedTuple):
    """Consecutive frames, and what all classes, levels and metrics share."""

    num: int
    truth_starts: np.ndarray  # (F + 1,) int64
    found_starts: np.ndarray
    of_truth: np.ndarray  # (NT,) int64: frame of each row, from 0
    of_found: np.ndarray
    scores: np.ndarray  # (ND,) float64
    angles: tuple[np.ndarray, np.ndarray]  # (NT,), (ND,) float64


class Counts(NamedTuple):
    """What match.py found in some frames, without zeros.

    num_truth (F,) int64 truth that counts; right_scores, right_frames (R,); scores, frames (E,), steps (E, 3)
    """

    num_truth: np.ndarray
    right_scores: np.ndarray
    right_frames: np.ndarray
    scores: np.ndarray
    frames: np.ndarray
    steps: np.ndarray


_NONE = Counts(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty((0, 3)))


@dataclass(slots=True)
class Tally:
    """One class at one level."""

    limit: float
    num_frames: int = 0
    num_found: int = 0
    missed: int = 0
    parts: list[Counts] = field(default_factory=lambda: [_NONE])

    def add(self, frames: Frames, overlap: np.ndarray, truth_roles: np.ndarray, found_roles: np.ndarray) -> None:
        num_truth, num_found = len(truth_roles), len(found_roles)
        right, steps, missed = np.empty(num_truth), np.zeros((num_found, 3)), np.empty(num_truth, np.bool_)
        match(
            overlap, self.limit, frames.truth_starts, frames.found_starts, truth_roles, found_roles, frames.scores,
            *frames.angles, right, steps, missed,
        )  # fmt: skip
        of_truth, of_found = frames.of_truth + self.num_frames, frames.of_found + self.num_frames
        counted = np.bincount(frames.of_truth[truth_roles == COUNTS], minlength=frames.num)
        is_right, is_step = ~np.isnan(right), steps.any(1)
        self.parts.append(
            Counts(counted, right[is_right], of_truth[is_right], frames.scores[is_step], of_found[is_step], steps[is_step])
        )
        self.num_frames += frames.num
        self.num_found += int(((found_roles == COUNTS) | (found_roles == FORGIVEN)).sum())
        self.missed += int(missed.sum())

    def counts(self) -> Counts:
        """All frames so far, highest scores first."""
        all_ = Counts(*(np.concatenate(arrays) for arrays in zip(*self.parts, strict=True)))
        if len(self.parts) > 1:
            r, e = np.argsort(-all_.right_scores, kind="stable"), np.argsort(-all_.scores, kind="stable")
            all_ = Counts(
                all_.num_truth, all_.right_scores[r], all_.right_frames[r], all_.scores[e], all_.frames[e], all_.steps[e]
            )
            self.parts = [all_]
        return all_

    def score(self) -> Score:
        counts = self.counts()
        num_truth = int(counts.num_truth.sum())
        right, wrong = (int(n) for n in counts.steps[:, :2].sum(0))
        curves, once = np.zeros((2, precision.POINTS)), np.ones(self.num_frames, np.int64)
        thresholds = recall_thresholds(counts.right_scores, num_truth)
        at_last = precision.curves(counts.scores, counts.frames, counts.steps, once, thresholds, curves)
        precise, similar = curves
        of_all = (num_truth, self.num_found, right, wrong, self.missed)
        if not num_truth:
            return Score(None, None, precise, similar, None, *of_all)
        return Score(r40(precise), r11(precise), precise, similar, at_last / num_truth, *of_all)

    def interval(self, draws: np.ndarray) -> Interval:
        """draws (B, F) int64: how often each resample draws each frame."""
        out = np.empty((len(draws), 4))
        counts = self.counts()
        precision.resampled(*counts[1:], counts.num_truth, draws, out)
        out = out[~np.isnan(out[:, 0])]
        low, high = 100 * np.quantile(out, [0.025, 0.975], axis=0) if len(out) else np.full((2, 4), np.nan)
        return Interval(*zip(low.tolist(), high.tolist(), strict=True))


def r40(curve: np.ndarray) -> float:
    """(41,) 0..1 -> per cent."""
    return 100 * float(curve[1:].mean())


def r11(curve: np.ndarray) -> float:
    """(41,) 0..1 -> per cent."""
    return 100 * float(curve[::4].mean())


def recall_thresholds(right: np.ndarray, num_truth: int) -> np.ndarray:
    """Scores of the found truth boxes, any order -> (K <= 41,) descending: where recall is nearest to each multiple of 1/40."""
    out, frame = np.empty(precision.POINTS), np.zeros(len(right), np.int64)
    return out[: precision.recall_thresholds(-np.sort(-right), frame, np.ones(1, np.int64), num_truth, out)]
