"""Lines of the GPS/IMU files (oxts); `operators.geometry.gps` computes poses from them.

One line per frame, index = frame number, 30 numbers; used: lat lon [deg], alt [m], roll pitch yaw [rad].
World = velodyne at the first line of the sequence, even if the scans start later.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.kitti.files import numbered, read_lines
from pipeline.errors import InputError

COLUMNS = 30


def read_oxts(path: Path) -> np.ndarray:
    """A file of the tracking layout: (K, 30) float64, row = frame number."""
    lines = read_lines(path)
    if not lines:
        raise InputError(f"{path}: needs a line of {COLUMNS} numbers per frame, got an empty file")
    return np.stack([_parse(path, number, line) for number, line in enumerate(lines, 1)])


def read_oxts_folder(folder: Path) -> dict[int, np.ndarray]:
    """`oxts/data` of the raw layout: frame number -> (30,) float64. A missing folder holds nothing."""
    rows = {}
    for number, path in numbered(folder, ".txt").items():
        lines = read_lines(path)
        if len(lines) != 1:
            raise InputError(f"{path}: needs one line of {COLUMNS} numbers, got {len(lines)} lines")
        rows[number] = _parse(path, 1, lines[0])
    return rows


def _parse(path: Path, number: int, line: str) -> np.ndarray:
    words = line.split()
    try:
        row = np.array(words, np.float64)
    except ValueError:
        raise InputError(f"{path}:{number}: needs {COLUMNS} numbers, got {line.strip()[:40]!r}") from None
    if len(row) != COLUMNS:
        raise InputError(f"{path}:{number}: needs {COLUMNS} numbers, got {len(row)}")
    if not np.isfinite(row).all():
        raise InputError(
            f"{path}:{number}: needs {COLUMNS} numbers, got NaN or infinity in column {int(np.argmin(np.isfinite(row))) + 1}"
        )
    return row


def count_lines(path: Path) -> int:
    """Number of frames in a file of the tracking layout."""
    return len(read_lines(path))


def check_covers(path: Path, num_lines: int, last_frame: int) -> None:
    if num_lines <= last_frame:
        raise InputError(
            f"{path}: needs {last_frame + 1} lines (line = frame number, the last frame is {last_frame:06d}), got {num_lines}"
        )
