"""Admission gate: may an engine take the place of the net that it was made from?

An engine is compared with fp32 torch on the frames of a graph: the raw maps (outputs of the net), and the boxes made of them.
It passes if
    frames      >= 64
    agreement   matched / (matched + missing + added) >= 0.98 over boxes of score >= 0.3; two boxes match if they have one label
                and an IoU >= 0.95 (in 3D, or in the picture), each box at most once, better scores first
    classes     of a net that gives classes of cells: cells of one class in both / all cells >= 0.98
    maps        for each map, RMS of the difference / RMS of the fp32 map about the mean of each column, <= MAPS[precision];
                a column is one output channel, so constant offsets of channels hide no error
No box in all frames: the maps alone decide, and the result says that there was none. NaN or infinity in a map never passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.kernels.iou import iou_3d
from operators.kernels.overlaps import iou_2d
from operators.nets.runtimes import Runtime, missing
from operators.nets.runtimes.enginefile import Facts, is_tensorrt

FRAMES, MIN_SCORE, MIN_IOU, AGREEMENT = 64, 0.3, 0.95, 0.98
MAPS = {"fp32": 1e-3, "fp16": 0.02, "bf16": 0.05, "int8": 0.1}
"""Largest relative error of a map. A wrong scale or zero point gives 0.2 and more."""


@dataclass
class Gate:
    """Collects the comparison of one engine with fp32, frame by frame."""

    precision: str
    frames: int = 0
    matched: int = 0
    missing: int = 0
    added: int = 0
    same: int = 0  # cells of one class in both
    cells: int = 0
    _rows: dict[str, int] = field(default_factory=dict)
    _sums: dict[str, np.ndarray] = field(default_factory=dict)  # map -> per column sum, of squares, of squared differences

    def maps(self, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
        """One frame's maps (..., channels): fp32, engine."""
        for name, one in ours.items():
            wide = one.astype(np.float64).reshape(-1, one.shape[-1])
            difference = theirs[name].astype(np.float64).reshape(wide.shape) - wide
            sums = np.stack([wide.sum(0), np.square(wide).sum(0), np.square(difference).sum(0)])
            self._sums[name] = self._sums.get(name, 0.0) + sums
            self._rows[name] = self._rows.get(name, 0) + len(wide)

    def classes(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """One frame's class per cell: fp32, engine."""
        self.same += int((ours == theirs).sum())
        self.cells += ours.size

    def boxes(self, ours: Any, theirs: Any, *, again: bool = False) -> None:
        """One frame's Boxes3D or Boxes2D: fp32, engine, each with all boxes of score >= MIN_SCORE.

        Counts the frame. again: it is the last one once more, with other inputs absent, and counts no more.
        """
        self.frames += not again
        pairs = agreeing(ours, theirs)
        self.matched += pairs
        self.missing += int((ours.scores >= MIN_SCORE).sum()) - pairs
        self.added += int((theirs.scores >= MIN_SCORE).sum()) - pairs

    def numbers(self) -> dict[str, Any]:
        """What is stored with the engine: plain numbers."""
        errors = {}
        for name, sums in self._sums.items():
            total, squares, differences = sums / max(self._rows[name], 1)
            spread, difference = float(np.maximum(squares - total**2, 0).sum()), float(differences.sum())
            error = 0.0
            if difference != 0:
                error = math.sqrt(difference / spread) if spread > 0 and difference > 0 else math.inf
            errors[name] = round(error, 6) if math.isfinite(error) else 1e9  # JSON has no infinity
        return {
            "frames": self.frames,
            "matched": self.matched,
            "missing": self.missing,
            "added": self.added,
            **({"same": self.same, "cells": self.cells} if self.cells else {}),
            "maps": errors,
            "precision": self.precision,
        }


def agreeing(ours: Any, theirs: Any) -> int:
    """Pairs of boxes of score >= MIN_SCORE that agree."""
    a, b = (np.flatnonzero(boxes.scores >= MIN_SCORE) for boxes in (ours, theirs))
    if not len(a) or not len(b):
        return 0
    iou = np.empty((len(a), len(b)))
    overlap, name = (iou_3d, "boxes3d") if hasattr(ours, "boxes3d") else (iou_2d, "boxes2d")
    overlap(getattr(ours, name)[a].astype(np.float64), getattr(theirs, name)[b].astype(np.float64), iou)
    iou[ours.labels[a][:, None] != theirs.labels[b][None]] = 0
    pairs, free = 0, np.ones(len(b), bool)
    for row in iou[np.argsort(-ours.scores[a], kind="stable")]:
        best = int(np.argmax(np.where(free, row, -1.0)))
        if free[best] and row[best] >= MIN_IOU:
            free[best], pairs = False, pairs + 1
    return pairs


def refusal(numbers: Mapping[str, Any]) -> str:
    """Empty for a gate that was passed; else what was needed and what came, with all numbers."""
    try:
        frames, matched, missing, added = (int(numbers[key]) for key in ("frames", "matched", "missing", "added"))
        same, cells = int(numbers.get("same", 0)), int(numbers.get("cells", 0))
        errors = {str(name): float(error) for name, error in sorted(numbers["maps"].items())}
        bound = MAPS[numbers["precision"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        return "needs the numbers of an admission gate, got none that can be read"
    total = matched + missing + added
    said = []
    if frames < FRAMES:
        said.append(f"{frames} frames (needs {FRAMES})")
    if total and not matched >= AGREEMENT * total:
        share = f"{matched / total:.3f} (needs {AGREEMENT})"
        said.append(f"agreement with fp32 {share}: {matched} boxes matched, {missing} missing, {added} added")
    if cells and not same >= AGREEMENT * cells:
        said.append(f"classes of cells as fp32 {same / cells:.3f} (needs {AGREEMENT})")
    wrong = {name: error for name, error in errors.items() if not error <= bound}
    if wrong or not errors:
        said.append(
            f"maps off by {', '.join(f'{n} {e:.3g}' for n, e in wrong.items()) or 'an unknown error'} (at most {bound:g})"
        )
    return ", ".join(said)


def admit(path: str, facts: Facts, runtime: Runtime) -> str:
    """The runtime that may run this engine: the one wanted, or with `auto` the first that is installed and whose gate was passed.

    Raises ValueError with the numbers of the gate where there is none.
    """
    able = ("tensorrt",) if is_tensorrt(path) else ("onnxruntime", "openvino")
    if runtime != "auto" and runtime not in able:
        raise ValueError(f"runtime: {path} is an engine for {' or '.join(able)}, got {runtime}; pipe export makes others")
    refused = []
    for name in able if runtime == "auto" else (runtime,):
        if name not in facts.gates:
            reason = f"needs an admission gate passed in {name}, got none; passed in: {', '.join(facts.gates) or 'no runtime'}"
        else:
            reason = missing(name) or refusal(facts.gates[name])
        if not reason:
            return name
        refused.append(f"{name}: {reason}")
    raise ValueError(f"engine: {path}: not admitted: {'; '.join(refused)}")


def summary(numbers: Mapping[str, Any]) -> str:
    """One line of all numbers, for `pipe export`."""
    total = numbers["matched"] + numbers["missing"] + numbers["added"]
    agreement = f"{numbers['matched'] / total:.4f}" if total else "of no box"
    maps = ", ".join(f"{name} {error:.2g}" for name, error in sorted(numbers["maps"].items()))
    classes = f"classes {numbers['same'] / numbers['cells']:.4f}, " if numbers.get("cells") else ""
    return (
        f"{numbers['frames']} frames, agreement {agreement} ({numbers['matched']} matched, {numbers['missing']} missing, "
        f"{numbers['added']} added), {classes}error of maps: {maps} (at most {MAPS[numbers['precision']]:g})"
    )
