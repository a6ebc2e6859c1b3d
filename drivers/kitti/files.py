"""Folders of numbered files, and readers of scans (.bin) and images (.png)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import InputError
from pipeline.operator import Source

POINT_BYTES = 16
_PNG = b"\x89PNG\r\n\x1a\n"


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


def numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """Frame number -> file, ascending; numbers may start anywhere and have gaps. A missing folder holds nothing."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {int(n[: -len(suffix)]): folder / n for n in names if n.endswith(suffix) and n[: -len(suffix)].isdecimal()}
    return dict(sorted(found.items()))


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


def read_rgb(path: Path, alloc: Callable[[tuple[int, int, int]], np.ndarray]) -> np.ndarray:
    """An image as (H, W, 3) uint8 RGB. Decoded in private memory, then converted from BGR into the array from `alloc`."""
    bgr = _decode(path, cv2.IMREAD_COLOR)
    rgb = alloc(bgr.shape)
    cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=rgb)
    return rgb


def read_grey(path: Path, alloc: Callable[[tuple[int, int]], np.ndarray]) -> np.ndarray:
    """An image as (H, W) uint8 luminance."""
    decoded = _decode(path, cv2.IMREAD_GRAYSCALE)
    grey = alloc(decoded.shape)
    np.copyto(grey, decoded)
    return grey


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


def _decode(path: Path, flags: int) -> np.ndarray:
    size = _size(path)
    image = cv2.imread(str(path), flags)
    if image is None:
        raise InputError(f"{path}: needs a whole PNG picture, got {size} bytes that do not decode; copied incompletely?")
    return image


def png_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's first 24 bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(24)
    except OSError as error:
        raise InputError(f"{path}: needs to be readable, got {error.strerror}") from error
    if len(head) < 24 or not head.startswith(_PNG):
        raise InputError(f"{path}: needs a PNG picture, got a file that starts with {head[:8]!r}")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


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
