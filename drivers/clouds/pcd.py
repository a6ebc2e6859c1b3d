"""The header of a PCD file.        PCD 0.7 (PCL)"""

from __future__ import annotations

import struct
from pathlib import Path

from drivers.clouds.layout import Layout, columns, short, split, whole
from pipeline.errors import InputError

_TYPES = {"F": ("4", "8"), "I": ("1", "2", "4", "8"), "U": ("1", "2", "4", "8")}
_DATA = {"ascii": "ascii", "binary": "binary", "binary_compressed": "compressed"}
_MAX_RATIO = 88
"""LZF makes at most 264 bytes of 3."""
_PAGE = 4096
"""Up to 1.7 PCL made binary files this long beyond their data, header included: the rest is padding."""


def layout(path: Path, head: bytes, size: int) -> Layout:
    """The layout, from the first bytes and the size of the file. Raises InputError naming the file and the line of the header."""
    header = split(path, head, "PCD", "DATA")
    said = {words[0]: words[1:] for line in header.lines if (words := line.split()) and not line.startswith("#")}
    names = said.get("FIELDS", [])
    counts = said.get("COUNT", ["1"] * len(names))
    try:
        kinds = [f"<{kind.lower()}{size}" for kind, size in zip(said["TYPE"], said["SIZE"], strict=True) if size in _TYPES[kind]]
        fields, row_bytes, row_words = columns(zip(names, kinds, map(whole, counts), strict=True))
        grid = whole(said["WIDTH"][0]) * whole(said["HEIGHT"][0]) if {"WIDTH", "HEIGHT"} <= set(said) else None
        num = whole(said["POINTS"][0]) if "POINTS" in said or grid is None else grid
        data = _DATA[said["DATA"][0]]
    except (KeyError, ValueError, IndexError):
        keys = ("FIELDS", "SIZE", "TYPE", "COUNT", "POINTS", "DATA")
        got = "; ".join(short(" ".join([key, *said[key]])) for key in keys if key in said) or "none of them"
        raise InputError(f"{path}: needs {' '.join(keys)} as PCD 0.7 has them, got {got}") from None
    if grid is not None and grid != num:
        got = f"WIDTH {said['WIDTH'][0]} x HEIGHT {said['HEIGHT'][0]} = {grid}, POINTS {num}"
        raise InputError(f"{path}: needs as many points in WIDTH x HEIGHT as in POINTS, got {got}")
    found = Layout(num, fields, data, header.start, row_bytes, row_words, header_lines=len(header.lines))
    if data == "ascii":
        return found
    data_bytes = num * row_bytes if data == "binary" else _compressed_bytes(path, head[header.start :], found)
    padded = data_bytes + _PAGE == size > header.start + data_bytes
    return found._replace(data_bytes=size - header.start if padded else data_bytes)


def _compressed_bytes(path: Path, body: bytes, found: Layout) -> int:
    """Bytes of the compressed data with their two sizes."""
    if not found.num and not body:
        return 0
    packed, unpacked = struct.unpack("<II", body[:8]) if len(body) >= 8 else (0, 0)
    needed = found.num * found.row_bytes
    if unpacked != needed or needed > packed * _MAX_RATIO:
        got = f"{packed} bytes that claim to give {unpacked}"
        raise InputError(f"{path}: needs data that give {needed} bytes of {found.num} points, got {got}; copied incompletely?")
    return 8 + packed
