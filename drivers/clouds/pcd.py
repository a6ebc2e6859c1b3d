"""The header of a PCD file.        PCD 0.7 (PCL)"""

from __future__ import annotations

import struct
from pathlib import Path

from drivers.clouds.layout import Layout, columns, split, whole
from pipeline.errors import InputError

_TYPES = {"F": ("4", "8"), "I": ("1", "2", "4", "8"), "U": ("1", "2", "4", "8")}
_DATA = {"ascii": "ascii", "binary": "binary", "binary_compressed": "compressed"}


def layout(path: Path, head: bytes) -> Layout:
    """The layout, from the first bytes of the file. Raises InputError naming the file and the line of the header."""
    header = split(head, b"DATA")
    if header is None:
        raise InputError(f"{path}: needs a PCD file, got one that begins with {head[:12]!r} and has no DATA")
    lines, start = header
    said = {words[0]: words[1:] for line in lines if (words := line.split()) and not line.startswith("#")}
    names = said.get("FIELDS", [])
    counts = said.get("COUNT", ["1"] * len(names))
    try:
        kinds = [f"<{kind.lower()}{size}" for kind, size in zip(said["TYPE"], said["SIZE"], strict=True) if size in _TYPES[kind]]
        fields, row_bytes = columns(zip(names, kinds, map(whole, counts), strict=True))
        num = whole(said["POINTS"][0]) if "POINTS" in said else whole(said["WIDTH"][0]) * whole(said["HEIGHT"][0])
        data = _DATA[said["DATA"][0]]
    except (KeyError, ValueError, IndexError):
        keys = ("FIELDS", "SIZE", "TYPE", "COUNT", "POINTS", "DATA")
        got = "; ".join(" ".join([key, *said[key]]) for key in keys if key in said) or "none of them"
        raise InputError(f"{path}: needs {' '.join(keys)} as PCD 0.7 has them, got {got}") from None
    if data != "compressed" or not num:
        return Layout(num, fields, data, start, row_bytes, num * row_bytes if data == "binary" else 0)
    if len(fields) != len(names) or set(counts) - {"1"}:  # open3d 0.20 crashes on the padding that PCL calls _
        raise InputError(f"{path}: binary_compressed needs columns of one number and a name each, got FIELDS {' '.join(names)}")
    sizes = head[start : start + 8]
    packed, unpacked = struct.unpack("<II", sizes) if len(sizes) == 8 else (0, 0)
    if unpacked != num * row_bytes:
        raise InputError(f"{path}: needs {num * row_bytes} bytes of {num} points, got {unpacked}; copied incompletely?")
    return Layout(num, fields, data, start, data_bytes=8 + packed)
