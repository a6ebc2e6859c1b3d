"""Predictions after an epoch: scenes from above, side by side; truth in grey, predictions in the colour of their class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from operators.render import birdseye, colors
from operators.streams import CLASSES, Boxes3D
from operators.train.pointpillars.validate import SURE
from operators.train.scenes import IGNORED, Scene

_HEIGHT_PX = 640
_IGNORED: colors.Color = (70, 70, 78)


def draw(scene: Scene, found: Boxes3D, names: Sequence[str], range_m: Sequence[float]) -> np.ndarray:
    """(H, W, 3) uint8. found.labels index `names`, the classes of the model. Thin lines: predictions with a score below SURE."""
    x0, y0, _, x1, y1, _ = range_m
    view = birdseye.View((x0, y0, x1, y1), _HEIGHT_PX / (x1 - x0))
    canvas = birdseye.background(view)
    birdseye.paint_points(canvas, view, scene.points, 2, -2.0, 1.0)
    truth = [_IGNORED if cls == IGNORED else colors.DETECTION for cls in scene.classes]
    birdseye.draw_boxes(canvas, view, scene.boxes3d, truth, [""] * len(truth), 1)
    labels = np.array([CLASSES.index(name) for name in names])[found.labels]
    texts = [f"{score:.2f}" for score in found.scores]
    for thick, shown in ((1, found.scores < SURE), (2, found.scores >= SURE)):
        names_shown = [text if thick > 1 else "" for text, yes in zip(texts, shown, strict=True) if yes]
        birdseye.draw_boxes(canvas, view, found.boxes3d[shown], colors.of_labels(labels[shown]), names_shown, thick)
    return canvas


def save(path: Path, panels: Sequence[np.ndarray]) -> None:
    cv2.imwrite(str(path), np.concatenate(list(panels), 1)[..., ::-1])
