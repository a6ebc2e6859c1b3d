"""Training scenes from any driver with the ports points and truth.

A position counts readings: reading p of a source of n frames is frame p mod n, in a new random order each round if `shuffle` is
set. A stream opened at p gives the same scenes as a stream that has read up to p.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.geometry.project import project_points
from operators.streams import CLASSES, Calibration, Truth
from operators.train.config import at_least, within
from pipeline.errors import GraphError, InputError
from pipeline.operator import Source, prepare

IGNORED = -1
_MIN_POINTS = 5
_SHUFFLE, _VIEW = 101, 102  # keys of the random numbers


@dataclass(frozen=True, slots=True)
class DataConfig:
    """A driver with the ports points and truth."""

    driver: str
    config: dict[str, Any] = field(default_factory=dict)
    camera_view: float | None = None  # share of scenes cut to the camera's view; None: 1 where only the view is labelled, else 0
    shuffle: bool | None = None  # another order every round; None: for drivers that read files (KITTI)
    min_points: dict[str, int] = field(default_factory=dict)  # boxes with fewer are ignored, neither object nor background

    def __post_init__(self) -> None:
        within(self, "camera_view", 0, 1)


@dataclass(frozen=True, slots=True)
class ValidConfig(DataConfig):
    scenes: int = 64

    def __post_init__(self) -> None:
        within(self, "camera_view", 0, 1)
        at_least(self, "scenes", 1)


@dataclass(slots=True)
class Scene:
    """points (N, 4) float32; boxes3d (M, 7) float64; classes (M,) int32 of the model or IGNORED; regions2d (K, 4) [px]:
    unlabelled regions of the picture; position: of its reading."""

    points: np.ndarray
    boxes3d: np.ndarray
    classes: np.ndarray
    regions2d: np.ndarray
    calibration: Calibration | None
    position: int


def class_table(names: Sequence[str], classes: Mapping[str, list[str]]) -> np.ndarray:
    """(len(CLASSES),) int32: label of a stream -> class of the model, in the order of `names`; IGNORED where it has none."""
    table = np.full(len(CLASSES), IGNORED, np.int32)
    for index, name in enumerate(names):
        for label in classes[name]:
            table[CLASSES.index(label)] = index
    return table


def min_points(data: DataConfig, names: Sequence[str]) -> np.ndarray:
    """(C,) fewest points of a box of each class; boxes with fewer are ignored."""
    return np.array([data.min_points.get(name, _MIN_POINTS) for name in names])


class Scenes:
    """Endless scenes by `read()`; `position` is that of the next reading."""

    def __init__(self, source: type[Source], config: Any, data: DataConfig, table: np.ndarray, seed: int) -> None:
        """table: see `class_table`"""
        for port in ("points", "truth"):
            if port not in source.outputs:
                raise GraphError(f"{data.driver}: needs the ports points and truth to train on, has {', '.join(source.outputs)}")
        self._source, self._config, self._who = source, config, data.driver
        self._table = table
        self._seed = seed
        self._wanted = frozenset({"points", "truth", "calibration"} & set(source.outputs))
        self._frames = source.find(config).frames
        source.check_ports(self._who, config, self._wanted, frozenset())
        if self._frames == 0:
            raise InputError(f"{data.driver}: needs at least one frame to train on, got none")
        labelled_in_view = bool(getattr(source, "truth_in_view", False))
        self._view = float(labelled_in_view) if data.camera_view is None else data.camera_view
        shuffle = labelled_in_view if data.shuffle is None else data.shuffle
        self._shuffled = shuffle and self._frames is not None
        self._order = np.empty(0, np.int64)
        self._round = -1
        self._reader: Source | None = None
        self._at = -1  # frame the reader would read next
        self._calibrations: list[tuple[int, Calibration]] = []
        self.position = 0

    def seek(self, position: int) -> None:
        self.position = position

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def read(self) -> Scene:
        """The next scene; readings without points or truth are skipped. Raises InputError where no reading has both."""
        for _ in range((self._frames or 1000) + 1):
            position = self.position
            reading = self._reading()
            points, truth = reading.values.get("points"), reading.values.get("truth")
            if points is not None and truth is not None:
                return self._scene(points, truth, self._calibration(reading.stamp_ns), position)
        raise InputError(f"{self._who}: needs frames with points and truth to train on, got none with both; no label folder?")

    def _reading(self) -> Any:
        for _ in range(2):
            frame = self._frame()
            if self._reader is None or frame != self._at:
                self._open(frame)
            assert self._reader is not None
            reading = self._reader.read()
            if reading is not None:
                self._at = frame + 1
                self.position += 1
                return reading
            if self._frames is None and frame > 0:  # the end of a source of unknown length
                self._frames = frame
            self._at = -1
        raise InputError(f"{self._who}: frame {frame} could not be read again; it ended before the {self._frames} it told of")

    def _frame(self) -> int:
        if self._frames is None:
            return self.position
        turn, index = divmod(self.position, self._frames)
        if not self._shuffled:
            return index
        if turn != self._round:
            self._order = np.random.Generator(np.random.PCG64([self._seed, _SHUFFLE, turn])).permutation(self._frames)
            self._round = turn
        return int(self._order[index])

    def _open(self, start: int) -> None:
        first = self._reader is None
        if self._reader is None:
            self._reader = prepare(self._source(), self._who, self._config, wanted=self._wanted, needed=())
        self._reader.open(start)
        if first:
            statics = [s for s in self._reader.statics() if s.port == "calibration"]
            self._calibrations = [(s.from_ns, s.value) for s in statics]

    def _calibration(self, stamp_ns: int) -> Calibration | None:
        """The latest calibration that is valid at that time."""
        known = None
        for since, value in self._calibrations:
            if known is None or since <= stamp_ns:
                known = value
        return known

    def _scene(self, points: np.ndarray, truth: Truth, calibration: Calibration | None, position: int) -> Scene:
        points = np.asarray(points)
        if self._view > 0 and self._random(position).random() < self._view:
            if calibration is None:
                raise InputError(f"{self._who}: camera_view needs a calibration, got none; set camera_view: 0")
            points = points[in_view(points, calibration)]
        boxes = np.asarray(truth.boxes3d, np.float64)
        known = np.isfinite(boxes).all(1) & (boxes[:, 3:6] > 0).all(1)
        labels = np.asarray(truth.labels)
        classes = np.where(labels >= 0, self._table[labels], IGNORED).astype(np.int32)
        regions = np.asarray(truth.boxes2d)[~known] if calibration is not None else np.empty((0, 4), np.float32)
        return Scene(points, boxes[known], classes[known], regions, calibration, position)

    def _random(self, position: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self._seed, _VIEW, position]))


def in_view(points: np.ndarray, calibration: Calibration) -> np.ndarray:
    """(N,) bool: the points that the camera sees, by the rule of KITTI's reduced scans."""
    forward = (calibration.P_cam @ calibration.T_cam_velo)[2]
    seen = points[:, :3].astype(np.float64) @ forward[:3] + forward[3] >= 0  # half of the points lie behind the camera
    uv, _ = project_points(points[seen, :3], calibration.P_cam, calibration.T_cam_velo)
    width, height = calibration.image_size
    seen[seen] = (uv[:, 0] >= 0) & (uv[:, 0] < width) & (uv[:, 1] >= 0) & (uv[:, 1] < height)
    return seen
