"""KITTI tracking: CLEAR, identity and HOTA of cars and pedestrians by their 2D boxes, and AB3DMOT's tables in 3D and 2D.

gt, results  folders as kitti_rows.py describes them

Numbers and rules are TrackEval's (Kitti2DBox). Distractors are vans for cars, sitting persons for pedestrians, and truth of
occlusion > 2 or truncation > 0: tracks that match them are ignored. Unmatched tracks at most 25 px high or mostly in a DontCare
region are ignored too. Names are TrackEval's, except IDS (IDSW there) and FRAG (Frag there).
A box without area matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from operators.kernels.overlaps import prepare
from operators.score import ab3dmot
from operators.score.kitti_rows import TYPES, Rows, Truth, notes, num_frames, read
from operators.score.overlaps import Overlaps, overlaps, starts
from operators.score.tables import numbers_of, scored, tracking_lines, unscored

CLASSES = ("car", "pedestrian")
NEIGHBOURS: dict[str, tuple[str, ...]] = {"car": ("van",), "pedestrian": ("person", "person_sitting")}
MAX_OCCLUDED, MAX_TRUNCATED = 2, 0
MIN_HEIGHT_PX = 25.0


def evaluate(gt: Path, results: Path, sequences: Sequence[str] | None = None) -> dict[str, Any]:
    """The numbers that `pipe eval` prints and writes."""
    truth, tracks = read(gt, results, sequences)
    classes = {name: scored(numbers) for name, numbers in score_rows(truth, tracks).items()}
    return {
        "frames": {name: num_frames(truth, name, of_file) for name, of_file in tracks.items()},
        "classes": classes,
        "ab3dmot": ab3dmot.score_rows(truth, tracks),
        "notes": notes(gt, results, truth, tracks) + unscored(classes, gt),
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    return [*tracking_lines(found), "", *ab3dmot.lines(found["ab3dmot"])]


def score(gt: str | Path, results: str | Path, sequences: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Class -> the numbers over all sequences, and below "sequences" those of each.

    With many result folders for one truth: `read_truth` once, then `score_rows(truth, read_results(...))`.
    """
    return score_rows(*read(Path(gt), Path(results), sequences))


def score_rows(truth: Truth, tracks: Mapping[str, Rows]) -> dict[str, dict[str, Any]]:
    """As `score`, from files already read; scores the sequences of `tracks`."""
    frames = {sequence: num_frames(truth, sequence, of_file) for sequence, of_file in tracks.items()}
    return {
        name: numbers_of({s: pairs(truth.rows[s], of_file, frames[s], name) for s, of_file in tracks.items()}) for name in CLASSES
    }


def pairs(truth: Rows, tracks: Rows, frames: int, name: str) -> Overlaps:
    """One class of one sequence, after KITTI's preparation."""
    objects, boxes, regions = truth.of(name, *NEIGHBOURS[name]), tracks.of(name), truth.of("dontcare")
    aside = (objects.types != TYPES.index(name)) | (objects.occluded > MAX_OCCLUDED) | (objects.truncated > MAX_TRUNCATED)
    at_objects, at_boxes, at_regions = (starts(of.frames, frames) for of in (objects, boxes, regions))
    kept = np.zeros(len(boxes.ids), bool)
    similarity = np.empty(int((np.diff(at_objects) * np.diff(at_boxes)).sum()))
    num_pairs = prepare(
        objects.boxes2d, at_objects, aside, ~aside, boxes.boxes2d, at_boxes, regions.boxes2d, at_regions, MIN_HEIGHT_PX,
        kept, similarity,
    )  # fmt: skip
    objects, boxes = objects.take(~aside), boxes.take(kept)
    at_objects, at_boxes = starts(objects.frames, frames), starts(boxes.frames, frames)
    return overlaps(objects.ids, at_objects, boxes.ids, at_boxes, similarity[:num_pairs])
