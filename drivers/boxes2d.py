"""2D detections of a whole recording, one value per frame."""

from __future__ import annotations

import numpy as np

from operators.streams import Boxes2D

NONE = Boxes2D(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))
"""Of a frame without detections."""


def by_frame(frames: np.ndarray, boxes2d: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> dict[int, Boxes2D]:
    """Rows with their frame numbers (D,) -> frame number -> boxes of that frame, in row order."""
    order = np.argsort(frames, kind="stable")
    boxes2d, scores = boxes2d[order].astype(np.float32), scores[order].astype(np.float32)
    labels = labels[order].astype(np.int32)
    found, starts, counts = np.unique(frames[order].astype(int), return_index=True, return_counts=True)
    return {
        int(frame): Boxes2D(boxes2d[a : a + n], scores[a : a + n], labels[a : a + n])
        for frame, a, n in zip(found, starts, counts, strict=True)
    }
