"""How good the detections are, while the graph runs: average precision per class against the truth.

in   boxes3d      BOXES3D      any kind of score
     truth        TRUTH        optional; frames without it are not scored, a run without it writes nothing
     calibration  CALIBRATION  static, optional: only boxes in its picture count, and DontCare regions forgive detections

AP of 3D boxes as in ap.py, R40, in per cent. `rule: range` counts all truth up to `range_m`; `kitti` counts easy, moderate and
hard truth by the devkit's limits (needs calibration). Also recall and precision of centres up to `centre_m` apart, for
detections with at least `min_score`.
Shows the AP so far, and writes DIR/<node>/scores.json and a line per class and level in scores.csv, every `every` frames (in
long runs: each time the number of frames has grown by a tenth) and at the end.
State: all frames so far; during the run each is a line in .frames.jsonl, which a restarted node reads.
Empty frame: counts; truth in it is missed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from operators.geometry.project import boxes_to_image
from operators.score.ap import IOU, KITTI_LEVELS, OWN_CLASSES, AveragePrecision, Level, Region, inside_dontcare
from operators.score.centres import Centres, Counts
from operators.score.journal import JOURNAL, Journal
from operators.score.tally import Score
from operators.streams import BOXES3D, CALIBRATION, CLASSES, TRUTH, Boxes3D, Calibration, Truth
from pipeline.errors import RunError
from pipeline.operator import Operator
from pipeline.schema import Schema, optional, static

_CSV = "frames,frame_id,item,class,level,num_truth,num_found,ap_r40,ap_r11,recall\n"
_IN_PICTURE_PX = 1e-3  # a box outside the picture has height 0


@dataclass(frozen=True, slots=True)
class DetectionConfig:
    classes: dict[str, list[str]] = field(default_factory=lambda: {name: list(own) for name, own in OWN_CLASSES.items()})
    # class -> the labels that count as it; {Car: [Car, Van]} scores vans as cars
    iou: dict[str, float] = field(default_factory=lambda: dict(IOU))  # class -> a right detection overlaps by more
    rule: Literal["range", "kitti"] = "range"
    range_m: float = 50.0  # of `range`, from the LiDAR
    max_occluded: int = 3  # of `range`: truth occluded more than this is ignored
    region_m: Region | None = None  # x0 y0 x1 y1: only truth and detections in there count, by both rules; None: all
    centre_m: float = 2.0
    min_score: float = 0.5  # for recall and precision of centres; AP uses all scores
    every: int = 50  # frames between two results
    keep_journal: bool = False  # leave .frames.jsonl for pipe batch

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("classes: needs at least one class with its labels, got none")
        labels = [label for own in self.classes.values() for label in own]
        for label in labels:
            if label not in CLASSES:
                raise ValueError(f"classes: needs labels of {', '.join(CLASSES)}, got {label}")
            if labels.count(label) > 1:
                raise ValueError(f"classes: needs each label in one class, got {label} {labels.count(label)} times")
        for name in self.classes:
            if not 0 <= self.iou.get(name, -1) < 1:
                raise ValueError(f"iou: needs 0 .. 1 for class {name}, got {self.iou.get(name, 'nothing')}")
        if self.every < 1:
            raise ValueError(f"every: needs 1 or more, got {self.every}")
        if self.region_m is not None and not (self.region_m[0] < self.region_m[2] and self.region_m[1] < self.region_m[3]):
            raise ValueError(f"region_m: needs x0 y0 x1 y1 with x0 < x1 and y0 < y1, got {list(self.region_m)}")
        if not (self.range_m > 0 and self.centre_m > 0):
            raise ValueError(f"range_m: needs more than 0, as centre_m, got {self.range_m} and {self.centre_m}")


class Scores:
    """Everything scored so far; without files, for benches and tests."""

    def __init__(self, config: DetectionConfig, in_picture: bool) -> None:
        low_px = _IN_PICTURE_PX if in_picture else -math.inf
        all_ = Level("all", low_px, config.max_occluded, max_range_m=config.range_m)
        levels = tuple(
            replace(level, region_m=config.region_m) for level in ((all_,) if config.rule == "range" else KITTI_LEVELS)
        )
        self.config = config
        # the devkit ignores DontCare regions in 3D
        self.ap = AveragePrecision(config.classes, levels, "3d", config.iou, dontcare=config.rule == "range")
        self.centres = {name: Centres(config.centre_m) for name in config.classes}

    def add(self, found: Boxes3D, truth: Truth, boxes2d: np.ndarray | None) -> None:
        """boxes2d (D, 4): the detections [px]; None: no picture."""
        self.ap.add(found, truth, boxes2d)
        level = self.ap.levels[-1]  # the level that counts most truth
        counts, left_out = level.counts(truth), level.leaves_out(found, boxes2d)
        inside = inside_dontcare(truth, boxes2d, len(found.labels))
        for name, centres in self.centres.items():
            own, near = self.ap.labels[name], self.ap.neighbours[name]
            t = np.flatnonzero(np.isin(truth.labels, own + near))
            d = np.flatnonzero(np.isin(found.labels, own) & (found.scores >= self.config.min_score))
            centres.add(
                truth.boxes3d[t, :2],
                found.boxes3d[d, :2],
                truth.labels[t],
                found.labels[d],
                ~counts[t] | np.isin(truth.labels[t], near),
                left_out[d] | (inside[d] > self.config.iou[name]),
            )

    def result(self) -> dict[str, Any]:
        """Plain numbers, as in scores.json. None: no truth that counts, or no detections."""
        config, classes = self.config, {}
        for name, levels in self.ap.result().items():
            classes[name] = {
                "ap": {level: _plain(score) for level, score in levels.items()},
                "centres": _centres(self.centres[name].counts()),
            }
        rule: dict[str, Any] = {"range_m": config.range_m, "max_occluded": config.max_occluded} if config.rule == "range" else {}
        if config.region_m is not None:
            rule["region_m"] = list(config.region_m)
        return {
            "frames": self.ap.num_frames,
            "rule": config.rule,
            **rule,
            "centre_m": config.centre_m,
            "min_score": config.min_score,
            "labels": {name: list(own) for name, own in config.classes.items()},
            "iou": {name: config.iou[name] for name in config.classes},
            "classes": classes,
        }


class Detection(Operator):
    Config = DetectionConfig
    journal_file = JOURNAL
    inputs = {"boxes3d": BOXES3D, "truth": optional(TRUTH), "calibration": static(CALIBRATION, optional=True)}

    def open(self) -> None:
        _compile()  # before the first frame, and while hang_s does not count
        self.scores: Scores | None = None
        self.due = self.config.every
        self.reported = 0  # frames in the latest result
        self.journal = Journal(self.name, self.out_dir, _CSV)
        if self.resume is not None:
            for frame_id, item, plain in self.journal.kept(self.resume.frame_id):
                if self._add(_Frame.of(frame_id, item, plain)) and self.scores is not None:
                    self.reported = self.scores.ap.num_frames

    def process(self, boxes3d: Boxes3D, truth: Truth | None, calibration: Calibration | None) -> None:
        if truth is None:
            return
        if self.config.rule == "kitti" and calibration is None:
            raise RunError(f"{self.name}: config.rule: kitti needs the input calibration, got none; connect it, or rule: range?")
        boxes2d = None
        if calibration is not None:
            boxes2d, _ = boxes_to_image(boxes3d.boxes3d, calibration.P_cam, calibration.T_cam_velo, calibration.image_size)
        frame = _Frame(self.header.frame_id, self.header.item, boxes3d, truth, boxes2d)
        self.journal.add(self.header, frame.plain())
        if self._add(frame):
            self._tell()

    def close(self) -> None:
        if self.scores is None:
            self.status("no truth, no scores")
            return
        if self.reported < self.scores.ap.num_frames or not self.journal.saved:
            self._tell()
        self.journal.close(self.config.keep_journal)

    def _add(self, frame: _Frame) -> bool:
        """True when a result is due. This depends on the number of frames only, so a restart changes nothing."""
        if self.scores is None:
            self.scores = Scores(self.config, frame.boxes2d is not None)
        self.scores.add(frame.found, frame.truth, frame.boxes2d)
        self.last = frame
        if self.scores.ap.num_frames < self.due:
            return False
        self.due = max(self.due + self.config.every, self.due * 11 // 10)
        return True

    def _tell(self) -> None:
        assert self.scores is not None
        result = self.scores.result()
        self.reported = result["frames"]
        self.status(summary(result))
        start = f"{self.reported},{self.last.frame_id},{self.last.item}"
        rows = [
            f"{start},{name},{level},{ap['truth']},{ap['found']},{_cell(ap['r40'])},{_cell(ap['r11'])},{_cell(ap['recall'])}\n"
            for name, of_class in result["classes"].items()
            for level, ap in of_class["ap"].items()
        ]
        self.journal.tell(self.header, rows)
        self.journal.save(result, self.reported)


def _compile() -> None:
    """Compile the kernels: score one box that is found."""
    box, none, car = np.ones((1, 7), np.float32), np.zeros(1, np.int32), np.full(1, CLASSES.index("Car"), np.int32)
    truth = Truth(box, np.zeros((1, 4), np.float32), car, np.zeros(1, np.int64), none, np.zeros(1, np.float32))
    scores = Scores(DetectionConfig(), in_picture=False)
    scores.add(Boxes3D(box, np.ones(1, np.float32), car), truth, None)
    scores.result()


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """The scored data of a frame, and the same as plain lists for the journal."""

    frame_id: int
    item: str
    found: Boxes3D
    truth: Truth
    boxes2d: np.ndarray | None

    def plain(self) -> list[Any]:
        boxes2d = None if self.boxes2d is None else self.boxes2d.tolist()
        return [[a.tolist() for a in self.found], [a.tolist() for a in self.truth], boxes2d]

    @classmethod
    def of(cls, frame_id: int, item: str, plain: list[Any]) -> _Frame:
        found, truth, boxes2d = plain
        return cls(
            frame_id,
            item,
            Boxes3D(*_arrays(BOXES3D, found)),
            Truth(*_arrays(TRUTH, truth)),
            None if boxes2d is None else np.array(boxes2d, np.float32).reshape(-1, 4),
        )


def summary(result: dict[str, Any]) -> str:
    """`Car 71.2, Pedestrian 45.0 (3D AP R40, 120 frames)`; levels of one class with / between."""
    parts = []
    for name, of_class in result["classes"].items():
        parts.append(f"{name} " + "/".join("-" if ap["r40"] is None else f"{ap['r40']:.1f}" for ap in of_class["ap"].values()))
    return f"{', '.join(parts)} (3D AP R40, {result['frames']} frames)"


def _arrays(schema: Schema, lists: list[Any]) -> list[np.ndarray]:
    """Lists made by `tolist` -> arrays of the schema; an empty list gets its columns back."""
    out = []
    for array, values in zip(schema.arrays.values(), lists, strict=True):
        out.append(np.array(values, array.dtype).reshape(-1, *(n for n in array.shape[1:] if isinstance(n, int))))
    return out


def _plain(score: Score) -> dict[str, Any]:
    return {
        "r40": score.r40,
        "r11": score.r11,
        "recall": score.recall,
        "truth": score.num_truth,
        "found": score.num_found,
    }


def _centres(counts: Counts) -> dict[str, Any]:
    return {"recall": counts.recall, "precision": counts.precision, **asdict(counts)}


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
