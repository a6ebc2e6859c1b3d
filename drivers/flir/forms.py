"""Form of a thermal or RGB picture from its first bytes: size, bits, palette. Counts of 16 bits, TIFF or PNG, are read here.

As in drivers/pictures.py, size and completeness come from the file's own structure, before memory is taken and OpenCV decodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from drivers.pictures import picture_size
from operators import folders
from pipeline.errors import InputError

RAW_SUFFIXES = (".tiff", ".tif", ".png")
_PNG, _PALETTE = b"\x89PNG\r\n\x1a\n", 3
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_OFFSETS, _BYTES = (273, 324), (279, 325)  # of strips, of tiles
_SIZES = {1: "B", 3: "H", 4: "I"}
_HEAD_BYTES = 64
_MOST_ENTRIES = 1 << 16
_RATIO = 1032  # of deflate, the best packer of TIFF


class Form(NamedTuple):
    width: int
    height: int
    bits: int
    """Per value."""
    grey: bool = True
    palette: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


def form(path: Path) -> Form:
    """Of a PNG, JPEG or TIFF. Raises InputError."""
    with folders.reading(path) as file:
        head = file.read(_HEAD_BYTES)
    if head[:4] in _TIFF:
        with folders.reading(path) as file:
            return _tiff(path, file.read())
    width, height = picture_size(path)
    if head.startswith(_PNG):
        bits, kind = head[24], head[25]
        return Form(width, height, bits, kind in (0, 4), kind == _PALETTE)
    return Form(width, height, 8)  # a JPEG; three equal channels are grey, too


def check_image(path: Path) -> None:
    """Raises InputError for what is no 8-bit picture."""
    if (found := form(path)).bits > 8:
        raise InputError(
            f"{path}: needs an 8-bit RGB picture, got {found.bits} bits per value; "
            "counts of a thermal camera belong to port thermal_raw"
        )


def check_thermal(path: Path) -> None:
    """Raises InputError for what is no 8-bit picture of grey values."""
    found = form(path)
    if found.bits > 8:
        raise InputError(
            f"{path}: needs an 8-bit thermal picture, got {found.bits} bits per value; 16-bit counts belong to port thermal_raw, "
            "of which thermal.agc makes 8-bit pictures"
        )
    if found.palette:
        raise InputError(f"{path}: needs grey values, got a PNG with a palette, which is of colours; save it as grey")


def check_raw(path: Path) -> None:
    """Raises InputError for what is no picture of 16-bit counts."""
    found = form(path)
    if found.bits != 16 or not found.grey:
        got = f"{found.bits} bits per value" if found.bits != 16 else "colours"
        raise InputError(
            f"{path}: needs 16-bit counts of a thermal camera, got {got}; "
            "8-bit pictures after gain control belong to port thermal"
        )


def read_raw(path: Path, alloc: Callable[[tuple[int, int]], np.ndarray]) -> np.ndarray:
    """A picture of 16-bit counts as (H, W) uint16, in the array from `alloc`. Raises InputError."""
    check_raw(path)
    with folders.reading(path) as file:
        data = file.read()
    width, height = form(path).size
    counts = None
    if 2 * width * height <= _RATIO * len(data):
        try:
            counts = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            counts = None
    if counts is None or counts.shape != (height, width) or counts.dtype != np.uint16:
        raise _damaged(path, len(data))
    out = alloc((height, width))
    np.copyto(out, counts)
    return out


def _damaged(path: Path, size: int) -> InputError:
    return InputError(f"{path}: needs a whole 16-bit TIFF or PNG, got {size} bytes that do not decode; copied incompletely?")


def _tiff(path: Path, data: bytes) -> Form:
    """Form of the first picture in a TIFF file whose pixels all lie in the file."""
    try:
        tags = _tags(data)
        width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
        bits, samples = tags.get(_BITS, (1,))[0], tags.get(_SAMPLES, (1,))[0]
        offsets = next(tags[tag] for tag in _OFFSETS if tag in tags)
        lengths = next(tags[tag] for tag in _BYTES if tag in tags)
    except (struct.error, KeyError, StopIteration, IndexError):
        raise _damaged(path, len(data)) from None
    there = all(offset + length <= len(data) for offset, length in zip(offsets, lengths, strict=False))
    packed = tags.get(_COMPRESSION, (1,))[0] != 1
    needed = width * height * samples * bits // 8
    if not width or not height or not there or len(offsets) != len(lengths) or (not packed and sum(lengths) < needed):
        raise _damaged(path, len(data))
    return Form(width, height, bits, samples == 1)


def _tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Tag -> whole numbers of the first directory. Raises struct.error where the file ends before."""
    order = _TIFF[data[:4]]
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    out = {}
    for entry in range(entries):
        start = at + 2 + 12 * entry
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, start)
        if kind not in _SIZES or count > _MOST_ENTRIES:
            continue
        numbers = f"{order}{count}{_SIZES[kind]}"
        inside = struct.calcsize(numbers) <= 4
        place = start + 8 if inside else struct.unpack_from(f"{order}I", data, start + 8)[0]
        out[tag] = struct.unpack_from(numbers, data, place)
    return out
