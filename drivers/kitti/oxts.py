"""Lines of the GPS/IMU files (oxts); `operators.geometry.gps` computes poses from them.

One line per frame, index = frame number, 30 numbers; used: lat lon [deg], alt [m], roll pitch yaw [rad].
World = velodyne at the first line of the sequence, even if the scans start later.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.kitti.files import numbered
from operators import textfile
from pipeline.errors import InputError

COLUMNS = 30


def read_oxts(path: Path) -> np.ndarray:
    """A file of the tracking layout: (K, 30) float64, row = frame number."""
    rows = _read(path)
    if not len(rows):
        raise InputError(f"{path}: needs a line of {COLUMNS} numbers per frame, got an empty file")
    return rows


def read_oxts_folder(folder: Path) -> dict[int, np.ndarray]:
    """`oxts/data` of the raw layout: frame number -> (30,) float64. A missing folder holds nothing."""
    rows = {}
    for number, path in numbered(folder, ".txt").items():
        lines = _read(path)
        if len(lines) != 1:
            raise InputError(f"{path}: needs one line of {COLUMNS} numbers, got {len(lines)} lines")
        rows[number] = lines[0]
    return rows


def _read(path: Path) -> np.ndarray:
    table = textfile.read_table(path, (COLUMNS,), COLUMNS)
    textfile.check_finite(table, slice(0, COLUMNS), "numbers")
    beyond = np.abs(table.values[:, 0]) >= 90
    if beyond.any():
        row = int(np.argmax(beyond))
        table.refuse(row, "a latitude between -90 and 90 degrees in column 1", f"{table.values[row, 0]:g}")
    return table.values


def check_covers(path: Path, num_lines: int, last_frame: int) -> None:
    if num_lines <= last_frame:
        raise InputError(
            f"{path}: needs {last_frame + 1} lines (line = frame number, the last frame is {last_frame:06d}), got {num_lines}"
        )
