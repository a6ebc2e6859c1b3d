"""Folders of numbered files, and the reader of scans (.bin)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from drivers.pictures import read_grey, read_rgb
from operators import folders
from operators.seqinfo import MAX_HZ, MIN_HZ
from pipeline.errors import InputError
from pipeline.operator import Source

MAX_STAMP_NS = 2**62
POINT_BYTES = 16
_YEAR_S = 365.25 * 86400


def root_folder(who: str, root: str, needs: str) -> Path:
    """`config.root` as an existing folder; `needs` names the required contents in the error."""
    path = folders.at(root)
    there = folders.kind(path) if root else ""
    if there == folders.FOLDER:
        return path
    got = f"{root} ({there or 'not there'})" if root else "nothing"
    raise InputError(f"{who}: config.root: needs a folder with {needs}, got {got}; set --set NODE.config.root=DIR")


def wrong_root(who: str, root: Path, needs: str) -> InputError:
    """The error for a folder that exists but does not have this layout."""
    holds = folders.names(root)
    text = ", ".join(holds[:6]) + (", ..." if len(holds) > 6 else "") if holds else "nothing"
    return InputError(
        f"{who}: config.root: needs a folder with {needs}, got {root} (holds {text}); set --set NODE.config.root=DIR"
    )


def check_rate(who: str, rate_hz: float) -> None:
    if not MIN_HZ <= rate_hz <= MAX_HZ:
        raise InputError(f"{who}: config.rate_hz: needs {MIN_HZ:g} to {MAX_HZ:,.0f}, got {rate_hz:g}")


def check_stamp(path: Path, frame: int, rate_hz: float, start_ns: int = 0) -> None:
    """Raises InputError if the stamp of a numbered frame is out of range: the number is a time."""
    if not start_ns + frame / rate_hz * 1e9 <= MAX_STAMP_NS:
        years, got = frame / rate_hz / _YEAR_S, frame if frame < 1e19 else f"{frame:.3g}"
        hint = " The driver clouds plays scans named by times (config.stamps: names)" if path.suffix == ".bin" else ""
        raise InputError(f"{path}: needs a frame number, got {got}, {years:.3g} years at {rate_hz:g} Hz; is it a time?{hint}")


def numbered(folder: Path, *suffixes: str) -> dict[int, Path]:
    """Frame number -> file, ascending; numbers may start anywhere and have gaps. A missing folder holds nothing.

    Suffixes are compared in lower case; of two files with the number of one frame, that of the first suffix counts. Only names
    are read: a link to nothing is among them, and whoever opens it names it.
    """
    found: dict[int, tuple[int, str]] = {}
    for name in folders.names(folder):
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
    size = folders.size(path)
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
    with os.fdopen(folders.open_file(path), "rb", buffering=0) as file:
        try:
            got = file.readinto(points.data.cast("B"))
        except OSError as error:
            raise folders.unreadable(path, error) from error
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
