"""2D detection files, one per sequence and class: detections_2d_<detector>/<Class>/SSSS.txt

frame x1 y1 x2 y2 score     comma or blank between; pixels; frames from 0
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.kitti.detection_files import numbers
from drivers.kitti.files import read_lines
from pipeline.errors import InputError

COLUMNS = "frame x1 y1 x2 y2 score"
FRAME, BOX2D, SCORE, WIDTH = 0, slice(1, 5), 5, 6


def read_detections_2d(path: Path) -> np.ndarray:
    """(D, 6) float64 in file order, row i = line i + 1. An empty file holds no detections."""
    rows = [_parse(path, number, line) for number, line in enumerate(read_lines(path), 1)]
    return np.array(rows, np.float64).reshape(-1, WIDTH)


def _parse(path: Path, number: int, line: str) -> list[float]:
    words, row = numbers(path, number, line, COLUMNS)
    if row[3] <= row[1] or row[4] <= row[2]:
        raise InputError(f"{path}:{number}: needs x2 > x1 and y2 > y1 in columns 2 to 5, got {' '.join(words[BOX2D])}")
    return row
