"""Detection files of sequences, and the KITTI 15-column ones: detections/<detector>_<Class>/SSSS.txt

frame type x1 y1 x2 y2 score h w l x y z ry alpha     type 1 Pedestrian, 2 Car, 3 Cyclist; comma or blank between; camera frame
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from operators import textfile
from operators.streams import CLASSES
from operators.textfile import Table

COLUMNS = "frame type x1 y1 x2 y2 score h w l x y z ry alpha"
FRAME, TYPE, BOX2D, SCORE, BOX3D, WIDTH = 0, 1, slice(2, 6), 6, slice(7, 14), 15
LABEL_OF_TYPE = {1: CLASSES.index("Pedestrian"), 2: CLASSES.index("Car"), 3: CLASSES.index("Cyclist")}


class Detected(NamedTuple):
    """values (D, C): the boxes that have an extent, in file order; lines (D,): their lines; flat: lines of the others."""

    path: Path
    values: np.ndarray
    lines: np.ndarray
    flat: list[int]


def read_detections(path: Path) -> Detected:
    """(D, 15) float64. An empty file holds no detections."""
    table = textfile.read_table(path, (WIDTH,), WIDTH, comma=True, names=COLUMNS)
    textfile.check_finite(table, slice(0, WIDTH), "numbers")
    textfile.frames(table, first=0)
    wrong = ~np.isin(table.values[:, TYPE], list(LABEL_OF_TYPE))
    if wrong.any():
        row = int(np.argmax(wrong))
        table.refuse(row, "type 1 (Pedestrian), 2 (Car) or 3 (Cyclist) in column 2", f"{table.values[row, TYPE]:g}")
    return with_extent(table, table.values[:, 7:10])


def with_extent(table: Table, sizes: np.ndarray) -> Detected:
    """sizes: (L, S) of every row."""
    extended = np.all(sizes > 0, axis=1).reshape(-1)
    lines = np.arange(1, len(extended) + 1)
    return Detected(table.path, table.values[extended], lines[extended], lines[~extended].tolist())


def left_out(files: Sequence[Detected]) -> str:
    """The boxes without extent, for the user; "" without any."""
    flat = [f"{file.path}:{line}" for file in files for line in file.flat]
    return f"{len(flat)} boxes without extent left out, the first in {flat[0]}" if flat else ""


def last_frame(path: Path) -> int:
    """Highest frame number in column 1, -1 if there is none. Malformed lines are skipped here: `read_detections` refuses them."""
    first = textfile.column(path, comma=True)
    return int(first[(first >= 0) & (first < 2**53) & (first % 1 == 0)].max(initial=-1))
