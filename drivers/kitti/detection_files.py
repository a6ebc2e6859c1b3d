"""KITTI 15-column detection files, one per sequence and class: detections/<detector>_<Class>/SSSS.txt

frame type x1 y1 x2 y2 score h w l x y z ry alpha     type 1 Pedestrian, 2 Car, 3 Cyclist; comma or blank between; camera frame
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.kitti.files import read_lines
from operators.streams import CLASSES
from pipeline.errors import InputError

COLUMNS = "frame type x1 y1 x2 y2 score h w l x y z ry alpha"
FRAME, TYPE, BOX2D, SCORE, BOX3D, WIDTH = 0, 1, slice(2, 6), 6, slice(7, 14), 15
LABEL_OF_TYPE = {1: CLASSES.index("Pedestrian"), 2: CLASSES.index("Car"), 3: CLASSES.index("Cyclist")}


def read_detections(path: Path) -> np.ndarray:
    """(D, 15) float64 in file order, row i = line i + 1. An empty file holds no detections."""
    rows = [_parse(path, number, line) for number, line in enumerate(read_lines(path), 1)]
    return np.array(rows, np.float64).reshape(-1, WIDTH)


def _parse(path: Path, number: int, line: str) -> list[float]:
    words, row = numbers(path, number, line, COLUMNS)
    if row[TYPE] not in LABEL_OF_TYPE:
        raise InputError(f"{path}:{number}: needs type 1 (Pedestrian), 2 (Car) or 3 (Cyclist) in column 2, got {words[TYPE]}")
    if min(row[7:10]) <= 0:
        raise InputError(f"{path}:{number}: needs h w l above 0 in columns 8 to 10, got {' '.join(words[7:10])}")
    return row


def numbers(path: Path, number: int, line: str, columns: str) -> tuple[list[str], list[float]]:
    """The words of a line and their values: one finite number per name in `columns`; the first is the frame number."""
    words = line.replace(",", " ").split()
    width = len(columns.split())
    needs = f"{path}:{number}: needs {width} numbers ({columns}), got"
    try:
        row = [float(word) for word in words]
    except ValueError:
        raise InputError(f"{needs} {line.strip()[:60]!r}") from None
    if len(row) != width:
        raise InputError(f"{needs} {len(row)}")
    if not np.isfinite(row).all():
        column = int(np.argmin(np.isfinite(row)))
        raise InputError(f"{needs} {words[column]} in column {column + 1}")
    if row[0] < 0 or row[0] % 1:
        raise InputError(f"{path}:{number}: needs a frame number 0, 1, .. in column 1, got {words[0]}")
    return words, row


def last_frame(path: Path) -> int:
    """Highest frame number in column 1, -1 if there is none. Malformed lines are skipped here: `read_detections` refuses them."""
    firsts = (line.replace(",", " ").split(None, 1) for line in read_lines(path))
    return max((int(words[0]) for words in firsts if words and words[0].isdecimal()), default=-1)
