"""2D detection files, one per sequence and class: detections_2d_<detector>/<Class>/SSSS.txt

frame x1 y1 x2 y2 score     comma or blank between; pixels; frames from 0
"""

from __future__ import annotations

from pathlib import Path

from drivers.kitti.detection_files import Detected, with_extent
from operators import textfile

COLUMNS = "frame x1 y1 x2 y2 score"
FRAME, BOX2D, SCORE, WIDTH = 0, slice(1, 5), 5, 6


def read_detections_2d(path: Path) -> Detected:
    """(D, 6) float64. An empty file holds no detections."""
    table = textfile.read_table(path, (WIDTH,), WIDTH, comma=True, names=COLUMNS)
    textfile.check_finite(table, slice(0, WIDTH), "numbers")
    textfile.frames(table, first=0)
    return with_extent(table, table.values[:, 3:5] - table.values[:, 1:3])
