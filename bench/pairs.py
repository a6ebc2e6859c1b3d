"""Generated test pairs of an image and a thermal picture in memory, damaged on demand: for `pipe bench gate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drivers.synthetic.world import SyntheticWorld, WorldConfig
from operators.augment import pictures
from operators.fuse.gate import FuseGate
from operators.score.ap50 import Truth2D
from operators.streams import CLASSES, Boxes2D
from operators.train.fusion.pairs import Pair, read_pairs
from operators.train.scenes import IGNORED
from pipeline import settings, training
from pipeline.testing import run_operator

FILE, SEED, LEAST_SCORE, THREADS = "fusion_world", 8000, 0.01, 2
"""Seed of streets that training (6000) and its validation (7000) do not have."""
KINDS = {
    "blackout": (0.5, 0.8, 1.0), "whiteout": (0.5, 0.8, 1.0), "glare": (0.4, 0.7, 1.0), "noise": (0.05, 0.1, 0.2),
    "salt_and_pepper": (0.02, 0.08, 0.3),
}  # fmt: skip
"""Levels of the three severities, docs/faults.md."""
MODALITIES = ("image", "thermal")
Cell = tuple[str, int, str]
"""Kind, severity 0..2, modality; CLEAN: undamaged."""
CLEAN: Cell = ("clean", 0, "")


class Made:
    """The pairs, their truth, and the results that other cells need too."""

    def __init__(self, count: int) -> None:
        spec = training.load(FILE, [f"valid.config.seed={SEED}", f"valid.config.drives={count}"])
        config = spec.config
        world = settings.build(WorldConfig, config.valid.config, spec.where)
        self.pairs = read_pairs(SyntheticWorld, world, config.valid, config)
        self.classes = np.array([CLASSES.index(name) for name in config.model.class_names])
        self.truth = [self._truth(pair) for pair in self.pairs]
        self._known: dict[tuple[Path, Cell, tuple[str, ...]], list[Boxes2D]] = {}
        self._damaged: tuple[Cell, list[np.ndarray]] = (CLEAN, [])

    def _truth(self, pair: Pair) -> Truth2D:
        """A region that is ignored forgives every class."""
        own = pair.classes != IGNORED
        aside = np.repeat(pair.boxes[~own], len(self.classes), 0)
        labels = np.concatenate([self.classes[pair.classes[own]], np.tile(self.classes, int((~own).sum()))])
        crowd = np.arange(len(labels)) >= own.sum()
        return Truth2D(np.concatenate([pair.boxes[own], aside]), labels, crowd)

    def shown(self, index: int, cell: Cell, modality: str) -> np.ndarray:
        picture = self.pairs[index].pictures[MODALITIES.index(modality)]
        kind, severity, of = cell
        if of != modality:
            return picture
        damage, level = getattr(pictures, kind), KINDS[kind][severity]
        if kind in ("blackout", "whiteout"):
            return np.asarray(damage(picture, level))
        rng = np.random.default_rng((SEED, index, list(KINDS).index(kind), severity, MODALITIES.index(of)))
        return np.asarray(damage(picture, level, rng))

    def _all(self, cell: Cell, modality: str) -> list[np.ndarray]:
        """Of every pair; those of the latest damage are kept, since three nets see them."""
        if cell[2] != modality:
            return [self.shown(index, cell, modality) for index in range(len(self.pairs))]
        if self._damaged[0] != cell:
            self._damaged = cell, [self.shown(index, cell, modality) for index in range(len(self.pairs))]
        return self._damaged[1]

    def found(self, file: Path, cell: Cell, used: Sequence[str]) -> list[Boxes2D]:
        """Detections of a net with these modalities; of a cell that damages none of them, the clean ones."""
        key = (file, cell if cell[2] in used else CLEAN, tuple(used))
        if key not in self._known:
            pictures = {m: self._all(key[1], m) for m in used}
            sets = [dict(zip(used, pair, strict=True)) for pair in zip(*pictures.values(), strict=True)]
            config = {"weights": str(file), "score_threshold": LEAST_SCORE}
            self._known[key] = [out["boxes2d"] for out in run_operator(FuseGate, sets, config, threads=THREADS)]
        return self._known[key]
