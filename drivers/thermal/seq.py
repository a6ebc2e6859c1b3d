"""FLIR's SEQ and FFF files: one FFF block per picture, one after another. Read only; counts and Planck constants.

Layout (P. Harvey, ExifTool, lib/Image/ExifTool/FLIR.pm):
header     "FFF\\0", creator (16 bytes), 0x14 version 100..199 (it tells the byte order), 0x18 offset and 0x1c number of records
directory  32 bytes per record: type (uint16), ..., 0x0c offset from the block's start, 0x10 length
record 1   raw data: byte-order word (2), width, height (uint16); from 0x20 on the counts, plain or as PNG
record 32  camera: byte-order word; float32: 0x20 emissivity, 0x28 reflected temperature, 0x58 R1, 0x5c B, 0x60 F, 0x30c R2;
           0x308 O (int32), 0x338 median of the counts (uint16)
Most cameras write a PNG's counts in the wrong byte order: of the two orders, the one nearer to the median is taken.
No file of a camera was there: tested on files that the tests lay out. Counts packed as JPEG-LS (some SEQ files) are refused.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from drivers.thermal.kelvin import Planck
from operators import folders
from pipeline.errors import InputError

MAGIC = b"FFF\0"
_HEADER, _ENTRY, _RAW, _CAMERA = 0x40, 0x20, 1, 0x20
_VERSIONS = range(100, 200)
_PIXELS, _PNG, _JPEG = 0x20, b"\x89PNG", b"\xff\xd8\xff"
_MOST_RECORDS = 1 << 10
_CAMERA_BYTES = 0x33A


class Block(NamedTuple):
    """One picture of the file: where it lies."""

    path: Path
    start: int
    end: int


class Shot(NamedTuple):
    """counts (H, W) uint16; planck, emissivity, reflected_k: as the camera was set, None where the file has none."""

    counts: np.ndarray
    planck: Planck | None
    emissivity: float
    reflected_k: float


def is_seq(path: Path) -> bool:
    with folders.reading(path) as file:
        return file.read(4) == MAGIC


def blocks(path: Path) -> list[Block]:
    """The pictures of a file. The last one may be cut off by the end of the recording: it is left out. Raises InputError."""
    found = []
    with folders.reading(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(MAGIC)
        while at >= 0:
            end = _end(data, at)
            if end is not None and end > len(data):
                break
            if end is not None:
                found.append(Block(path, at, end))
            at = data.find(MAGIC, at + len(MAGIC) if end is None else end)
    if not found:
        raise InputError(f"{path}: needs a FLIR SEQ or FFF file, got {folders.size(path)} bytes without a whole picture")
    return found


def read(block: Block) -> Shot:
    """Raises InputError for a picture that is damaged or packed in an unknown way."""
    with folders.reading(block.path) as file:
        file.seek(block.start)
        data = file.read(block.end - block.start)
    records = {kind: data[offset : offset + length] for kind, offset, length in _records(data, 0) or ()}
    who = f"{block.path}: the picture at byte {block.start}"
    if _RAW not in records:
        raise InputError(f"{who}: needs a record of raw data, got records {sorted(records)}")
    planck, emissivity, reflected_k, median = _camera(records.get(_CAMERA, b""))
    return Shot(_counts(records[_RAW], who, median), planck, emissivity, reflected_k)


def _order(data: bytes | mmap.mmap, at: int) -> str | None:
    for order in "<>":
        if len(data) >= at + _HEADER and struct.unpack_from(f"{order}I", data, at + 0x14)[0] in _VERSIONS:
            return order
    return None


def _records(data: bytes | mmap.mmap, at: int) -> list[tuple[int, int, int]] | None:
    """(type, offset from the block's start, length); None if no block starts here."""
    order = _order(data, at)
    if order is None:
        return None
    offset, count = struct.unpack_from(f"{order}2I", data, at + 0x18)
    if not 0 < count <= _MOST_RECORDS or at + offset + _ENTRY * count > len(data):
        return None
    entries = (struct.unpack_from(f"{order}H10x2I", data, at + offset + _ENTRY * i) for i in range(count))
    return [(kind, start, length) for kind, start, length in entries if kind]


def _end(data: mmap.mmap, at: int) -> int | None:
    records = _records(data, at)
    return None if not records else at + max(start + length for _, start, length in records)


def _word_order(record: bytes) -> str:
    """Order of the words of a record, whose first one is 2."""
    return ">" if record[:2] == b"\0\2" else "<"


def _counts(record: bytes, who: str, median: int) -> np.ndarray:
    order = _word_order(record)
    if len(record) < _PIXELS:
        raise InputError(f"{who}: needs raw data, got a record of {len(record)} bytes")
    width, height = struct.unpack_from(f"{order}2H", record, 2)
    packed = record[_PIXELS:]
    if packed.startswith(_JPEG):
        raise InputError(f"{who}: needs plain counts or PNG, got JPEG-LS, which is not read; export the recording as 16-bit TIFF")
    if packed.startswith(_PNG):
        counts = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED)
        if counts is None or counts.dtype != np.uint16 or counts.shape != (height, width):
            raise InputError(f"{who}: needs a PNG of {width}x{height} counts of 16 bits, got one that is not")
        swapped = counts.byteswap()
        middles = [abs(float(np.median(c)) - median) for c in (swapped, counts)]
        return swapped if not median or middles[0] <= middles[1] else counts
    if len(packed) < 2 * width * height or not width or not height:
        raise InputError(f"{who}: needs {width}x{height} counts, got {len(packed)} bytes")
    return np.frombuffer(packed, f"{order}u2", width * height).reshape(height, width).astype(np.uint16)


def _camera(record: bytes) -> tuple[Planck | None, float, float, int]:
    """Constants, emissivity, reflected temperature [K], median of the counts; neutral values where the record lacks them."""
    if len(record) < _CAMERA_BYTES:
        return None, 1.0, 293.15, 0
    order = _word_order(record)
    emissivity, reflected_k = struct.unpack_from(f"{order}f4xf", record, 0x20)
    r1, b, f = struct.unpack_from(f"{order}3f", record, 0x58)
    o, r2 = struct.unpack_from(f"{order}if", record, 0x308)
    (median,) = struct.unpack_from(f"{order}H", record, 0x338)
    usable = all(np.isfinite(v) and v > 0 for v in (r1, b, r2)) and np.isfinite(f)
    emissivity = emissivity if 0 < emissivity <= 1 else 1.0
    return Planck(r1, b, f, o, r2) if usable else None, emissivity, reflected_k if reflected_k > 0 else 293.15, median
