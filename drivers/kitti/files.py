"""Folders of numbered files, and the reader of scans (.bin)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from drivers.pictures import read_grey, read_rgb
from pipeline.errors import InputError
from pipeline.operator import Source

POINT_BYTES = 16


def root_folder(who: str, root: str, needs: str) -> Path:
    """`config.root` as an existing folder; `needs` names the required contents in the error."""
    path = Path(root).expanduser()
    if not root:
        got = "nothing"
    elif not path.exists():
        got = f"{root} (not there)"
    elif not path.is_dir():
        got = f"{root} (a file)"
    else:
        return path
    raise InputError(f"{who}: config.root: needs a folder with {needs}, got {got}; set --set NODE.config.root=DIR")


def wrong_root(who: str, root: Path, needs: str) -> InputError:
    """The error for a folder that exists but does not have this layout."""
    holds = sorted(p.name for p in root.iterdir())
    text = ", ".join(holds[:6]) + (", ..." if len(holds) > 6 else "") if holds else "nothing"
    return InputError(
        f"{who}: config.root: needs a folder with {needs}, got {root} (holds {text}); set --set NODE.config.root=DIR"
    )


def not_served(node: str, port: str, why: str) -> InputError:
    """The error for a connected port that has nothing to send: its readers would wait for ever without a message."""
    return InputError(f"{node}: {port} is connected, but {why}; add what is missing or disconnect {node}.{port}")


def check_rate(who: str, rate_hz: float) -> None:
    if not rate_hz > 0 or not np.isfinite(rate_hz):
        raise InputError(f"{who}: config.rate_hz: needs a number above 0, got {rate_hz}")


def numbered(folder: Path, *suffixes: str) -> dict[int, Path]:
    """Frame number -> file, ascending; numbers may start anywhere and have gaps. A missing folder holds nothing.

    Suffixes are compared in lower case; of two files with the number of one frame, that of the first suffix counts.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[int, tuple[int, str]] = {}
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        if (kind := dot + suffix.lower()) in suffixes and stem.isdecimal():
            number, ranked = int(stem), (suffixes.index(kind), name)
            other = found.setdefault(number, ranked)
            if other[0] == ranked[0] and other[1] != name:
                raise InputError(f"{folder / name}: needs one file for frame {number}, got {other[1]} too")
            found[number] = min(other, ranked)
    return {number: folder / name for number, (_, name) in sorted(found.items())}


def check_scans(files: Iterable[Path]) -> None:
    """Raises InputError for a file that ends within a point. Costs one stat per file."""
    for path in files:
        _num_points(path)


def _num_points(path: Path) -> int:
    size = _size(path)
    if size % POINT_BYTES:
        raise InputError(
            f"{path}: needs a multiple of 16 bytes (x y z intensity, float32), got {size} bytes; copied incompletely?"
        )
    return size // POINT_BYTES


def read_points(path: Path, alloc: Callable[[tuple[int, int]], np.ndarray]) -> np.ndarray:
    """A scan, (N, 4) float32, read directly into the array from `alloc((N, 4))`. An empty file is an empty scan."""
    points = alloc((_num_points(path), 4))
    if not len(points):
        return points
    try:
        with open(path, "rb", buffering=0) as file:
            got = file.readinto(points.data.cast("B"))
    except OSError as error:
        raise InputError(f"{path}: needs to be readable, got {error.strerror}") from error
    if got != points.nbytes:
        raise InputError(f"{path}: needs {points.nbytes} bytes as at the start, got {got}; written to while being read?")
    finite = np.isfinite(points)
    if not finite.all():
        rows = np.flatnonzero(~finite.all(1))
        raise InputError(
            f"{path}: needs finite numbers, got NaN or infinity in {len(rows)} of {len(points)} points, first point {rows[0]}"
        )
    return points


def read_sensors(source: Source, files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Port -> value, for those ports of points, image and grey that are wanted and have a file."""
    values: dict[str, np.ndarray] = {}
    there = {port: path for port, path in files.items() if port in source.wanted}
    if "points" in there:
        values["points"] = read_points(there["points"], lambda shape: source.alloc("points", "points", shape, "float32"))
    if "image" in there:
        values["image"] = read_rgb(there["image"], lambda shape: source.alloc("image", "image", shape, "uint8"))
    if "grey" in there:
        values["grey"] = read_grey(there["grey"], lambda shape: source.alloc("grey", "image", shape, "uint8"))
    return values


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without trailing blank lines."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: needs to be readable, got {error.strerror}") from error
    return text.rstrip().splitlines()


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise InputError(f"{path}: needs to be readable, got {error.strerror}") from error
