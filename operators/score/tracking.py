"""Score the tracks so far after each frame: HOTA, MOTA and IDF1 by boxes in the picture, with KITTI's rules.

in   tracks       TRACKS
     boxes2d      BOXES2D      optional: the tracks in the picture, row by row; NaN or not connected: projected here
     truth        TRUTH        optional; frames without it are not scored, a run without it writes nothing
     calibration  CALIBRATION  static, of the camera whose picture counts
Writes DIR/<node>/scores.csv, a line per frame and class as each frame arrives, and at the end scores.json: the numbers, under
the same names, that `pipe eval kitti-tracking` gives for the same tracks written by write.kitti_tracking.

All numbers cover all frames so far. They are recomputed from the first frame of the sequence, because HOTA pairs ids by all
frames; after 1,000 frames only each time the sequence has grown by a thousandth. Neighbours of a class (Van of Car,
Person_sitting of Pedestrian) and truth of occlusion > 2 or truncated by half or more are distractors; truth outside the picture
is ignored.
State: ids and overlaps of all frames; during the run each frame is a line in .frames.jsonl, which a restarted node reads.
Empty frame: counts; truth in it is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.files import exact_decimals
from operators.geometry.project import in_picture
from operators.kernels.overlaps import prepare
from operators.score import clear, hota, identity
from operators.score.journal import JOURNAL, Journal
from operators.score.overlaps import Overlaps
from operators.score.tables import flat, percent, scored
from operators.streams import BOXES2D, CALIBRATION, CLASSES, DONT_CARE, TRACKS, TRUTH, Boxes2D, Calibration, Tracks, Truth
from pipeline.errors import RunError
from pipeline.operator import Operator
from pipeline.schema import optional, static

NEIGHBOURS = {"Car": ("Van",), "Pedestrian": ("Person_sitting",)}
MAX_OCCLUDED, TRUNCATED = 2, 0.5
MIN_HEIGHT_PX = 25.0
EVERY_FRAME_UP_TO = 1_000

_COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "MOTP", "IDF1", "IDS", "FRAG", "CLR_TP", "CLR_FN", "CLR_FP")
_CSV = f"frames,frame_id,item,class,{','.join(_COLUMNS)}\n"
_Results = tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]
_Pairs = tuple[list[int], list[int], list[float]]
"""One class and frame, after KITTI's preparation: ids of the truth, ids of the tracks, their IoU row by row."""


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    classes: list[str] = field(default_factory=lambda: ["Car", "Pedestrian"])
    keep_journal: bool = False  # leave .frames.jsonl for pipe batch

    def __post_init__(self) -> None:
        for name in self.classes:
            if name not in CLASSES:
                raise ValueError(f"classes: needs names of {', '.join(CLASSES)}, got {name}")
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: needs one or more different names, got {self.classes or 'none'}")


class Tracking(Operator):
    Config = TrackingConfig
    journal_file = JOURNAL
    inputs = {"tracks": TRACKS, "boxes2d": optional(BOXES2D), "truth": optional(TRUTH), "calibration": static(CALIBRATION)}

    def open(self) -> None:
        self.scores = Scores(self.config.classes)
        Scores(["Car"]).add("", {"Car": ([1], [1], [1.0])})  # compile before the first frame
        prepared(["Car"], *_any_frame())
        self.journal = Journal(self.name, self.out_dir, _CSV)
        if self.resume is not None:
            for _, item, pairs in self.journal.kept(self.resume.frame_id):
                self.scores.add(item.rpartition("/")[0], pairs, tell=False)

    def process(self, tracks: Tracks, boxes2d: Boxes2D | None, truth: Truth | None, calibration: Calibration) -> None:
        if truth is None:
            return
        try:
            pairs = prepared(self.config.classes, tracks, None if boxes2d is None else boxes2d.boxes2d, truth, calibration)
        except ValueError as error:
            raise RunError(f"{self.name}: frame {self.header} ({self.header.item}): {error}") from None
        self.journal.add(self.header, pairs)
        so_far = self.scores.add(self.header.sequence, pairs)
        if so_far is not None:
            start = f"{self.scores.frames},{self.header.frame_id},{self.header.item}"
            rows = [f"{start},{name},{','.join(_cell(numbers[key]) for key in _COLUMNS)}\n" for name, numbers in so_far.items()]
            self.journal.tell(self.header, rows)
            self.status(summary(so_far))

    def close(self) -> None:
        if not self.scores.frames:
            self.status("no truth, no scores")
            return
        found = self.scores.result()
        self.status(summary(found["classes"]))
        self.journal.save(found, self.scores.frames)
        self.journal.close(self.config.keep_journal)


class Scores:
    """Everything scored so far; without files, for tests."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes
        self.frames = 0
        self.sequences: dict[str, dict[str, _Growing]] = {}
        self.current: str | None = None
        self.before: dict[str, _Results] = {}  # of all sequences but the current one

    def add(self, sequence: str, pairs: Mapping[str, _Pairs], tell: bool = True) -> dict[str, dict[str, Any]] | None:
        """One frame -> class -> numbers of all frames so far; None while no result is due."""
        if sequence != self.current:
            self.current = sequence
            self.sequences.setdefault(sequence, {name: _Growing() for name in self.classes})
            self.before = self._combined({s: parts for s, parts in self.sequences.items() if s != sequence})
        parts = self.sequences[sequence]
        for name in self.classes:
            parts[name].add(*pairs[name])
        self.frames += 1
        num_frames = next(iter(parts.values())).num_frames
        if not tell or (num_frames > EVERY_FRAME_UP_TO and num_frames % (num_frames // EVERY_FRAME_UP_TO)):
            return None
        return {name: scored(flat(*_combine([self.before[name], measured(parts[name].overlaps())]))) for name in self.classes}

    def result(self) -> dict[str, Any]:
        """Plain numbers, as in scores.json."""
        sequences = {s: {name: measured(part.overlaps()) for name, part in parts.items()} for s, parts in self.sequences.items()}
        classes = {}
        for name in self.classes:
            of_class = {s: results[name] for s, results in sequences.items()}
            numbers = flat(*_combine(list(of_class.values()))) | {"sequences": {s: flat(*r) for s, r in of_class.items()}}
            classes[name] = scored(numbers)
        frames = {s: next(iter(parts.values())).num_frames for s, parts in self.sequences.items()}
        return {"frames": frames, "classes": classes}

    def _combined(self, sequences: Mapping[str, Mapping[str, _Growing]]) -> dict[str, _Results]:
        return {name: _combine([measured(parts[name].overlaps()) for parts in sequences.values()]) for name in self.classes}


def measured(data: Overlaps) -> _Results:
    return clear.clear(data), identity.identity(data), hota.hota(data)


def _combine(results: list[_Results]) -> _Results:
    return clear.combine(r[0] for r in results), identity.combine(r[1] for r in results), hota.combine(r[2] for r in results)


class _Growing:
    """Growing overlaps of a sequence and class: arrays with spare room, ids numbered in order of appearance."""

    def __init__(self) -> None:
        self.num_frames = 0
        self.truth, self.tracks, self.similarity = _Buffer(np.int64), _Buffer(np.int64), _Buffer(np.float64)
        self.truth_starts, self.track_starts = _Buffer(np.int64, [0]), _Buffer(np.int64, [0])
        self.truth_numbers: dict[int, int] = {}
        self.track_numbers: dict[int, int] = {}

    def add(self, truth_ids: list[int], track_ids: list[int], similarity: list[float]) -> None:
        self.num_frames += 1
        self.truth.extend([self.truth_numbers.setdefault(i, len(self.truth_numbers)) for i in truth_ids])
        self.tracks.extend([self.track_numbers.setdefault(i, len(self.track_numbers)) for i in track_ids])
        self.similarity.extend(similarity)
        self.truth_starts.extend([self.truth.length])
        self.track_starts.extend([self.tracks.length])

    def overlaps(self) -> Overlaps:
        arrays = (self.truth, self.truth_starts, self.tracks, self.track_starts, self.similarity)
        lists = [buffer.values[: buffer.length] for buffer in arrays]
        return Overlaps(lists[0], lists[1], lists[2], lists[3], lists[4], len(self.truth_numbers), len(self.track_numbers))


class _Buffer:
    def __init__(self, dtype: Any, values: Any = ()) -> None:
        self.values, self.length = np.empty(64, dtype), 0
        self.extend(values)

    def extend(self, values: Any) -> None:
        end = self.length + len(values)
        if end > len(self.values):
            self.values = np.concatenate([self.values, np.empty(max(end, len(self.values)), self.values.dtype)])
        self.values[self.length : end] = values
        self.length = end


def prepared(
    classes: list[str], tracks: Tracks, known2d: np.ndarray | None, truth: Truth, calibration: Calibration
) -> dict[str, _Pairs]:
    """Class -> the pairs of one frame that count. Raises ValueError for a repeated or missing id."""
    boxes2d, visible = in_picture(tracks.boxes3d, calibration, known2d)
    boxes2d = exact_decimals(boxes2d)
    objects = exact_decimals(truth.boxes2d)
    seen = (objects[:, 2] > objects[:, 0]) & (objects[:, 3] > objects[:, 1])  # NaN is not
    regions = objects[seen & (truth.labels == DONT_CARE)]
    hidden = (truth.occluded > MAX_OCCLUDED) | (truth.truncated >= TRUNCATED)
    out = {}
    for name in classes:
        label = CLASSES.index(name)
        near = [label, *(CLASSES.index(other) for other in NEIGHBOURS.get(name, ()))]
        g = np.flatnonzero(seen & np.isin(truth.labels, near))
        t = np.flatnonzero(visible & (tracks.labels == label))
        _check_ids("truth", truth.track_ids[g])
        _check_ids("tracks", tracks.track_ids[t])
        aside = hidden[g] | (truth.labels[g] != label)
        kept, similarity = np.zeros(len(t), bool), np.empty(len(g) * len(t))
        num_pairs = prepare(
            objects[g], np.array([0, len(g)]), aside, ~aside, boxes2d[t], np.array([0, len(t)]),
            regions, np.array([0, len(regions)]), MIN_HEIGHT_PX, kept, similarity,
        )  # fmt: skip
        out[name] = (truth.track_ids[g[~aside]].tolist(), tracks.track_ids[t[kept]].tolist(), similarity[:num_pairs].tolist())
    return out


def _check_ids(what: str, ids: np.ndarray) -> None:
    if (ids < 0).any():
        raise ValueError(f"{what}: needs a track id for every object, got {ids.min()}; is this a data set of single pictures?")
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{what}: needs every track id once per frame and class, got {unique[counts > 1][0]} twice")


def _any_frame() -> tuple[Tracks, None, Truth, Calibration]:
    boxes3d, boxes2d = np.empty((0, 7), np.float32), np.empty((0, 4), np.float32)
    real, label, number = np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int64)
    camera = Calibration(np.eye(3, 4), np.eye(4), np.array([2, 2], np.int32))
    return Tracks(boxes3d, real, label, number), None, Truth(boxes3d, boxes2d, label, number, label, real), camera


def summary(classes: Mapping[str, Mapping[str, Any]]) -> str:
    """`Car HOTA 76.3 MOTA 85.2 IDF1 90.1, Pedestrian ...`"""
    shown = ("HOTA", "MOTA", "IDF1")
    return ", ".join(f"{name} " + " ".join(f"{key} {percent(of[key], 1)}" for key in shown) for name, of in classes.items())


def _cell(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6f}"
