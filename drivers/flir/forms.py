"""Form of a thermal or RGB picture from its first bytes: size, bits, palette. Counts of 16 bits, TIFF or PNG, are read here.

As in drivers/pictures.py, size and completeness come from the file's own structure, before memory is taken and OpenCV decodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

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
    """Of a PNG, JPEG or TIFF; reads no pixels. Raises InputError."""
    with folders.reading(path) as file:
        head = file.read(_HEAD_BYTES)
        if head[:4] in _TIFF:
            return _tiff(path, file)
    if head.startswith(_PNG):
        return _png(path, head)
    width, height = picture_size(path)
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


def check_raw(path: Path) -> Form:
    """Raises InputError for what is no picture of 16-bit counts."""
    found = form(path)
    if found.bits != 16 or not found.grey:
        got = f"{found.bits} bits per value" if found.bits != 16 else "colours"
        raise InputError(
            f"{path}: needs 16-bit counts of a thermal camera, got {got}; "
            "8-bit pictures after gain control belong to port thermal"
        )
    return found


def read_raw(path: Path, alloc: Callable[[tuple[int, int]], np.ndarray]) -> np.ndarray:
    """A picture of 16-bit counts as (H, W) uint16, in the array from `alloc`. Raises InputError."""
    width, height = check_raw(path).size
    with folders.reading(path) as file:
        data = file.read()
    counts = None
    if 2 * width * height <= _RATIO * len(data):
        try:
            counts = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            counts = None
    if counts is None or counts.shape != (height, width) or counts.dtype != np.uint16:
        raise _damaged(path)
    out = alloc((height, width))
    np.copyto(out, counts)
    return out


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path}: needs a whole TIFF or PNG picture, got {folders.size(path)} bytes that do not decode; copied incompletely?"
    )


def _png(path: Path, head: bytes) -> Form:
    if len(head) < 26 or head[12:16] != b"IHDR":
        raise _damaged(path)
    width, height, bits, kind = struct.unpack(">IIBB", head[16:26])
    if not width or not height:
        raise _damaged(path)
    return Form(width, height, bits, kind in (0, 4), kind == _PALETTE)


def _tiff(path: Path, file: BinaryIO) -> Form:
    """Form of the first picture in a TIFF file whose pixels all lie in the file."""
    try:
        tags = _tags(file)
        width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
        bits, samples = tags.get(_BITS, (1,))[0], tags.get(_SAMPLES, (1,))[0]
        offsets = next(tags[tag] for tag in _OFFSETS if tag in tags)
        lengths = next(tags[tag] for tag in _BYTES if tag in tags)
        pieces = list(zip(offsets, lengths, strict=True))
    except (struct.error, KeyError, StopIteration, IndexError, ValueError):
        raise _damaged(path) from None
    size = folders.size(path)
    there = all(offset + length <= size for offset, length in pieces)
    packed = tags.get(_COMPRESSION, (1,))[0] != 1
    if not width or not height or not there or (not packed and sum(lengths) < width * height * samples * bits // 8):
        raise _damaged(path)
    return Form(width, height, bits, samples == 1)


def _tags(file: BinaryIO) -> dict[int, tuple[int, ...]]:
    """Tag -> whole numbers of the first directory. Raises struct.error where the file ends before."""

    def unpack(form: str, at: int) -> tuple[int, ...]:
        file.seek(at)
        return struct.unpack(order + form, file.read(struct.calcsize(order + form)))

    file.seek(0)
    order = _TIFF[file.read(4)]
    (at,) = unpack("I", 4)
    (entries,) = unpack("H", at)
    out = {}
    for entry in range(entries):
        start = at + 2 + 12 * entry
        tag, kind, count = unpack("HHI", start)
        if kind in _SIZES and count <= _MOST_ENTRIES:
            numbers = f"{count}{_SIZES[kind]}"
            inside = struct.calcsize(order + numbers) <= 4
            out[tag] = unpack(numbers, start + 8 if inside else unpack("I", start + 8)[0])
    return out
