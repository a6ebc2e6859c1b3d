"""Classes and objects of points: mIoU, PQ of each scan, LSTQ of the ids over a sequence.

in   point_classes        POINT_CLASSES  fact class_names
     point_ids            POINT_IDS      optional, of the same points; not connected: no objects
     point_classes_truth  POINT_CLASSES  optional, of the same points, facts class_names, things; without it a frame is not scored
     point_ids_truth      POINT_IDS      optional, of the same points
Classes meet by their names; 255 and "unlabeled" have no truth. Shows the scores so far, and writes DIR/<node>/scores.json: the
numbers of point_segments.py, those of `pipe eval semantickitti` for the same points in .label files.
State: counts of all frames; during the run each frame is a line in .frames.jsonl, which a restarted node reads.
Empty scan: counts.   Class names that change during a run: refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.score.journal import JOURNAL, Journal
from operators.score.panoptic_pairs import Pairs
from operators.score.point_segments import PointScores, shared
from operators.score.tables import percent
from operators.streams import CLASS_NAMES, POINT_CLASSES, POINT_IDS, THINGS, VOID
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_NO_CLASS = "unlabeled"


@dataclass(frozen=True, slots=True)
class PointsConfig:
    min_points: int = 50  # smaller segments are no errors
    every: int = 50  # frames between two results
    keep_journal: bool = False  # leave .frames.jsonl for pipe batch

    def __post_init__(self) -> None:
        for key in ("min_points", "every"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")


class ScorePoints(Operator):
    Config = PointsConfig
    journal_file = JOURNAL
    inputs = {
        "point_classes": POINT_CLASSES,
        "point_ids": optional(POINT_IDS),
        "point_classes_truth": optional(POINT_CLASSES),
        "point_ids_truth": optional(POINT_IDS),
    }

    def open(self) -> None:
        self.journal = Journal(self.name, self.out_dir)
        self.names: list[str] = []
        self.things: list[str] = []
        self.scores: PointScores | None = None
        self.num_frames = 0
        nothing = np.zeros(0, np.int64)
        shared(nothing, nothing, nothing, nothing)  # compiles
        if self.resume is not None:
            for _, item, (names, things, columns) in self.journal.kept(self.resume.frame_id):
                self._count(item, names, things, Pairs(*(np.array(column, np.int64) for column in columns)))

    def process(
        self,
        point_classes: np.ndarray,
        point_ids: np.ndarray | None = None,
        point_classes_truth: np.ndarray | None = None,
        point_ids_truth: np.ndarray | None = None,
    ) -> None:
        if point_classes_truth is None:
            return
        for port, array in (("point_ids", point_ids), ("point_classes", point_classes), ("point_ids_truth", point_ids_truth)):
            if array is not None and len(array) != len(point_classes_truth):
                num = len(point_classes_truth)
                raise FrameError(f"{self.name} at {self.header}: needs {port} of the {num} points, got {len(array)}")
        facts = [self.meta.get(port, {}) for port in ("point_classes_truth", "point_classes")]
        every = [list(of.get(CLASS_NAMES, ())) for of in facts]
        names = [name for name in dict.fromkeys([*every[0], *every[1]]) if name != _NO_CLASS]
        things = [name for name in names if any(name in of.get(THINGS, ()) for of in facts)]
        if self.scores is not None and (names, things) != (self.names, self.things):
            raise FrameError(f"{self.name} at {self.header}: needs the classes of the frames before, got {', '.join(names)}")
        truth = self._numbers("point_classes_truth", point_classes_truth, every[0], names)
        found = self._numbers("point_classes", point_classes, every[1], names)
        pairs = shared(truth, _instances(point_ids_truth, truth), found, _instances(point_ids, found))
        self.journal.add(self.header, [names, things, [column.tolist() for column in pairs]])
        self._count(self.header.item, names, things, pairs)
        if self.num_frames % self.config.every == 0:
            self._tell()

    def close(self) -> None:
        if self.scores is None:
            self.status("no truth, no scores")
            return
        found = self._tell()
        self.journal.save(found, self.num_frames)
        self.journal.close(self.config.keep_journal)

    def _numbers(self, port: str, classes: np.ndarray, own: list[str], names: list[str]) -> np.ndarray:
        """(N,) classes with the names `own` -> numbers of the scores: 0 = none, then `names`"""
        table = np.full(VOID + 1, -1)
        table[VOID] = 0
        table[: len(own)] = [0 if name == _NO_CLASS else 1 + names.index(name) for name in own]
        numbers = table[classes]
        if numbers.min(initial=0) < 0:
            unknown = int(classes[numbers < 0][0])
            raise FrameError(f"{self.name}.{port} at {self.header}: needs classes of the {len(own)} class_names, got {unknown}")
        return numbers

    def _count(self, item: str, names: list[str], things: list[str], pairs: Pairs) -> None:
        if self.scores is None:
            self.names, self.things = names, things
            self.scores = PointScores(1 + len(names), self.config.min_points)
        self.scores.count(item.rpartition("/")[0], pairs)
        self.num_frames += 1

    def _tell(self) -> dict[str, Any]:
        assert self.scores is not None
        found = self.scores.numbers(tuple(1 + self.names.index(name) for name in self.things))
        found["classes"] = {self.names[number - 1]: values for number, values in found["classes"].items()}
        present = found["present"]
        self.status(
            f"{self.num_frames} scans: mIoU {percent(present['miou'])}, PQ {percent(present['pq'])} of the classes present, "
            f"LSTQ {percent(found['lstq'])}"
        )
        return {"frames": self.num_frames, **found}


def _instances(ids: np.ndarray | None, points: np.ndarray) -> np.ndarray:
    """Instance of each point, 0 = none"""
    return np.zeros(len(points), np.int64) if ids is None else np.where(ids < 0, 0, ids + 1)
