"""Batches of pillars and targets.

Batch b follows from the seed, the config and b alone. Pasted objects come from the scenes before it, so a stream reads those
scenes first, at whatever batch it starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from operators.lidar.grouping import Grouping
from operators.nets.pointpillars_config import PointPillarsConfig
from operators.train.pointpillars.augment import Bank, augment
from operators.train.pointpillars.boxes import points_in_boxes
from operators.train.pointpillars.config import TrainConfig
from operators.train.pointpillars.targets import Assigner, Targets, with_too_few_points
from operators.train.scenes import Scene, Scenes, class_table, min_points
from pipeline.operator import Source

_AUGMENT = 103  # key of the random numbers


class Batch(NamedTuple):
    """B scenes in one: pillars (P, K, 4), counts (P,), cells (P, 2), scan (P,) int64; labels (B, A), at (Q,) int64 into B * A,
    residuals (Q, 7), bins (Q,). position: in the stream, after this batch. Times: read_ms of the scenes, make_ms of
    the rest, assign_ms of the targets (a part of make_ms)."""

    pillars: np.ndarray
    counts: np.ndarray
    cells: np.ndarray
    scan: np.ndarray
    labels: np.ndarray
    at: np.ndarray
    residuals: np.ndarray
    bins: np.ndarray
    position: int
    read_ms: float
    make_ms: float
    assign_ms: float


class Pillarizer:
    """Points -> pillars on the grid of one net, as lidar.voxelize makes them."""

    def __init__(self, config: PointPillarsConfig) -> None:
        self._grouping = Grouping(config.cell_m, config.range_m)
        self._pillars = np.empty((config.max_pillars, config.max_points, 4), np.float32)
        self._cells = np.empty((config.max_pillars, 2), np.int32)
        self._counts = np.empty(config.max_pillars, np.int32)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """-> pillars, counts, cells: views; the next call overwrites them."""
        points = np.ascontiguousarray(points, np.float32)
        num, _ = self._grouping.group(points, self._pillars.shape[1], self._cells, self._counts)
        self._grouping.pad(points, self._counts[:num], self._pillars)
        return self._pillars[:num], self._counts[:num], self._cells[:num]


class Batches:
    """The training batches of a config."""

    def __init__(self, source: type[Source], source_config: Any, config: TrainConfig) -> None:
        self._config = config
        self._names = config.model.class_names
        table = class_table(self._names, config.classes)
        self._scenes = Scenes(source, source_config, config.data, table, config.seed)
        self._least = min_points(config.data, self._names)
        self._pillarize, self._assign = Pillarizer(config.model), Assigner(config.model)

    def stream(self, start: int) -> Iterator[Batch]:
        """Endless. start: a position in the stream of readings, 0 or the position of an earlier batch."""
        config = self._config
        paste = config.augment.paste
        bank = Bank(paste.scenes, paste.min_points)
        pasting = bool(paste.counts)
        self._scenes.seek(max(start - paste.scenes, 0) if pasting else start)
        while self._scenes.position < start:
            bank.add(self._scenes.read())
        while True:
            parts, read_s, assign_s, begun = [], 0.0, 0.0, time.perf_counter()
            for _ in range(config.batch):
                since = time.perf_counter()
                scene = self._scenes.read()
                read_s += time.perf_counter() - since
                pillars, targets, spent_s = self._example(scene, bank)
                assign_s += spent_s
                parts.append((pillars, targets))
                if pasting:
                    bank.add(scene)
            yield _joined(
                parts, self._scenes.position, 1e3 * read_s, 1e3 * (time.perf_counter() - begun - read_s), 1e3 * assign_s
            )

    def close(self) -> None:
        self._scenes.close()

    def _example(self, scene: Scene, bank: Bank) -> tuple[tuple[np.ndarray, ...], Targets, float]:
        random = np.random.Generator(np.random.PCG64([self._config.seed, _AUGMENT, scene.position]))
        made, T = augment(scene, bank, self._config.augment, self._names, self._config.model.range_m, random)
        _, counts = points_in_boxes(made.points, made.boxes3d)
        pillars = tuple(part.copy() for part in self._pillarize(made.points))
        since = time.perf_counter()
        hidden = self._assign.hidden(scene.regions2d, scene.calibration, T)
        targets = self._assign(made.boxes3d, with_too_few_points(made, counts, self._least), hidden)
        return pillars, targets, time.perf_counter() - since


def _joined(
    parts: list[tuple[tuple[np.ndarray, ...], Targets]], position: int, read_ms: float, make_ms: float, assign_ms: float
) -> Batch:
    pillars, counts, cells = (np.concatenate(column) for column in zip(*(p for p, _ in parts), strict=True))
    scan = np.repeat(np.arange(len(parts)), [len(p[0]) for p, _ in parts])
    targets = [t for _, t in parts]
    anchors = len(targets[0].labels)
    return Batch(
        pillars,
        counts.astype(np.int64),
        cells.astype(np.int64),
        scan,
        np.stack([t.labels for t in targets]),
        np.concatenate([t.at + b * anchors for b, t in enumerate(targets)]),
        np.concatenate([t.residuals for t in targets]),
        np.concatenate([t.bins for t in targets]),
        position,
        read_ms,
        make_ms,
        assign_ms,
    )
