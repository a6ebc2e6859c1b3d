"""Scores on video that is not trained on: of the net's detections, and of track.tracker2d on them.

AP50: area under the monotone precision-recall curve at IoU 0.5, all classes together. MOTA, IDF1, switches: as `pipe eval mot`.
Ignored truth is not missed, and a detection mostly inside of it does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from operators.detect.peaks import Peaks
from operators.kernels.overlaps import iou_2d, mostly_within, prepare
from operators.score import clear, identity
from operators.score.overlaps import Overlaps, overlaps, starts
from operators.streams import Boxes2D
from operators.track.tracker2d import FairmotConfig, Tracks
from operators.train.fairmot.clips import Frame
from operators.train.fairmot.targets import IGNORED

LEAST_SCORE = 0.05


class Score(NamedTuple):
    ap50: float
    mota: float
    idf1: float
    switches: int
    objects: int


def judge(frames: Sequence[Frame], detect: Callable[[np.ndarray], Peaks], by_looks: bool = True) -> Score:
    """by_looks: the tracker uses the embeddings; False: overlap alone."""
    tracks = Tracks(FairmotConfig(), 1)
    scores, right, objects = [], [], 0
    truth, tracked, aside = [], [], []
    before: str | None = None
    for number, frame in enumerate(frames):
        found = detect(frame.image)
        boxes, confidence = found.boxes.cpu().numpy().astype(np.float64), found.scores.cpu().numpy().astype(np.float64)
        hits, counts = _matched(boxes, frame)
        scores.append(confidence[counts])
        right.append(hits[counts])
        objects += int((frame.classes != IGNORED).sum())
        if frame.sequence != before:
            before = frame.sequence
            tracks.restart()
        seen = Boxes2D(boxes.astype(np.float32), confidence.astype(np.float32), found.classes.cpu().numpy().astype(np.int32))
        shown = tracks.step(seen, confidence, found.looks.cpu().numpy() if by_looks else None, 1)
        truth.append(np.column_stack([np.full(len(frame.boxes), number), frame.identities, frame.boxes]))
        aside.append(frame.classes == IGNORED)
        tracked.append(np.column_stack([np.full(len(shown.labels), number), shown.track_ids, shown.boxes2d]))
    data = _overlaps(np.concatenate(truth), np.concatenate(aside), np.concatenate(tracked), len(frames))
    motion, who = clear.clear(data), identity.identity(data)
    ap = average_precision(np.concatenate(scores), np.concatenate(right), objects)
    return Score(ap, float(motion["MOTA"]), float(who["IDF1"]), int(motion["IDS"]), objects)


def _matched(boxes: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """boxes (D, 4), best first -> correct (D,) bool, counted (D,) bool."""
    overlap = np.zeros((len(boxes), len(frame.boxes)))
    iou_2d(boxes, frame.boxes, overlap)
    hits, counts, free = np.zeros(len(boxes), bool), np.ones(len(boxes), bool), frame.classes != IGNORED
    for d in range(len(boxes)):
        near = np.where(free, overlap[d], 0.0)
        if len(near) and near.max() >= 0.5:
            free[near.argmax()] = False
            hits[d] = True
        else:
            counts[d] = not mostly_within(boxes[d], frame.boxes[frame.classes == IGNORED], 0.0)
    return hits, counts


def average_precision(scores: np.ndarray, right: np.ndarray, objects: int) -> float:
    """NaN where there are no objects."""
    if not objects:
        return float("nan")
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float(np.sum(np.diff(hits / objects, prepend=0.0) * precision))


def _overlaps(truth: np.ndarray, aside: np.ndarray, tracked: np.ndarray, frames: int) -> Overlaps:
    """Rows of frame, id, x1 y1 x2 y2."""
    at_truth, at_tracks = (starts(rows[:, 0].astype(np.int64), frames) for rows in (truth, tracked))
    kept = np.zeros(len(tracked), bool)
    similarity = np.empty(int((np.diff(at_truth) * np.diff(at_tracks)).sum()))
    boxes, regions = (np.ascontiguousarray(rows[:, 2:]) for rows in (truth, truth[aside]))
    at_regions, found = starts(truth[aside, 0].astype(np.int64), frames), np.ascontiguousarray(tracked[:, 2:])
    num = prepare(boxes, at_truth, aside, ~aside, found, at_tracks, regions, at_regions, -np.inf, kept, similarity)
    truth, tracked = truth[~aside], tracked[kept]
    at_truth, at_tracks = (starts(rows[:, 0].astype(np.int64), frames) for rows in (truth, tracked))
    ids = truth[:, 1].astype(np.int64), tracked[:, 1].astype(np.int64)
    return overlaps(ids[0], at_truth, ids[1], at_tracks, similarity[:num])
