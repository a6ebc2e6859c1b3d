"""Pairs of pictures of two cameras, and picked points, from files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from operators import folders, textfile
from operators.geometry.homography import Size
from pipeline.errors import GraphError, InputError
from pipeline.graph import yamlfile

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_STRETCH = (1.0, 99.0)


class Pair(NamedTuple):
    """image (H, W, 3) uint8 RGB; thermal (h, w) uint8; name: of the files."""

    name: str
    image: np.ndarray
    thermal: np.ndarray

    @property
    def sizes(self) -> tuple[Size, Size]:
        """(width, height) of both"""
        return (self.image.shape[1], self.image.shape[0]), (self.thermal.shape[1], self.thermal.shape[0])


def read_pairs(image: Path, thermal: Path, most: int) -> tuple[list[Pair], str]:
    """Two files, or two folders whose files have equal names without suffix; of more than `most` those spread evenly over all.

    -> the pairs, all of the same two sizes, and a line about partners that are missing. Raises InputError.
    """
    kinds = [folders.kind(path) for path in (image, thermal)]
    for path, kind in zip((image, thermal), kinds, strict=True):
        if kind not in (folders.FILE, folders.FOLDER):
            raise InputError(f"{path}: needs a picture or a folder of pictures, got {kind or 'nothing there'}")
    if kinds[0] != kinds[1]:
        raise InputError(f"{thermal}: needs {kinds[0]} as {image} is, got {kinds[1]}")
    if kinds[0] == folders.FILE:
        return [_read(image.stem, image, thermal)], ""
    first, second = (_pictures(folder) for folder in (image, thermal))
    names = sorted(first.keys() & second.keys())
    if not names:
        raise InputError(f"{thermal}: needs files named like those of {image}, got {len(second)} others")
    alone = len(first) + len(second) - 2 * len(names)
    if len(names) > most:
        names = [names[k] for k in np.linspace(0, len(names) - 1, most).round().astype(int)]
    pairs = [_read(name, first[name], second[name]) for name in names]
    for pair in pairs:
        for files, size, before in zip((first, second), pair.sizes, pairs[0].sizes, strict=True):
            if size != before:
                raise InputError(
                    f"{files[pair.name]}: needs {before[0]} x {before[1]} pixels as {files[pairs[0].name].name} has, "
                    f"got {size[0]} x {size[1]}; one camera, one size"
                )
    return pairs, f"{alone} pictures without a partner are left out" if alone else ""


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) of the image, and of the thermal picture.

    .yaml: lists of equal length, `image: [[u, v], ...]` and `thermal: [[u, v], ...]`. Any other file: a line u, v, u, v per
    point, comma or space between; a first line of names begins with u. Raises InputError naming file and line or key.
    """
    if path.suffix in (".yaml", ".yml"):
        return _points_of_yaml(path)
    rows = []
    for number, line in enumerate(textfile.lines(path), 1):
        cells = line.replace(",", " ").split()
        if (number == 1 and line.lower().lstrip().startswith("u")) or not cells:
            continue
        try:
            row = [float(cell) for cell in cells]
        except ValueError:
            textfile.refuse(path, number, "4 numbers (u, v of image, u, v of thermal)", textfile.shown(line))
        if len(row) != 4 or not np.isfinite(row).all():
            textfile.refuse(path, number, "4 finite numbers (u, v of image, u, v of thermal)", textfile.shown(line))
        rows.append(row)
    points = np.array(rows, np.float64).reshape(-1, 4)
    return points[:, :2], points[:, 2:]


def _points_of_yaml(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        data, _ = yamlfile.read("\n".join(textfile.lines(path)), str(path))
    except GraphError as error:
        raise InputError(str(error)) from None
    if not isinstance(data, dict) or set(data) != {"image", "thermal"}:
        raise InputError(f"{path}: needs the keys image and thermal, got {', '.join(map(str, data)) if data else 'nothing'}")
    found = []
    for key in ("image", "thermal"):
        try:
            points = np.array(data[key] or [], np.float64).reshape(-1, 2) if data[key] else np.empty((0, 2))
        except (TypeError, ValueError):
            points = np.full((1, 2), np.nan)
        if not np.isfinite(points).all():
            raise InputError(f"{path}: {key}: needs a list of [u, v], got {str(data[key])[:60]}")
        found.append(points)
    if len(found[0]) != len(found[1]):
        raise InputError(f"{path}: thermal: needs {len(found[0])} points as image has, got {len(found[1])}")
    return found[0], found[1]


def _pictures(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folders.files(folder, "*") if path.suffix.lower() in _SUFFIXES}


def _read(name: str, image: Path, thermal: Path) -> Pair:
    grey = _decoded(thermal, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if grey.dtype != np.uint8:  # counts of a thermal sensor
        low, high = np.percentile(grey, _STRETCH)
        grey = np.clip((grey - low) * (255.0 / max(high - low, 1.0)), 0, 255).astype(np.uint8)
    return Pair(name, cv2.cvtColor(_decoded(image, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), grey)


def _decoded(path: Path, flags: int) -> np.ndarray:
    with folders.reading(path) as file:
        data = file.read()
    whole = bool(data) and (not data.startswith(_JPEG) or _JPEG_END in data)  # of a cut JPEG the rest would be grey
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION) if whole else None
    if picture is None:
        raise InputError(f"{path}: needs a whole picture, got {len(data)} bytes that do not decode")
    return picture
