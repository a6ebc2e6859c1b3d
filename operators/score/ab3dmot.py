"""AB3DMOT's evaluation of 3D tracks on KITTI: MOTA over all recalls in one number.     Source: Weng et al. 2020 (IROS), sec. IV

in   truth and tracks of kitti_rows.py
out  criterion -> class -> a dict
     sAMOTA AMOTA AMOTP    sums over the score thresholds of 40 recalls, divided by 40; a recall never reached adds 0
     best                  MOTA MOTP IDS FRAG ... at the threshold of the best MOTA, best_MOTA_threshold
     all_tracks            the same without a threshold;  per_recall: columns and rows, one per threshold
     A class without tracks is absent. MOTA without any counted truth is -inf.

Numbers equal AB3DMOT's scripts/KITTI/evaluate.py under Python up to 3.11, on every Python. Its behaviour is kept here:
- a track's score is the mean over its rows; each pass averages the means of the pass before, from left to right. The last digit
  drifts: a track whose own mean is a threshold may fall below it;
- `was_matched` is kept over passes: a row matched in one pass is not pardoned in a later one;
- rows are pardoned by their 2D box, also for 3D overlaps: at most 25 px high, or mostly in a DontCare region;
- TP, recall, precision and F1 include matches with ignored truth, MOTA's denominator n_gt does not;
- Person_sitting is a distractor, Person is not;
- FAR and MODP count one frame more than the sequence has, because AB3DMOT's seqmap does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from operators.geometry.boxes3d import upright
from operators.kernels import ab3dmot_passes as kernel
from operators.kernels.overlaps import all_pairs
from operators.score.kitti_rows import TYPES, Rows, Truth, num_frames, read
from operators.score.overlaps import starts
from operators.score.tables import aligned, percent

CRITERIA: dict[str, tuple[bool, float]] = {
    "3D IoU 0.25": (True, 0.25),
    "3D IoU 0.5": (True, 0.5),
    "3D IoU 0.7": (True, 0.7),
    "2D IoU 0.5": (False, 0.5),
}
"""Name -> 3D boxes (else 2D), least overlap of a match."""
NEIGHBOURS: dict[str, tuple[str, ...]] = {"car": ("van",), "pedestrian": ("person_sitting",), "cyclist": ()}
CLASSES = tuple(NEIGHBOURS)
MAX_OCCLUDED, MAX_TRUNCATED = 2, 0
MIN_HEIGHT_PX = 25.0
NUM_RECALLS = 40
NO_THRESHOLD = -10000.0
ROW = ("sMOTA", "MOTA", "MOTP", "recall", "precision", "F1", "TP", "FP", "FN", "IDS", "FRAG", "MT", "ML")

_RATIOS = ("MOTA", "MOTP", "recall", "precision", "F1", "MT", "ML")
_COUNTS = ("IDS", "FRAG", "TP", "FP", "FN")


def score(gt: str | Path, results: str | Path, sequences: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    return score_rows(*read(Path(gt), Path(results), sequences))


def score_rows(truth: Truth, tracks: Mapping[str, Rows], criteria: Sequence[str] = tuple(CRITERIA)) -> dict[str, dict[str, Any]]:
    """As `score`, from files already read; scores the sequences of `tracks`."""
    out: dict[str, dict[str, Any]] = {criterion: {} for criterion in criteria}
    for name in CLASSES:
        data = gather(truth, tracks, name)
        if not len(data.scores):
            continue
        overlaps = {solid: data.overlaps(solid) for solid in {CRITERIA[criterion][0] for criterion in criteria}}
        for criterion in criteria:
            solid, limit = CRITERIA[criterion]
            out[criterion][name] = _Run(data, overlaps[solid], limit).result()
    return out


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of criteria and classes; ratios in per cent."""
    head = ["AB3DMOT", "sAMOTA", "AMOTA", "AMOTP", "at score", *_RATIOS, *_COUNTS]
    table = [head]
    for criterion, classes in found.items():
        for name, numbers in classes.items():
            best = numbers["best"]
            threshold = numbers["best_MOTA_threshold"]
            table.append(
                [
                    f"{criterion} {name}",
                    *(percent(numbers[key]) for key in head[1:4]),
                    "all" if threshold == NO_THRESHOLD else f"{threshold:.4f}",
                    *(percent(best[key]) for key in _RATIOS),
                    *(str(best[key]) for key in _COUNTS),
                ]
            )
    if len(table) == 1:
        return ["AB3DMOT: no tracks of " + ", ".join(CLASSES)]
    return aligned(table)


@dataclass(frozen=True, slots=True)
class Class:
    """Truth (NG rows, neighbour classes included) and tracks (NT rows) of a class: all sequences, by frame."""

    truth: tuple[np.ndarray, np.ndarray]  # boxes2d (NG, 4), boxes_cam (NG, 7)
    truth_starts: np.ndarray  # (F + 1,)
    objects: np.ndarray  # (NG,) number of the truth object
    aside: np.ndarray  # (NG,) bool
    boxes: tuple[np.ndarray, np.ndarray]  # boxes2d (NT, 4), boxes_cam (NT, 7)
    starts: np.ndarray  # (F + 1,)
    tracks: np.ndarray  # (NT,) number of the track
    scores: np.ndarray  # (NT,)
    forgivable: np.ndarray  # (NT,) bool
    num_frames: int  # as FAR and MODP count them

    def overlaps(self, solid: bool) -> np.ndarray:
        """Overlap of all pairs of every frame, in 3D or in 2D."""
        a, b = (upright(of[1]) if solid else of[0] for of in (self.truth, self.boxes))
        out = np.empty(int((np.diff(self.truth_starts) * np.diff(self.starts)).sum()))
        all_pairs(a, self.truth_starts, b, self.starts, solid, out)
        return out


def gather(truth: Truth, tracks: Mapping[str, Rows], name: str) -> Class:
    objects, boxes, regions, frames = [], [], [], []
    for sequence, of_sequence in tracks.items():
        labels = truth.rows[sequence]
        objects.append(labels.of(name, *NEIGHBOURS[name]))
        boxes.append(of_sequence.of(name, *NEIGHBOURS[name]))
        regions.append(labels.of("dontcare"))
        frames.append(num_frames(truth, sequence, of_sequence))
    at_objects, at_boxes, at_regions = (_starts(parts, frames) for parts in (objects, boxes, regions))
    flat_objects, flat_boxes = _concatenated(objects), _concatenated(boxes)
    # an unmatched track of a neighbour class is never a false positive
    forgivable = flat_boxes.types != TYPES.index(name)
    kernel.pardoned(flat_boxes.boxes2d, at_boxes, _concatenated(regions).boxes2d, at_regions, MIN_HEIGHT_PX, forgivable)
    aside = flat_objects.types != TYPES.index(name)
    aside |= (flat_objects.occluded > MAX_OCCLUDED) | (flat_objects.truncated > MAX_TRUNCATED)
    return Class(
        (flat_objects.boxes2d, flat_objects.boxes_cam), at_objects, _numbered(objects), aside,
        (flat_boxes.boxes2d, flat_boxes.boxes_cam), at_boxes, _numbered(boxes), flat_boxes.scores,
        forgivable, sum(frames) + len(frames),
    )  # fmt: skip


def _starts(parts: Sequence[Rows], frames: Sequence[int]) -> np.ndarray:
    before = np.cumsum([0, *frames])
    flat = [part.frames + offset for part, offset in zip(parts, before.tolist(), strict=False)]
    return starts(np.concatenate([np.empty(0, np.int64), *flat]), int(before[-1]))


def _concatenated(parts: Sequence[Rows]) -> Rows:
    return Rows(Path(), *(np.concatenate(columns) for columns in list(zip(*parts, strict=True))[1:]))


def _numbered(parts: Sequence[Rows]) -> np.ndarray:
    """Ids 0..n-1 over all sequences: equal ids of two sequences are different objects."""
    sequence = np.repeat(np.arange(len(parts)), [len(part.ids) for part in parts])
    pairs = np.stack([sequence, np.concatenate([part.ids for part in parts])])
    return np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)


def _grouped(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers 0..n-1 of rows -> the rows of each number, in order, and the first row of each number (n + 1,)."""
    order = np.argsort(numbers, kind="stable")
    return order, starts(numbers[order], int(numbers.max(initial=-1)) + 1)


class _Run:
    """All passes of one class and criterion. Passes share `scores` and `was_matched`."""

    def __init__(self, data: Class, iou: np.ndarray, limit: float) -> None:
        self.data, self.iou, self.limit = data, iou, limit
        self.scores = data.scores.copy()
        self.was_matched = np.zeros(len(self.scores), bool)
        self.matched = np.empty(len(data.objects), np.int64)
        self.rows_of_tracks, self.rows_of_objects = _grouped(data.tracks), _grouped(data.objects)
        self.mean = np.empty(len(self.rows_of_tracks[1]) - 1)

    def result(self) -> dict[str, Any]:
        all_tracks = self.measure(NO_THRESHOLD)
        of_matches = self.mean[self.matched[self.matched != kernel.NOBODY]]
        sums, table = dict.fromkeys(("sMOTA", "MOTA", "MOTP"), 0.0), []
        best_mota, best_threshold = 0.0, NO_THRESHOLD
        for threshold, recall in thresholds(of_matches, all_tracks["TP"] + all_tracks["FN"]):
            found = self.measure(threshold, recall)
            for key in sums:
                sums[key] += found[key]
            if found["MOTA"] > best_mota:
                best_mota, best_threshold = found["MOTA"], threshold
            table.append([threshold, recall, *(found[key] for key in ROW)])
        best = self.measure(best_threshold)
        for found in (best, all_tracks):
            del found["sMOTA"]  # defined only at a recall
        return {
            "sAMOTA": sums["sMOTA"] / NUM_RECALLS,
            "AMOTA": sums["MOTA"] / NUM_RECALLS,
            "AMOTP": sums["MOTP"] / NUM_RECALLS,
            "thresholds_found": len(table),
            "best_MOTA_threshold": best_threshold,
            "best": best,
            "all_tracks": all_tracks,
            "per_recall": {"columns": ["score_threshold", "recall_point", *ROW], "rows": table},
        }

    def measure(self, threshold: float, recall: float = 1.0) -> dict[str, Any]:
        """One pass with the tracks whose mean score is at least the threshold."""
        data = self.data
        counts, fates, sums = np.zeros(9, np.int64), np.zeros(6, np.int64), np.zeros(2)
        kernel.average(*self.rows_of_tracks, self.scores, self.mean)
        frames = kernel.Frames(data.truth_starts, data.aside, data.starts, data.tracks, self.iou, data.forgivable)
        kernel.count(frames, self.limit, self.mean, threshold, self.was_matched, self.matched, counts, sums)
        kernel.follow(*self.rows_of_objects, data.aside, self.matched, fates)
        tp, ignored_tp, fp, fn, ignored_fn, n_gt, n_ignored_gt, n_tracker, n_ignored_tracker = counts.tolist()
        ids, frag, mostly, partly, lost, num_ignored = fates.tolist()
        num_objects = len(self.rows_of_objects[1]) - 1
        share = 1 / (num_objects - num_ignored) if num_objects > num_ignored else 0.0
        found, right = (tp / (tp + fn), tp / (tp + fp)) if tp + fn and tp + fp else (0.0, 0.0)
        return {
            "sMOTA": min(1, max(0, 1 - (fn + fp + ids - (1 - recall) * n_gt) / (recall * n_gt))) if n_gt else -np.inf,
            "MOTA": 1 - (fn + fp + ids) / n_gt if n_gt else -np.inf,
            "MOTP": float(sums[0]) / tp if tp else 0.0,
            "MODA": 1 - (fn + fp) / n_gt if n_gt else -np.inf,
            "MODP": (float(sums[1]) + data.num_frames - len(data.starts) + 1) / data.num_frames,
            "recall": found,
            "precision": right,
            "F1": 2 * (right * found) / (right + found) if right + found else 0.0,
            "FAR": fp / data.num_frames,
            "MT": mostly * share,
            "PT": partly * share,
            "ML": lost * share,
            "TP": tp,
            "ignored_TP": ignored_tp,
            "FP": fp,
            "FN": fn,
            "ignored_FN": ignored_fn,
            "IDS": ids,
            "FRAG": frag,
            "n_gt": n_gt,
            "n_ignored_gt": n_ignored_gt,
            "gt_trajectories": num_objects,
            "n_tracker": n_tracker,
            "n_ignored_tracker": n_ignored_tracker,
            "tracker_trajectories": len(self.mean),
        }


def thresholds(scores: np.ndarray, num_truth: int) -> list[tuple[float, float]]:
    """Scores of the matches -> (score, recall) where recall is nearest to each multiple of 1/40, without the first (recall 0)."""
    out = []
    descending = np.sort(scores)[::-1].tolist()
    recall = 0.0
    for i, value in enumerate(descending):
        last = i == len(descending) - 1
        left, right = (i + 1) / num_truth, (i + (1 if last else 2)) / num_truth
        if right - recall < recall - left and not last:
            continue
        out.append((value, recall))
        recall += 1 / NUM_RECALLS
    return out[1:]
