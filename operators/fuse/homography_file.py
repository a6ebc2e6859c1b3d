"""The YAML file of a camera pair that `pipe calibrate homography` writes and `fuse.align` reads.

homography: [[h00, h01, h02], [..], [..]]   # pixel of the thermal picture ~ homography @ pixel of the image
image_size: [W, H]                          # of the picture that is warped
size: [W, H]                                # of the thermal picture, into whose frame it is warped
residual_px: {mean: .., median: .., max: .., inliers: .., points: ..}   # optional, for the reader
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators import folders, textfile
from operators.geometry import homography
from operators.geometry.homography import Size
from pipeline.errors import GraphError, InputError
from pipeline.graph import yamlfile

MAX_SIDE = 1 << 15
_KEYS = ("homography", "image_size", "size", "residual_px")


class PairFile(NamedTuple):
    """H_thermal_image, and the sizes (width, height) of the pictures that it was found with."""

    H_thermal_image: np.ndarray
    image_size: Size
    size: Size


def read(name: str) -> PairFile:
    """Raises InputError naming file and key."""
    path = folders.at(name)
    try:
        data, _ = yamlfile.read("\n".join(textfile.lines(path)), str(path))
    except GraphError as error:
        raise InputError(str(error)) from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: needs the keys {', '.join(_KEYS[:3])}, got {type(data).__name__}; written by pipe calibrate?")
    if unknown := [key for key in data if key not in _KEYS]:
        raise InputError(f"{path}: {unknown[0]}: unknown key; known: {', '.join(_KEYS)}")
    H = _matrix(path, data.get("homography"))
    return PairFile(H, _size(path, data, "image_size"), _size(path, data, "size"))


def write(path: Path, pair: PairFile, residual_px: Mapping[str, float], comment: str) -> None:
    """residual_px: name -> number, of calibrate's report. Raises InputError where the file cannot be written."""
    rows = ",\n  ".join("[" + ", ".join(f"{value:.12g}" for value in row) + "]" for row in pair.H_thermal_image.tolist())
    residual = ", ".join(f"{name}: {value:.4g}" for name, value in residual_px.items())
    text = (
        f"# {comment}\n# pixel of the thermal picture ~ homography @ pixel of the image\n"
        f"homography: [\n  {rows}]\nimage_size: {list(pair.image_size)}\nsize: {list(pair.size)}\nresidual_px: {{{residual}}}\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"-o {path}: cannot write: {error.strerror}") from None


def _matrix(path: Path, rows: Any) -> np.ndarray:
    try:
        H = np.array(rows, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: homography: needs 3 rows of 3 numbers, got {str(rows)[:60]}") from None
    if wrong := homography.problem(H):
        raise InputError(f"{path}: homography: {wrong}")
    return H


def _size(path: Path, data: Mapping[str, Any], key: str) -> Size:
    value = data.get(key)
    if not (isinstance(value, list) and len(value) == 2 and all(type(n) is int and 0 < n <= MAX_SIDE for n in value)):
        raise InputError(f"{path}: {key}: needs [width, height] in pixels, got {str(value)[:60]}")
    return value[0], value[1]
