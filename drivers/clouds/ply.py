"""The header of a PLY file.        PLY 1.0 (Turk)"""

from __future__ import annotations

from pathlib import Path

from drivers.clouds.layout import Layout, columns, split, whole
from pipeline.errors import InputError

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LIST = ""


def layout(path: Path, head: bytes) -> Layout:
    """The layout, from the first bytes of the file. Raises InputError naming file and line."""
    header = split(head, b"end_header")
    if header is None or header[0][0] != "ply":
        raise InputError(f"{path}: needs a PLY file, got one that begins with {head[:12]!r} and has no end_header")
    lines, start = header
    order: str | None = None
    elements: list[tuple[str, int, list[tuple[str, str]]]] = []  # name, rows, its (column, type)
    for number, line in enumerate(lines[1:-1], 2):
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append((words[1], whole(words[2]), []))
            elif words[:1] == ["property"]:
                elements[-1][2].append((words[-1], _LIST if words[1] == "list" else _TYPES[words[1]]))
        except (IndexError, KeyError, ValueError):
            raise InputError(f"{path}:{number}: needs a line of a PLY header, got {line!r}") from None
    names = [name for name, *_ in elements]
    if order is None or "vertex" not in names:
        raise InputError(f"{path}: needs a format and an element vertex in its header, got {', '.join(names) or 'neither'}")
    for name, num, properties in elements:
        if _LIST in (kind for _, kind in properties):
            raise InputError(f"{path}: needs points without lists and before elements that have some, got lists in {name}")
        fields, row_bytes = columns((column, order + kind, 1) for column, kind in properties)
        if name == "vertex":
            break
        start += num * row_bytes if order else 0
    skipped = sum(num for _, num, _ in elements[: names.index("vertex")])
    if order:
        return Layout(num, fields, "binary", start, row_bytes, num * row_bytes)
    return Layout(num, fields, "ascii", start, skipped=skipped)
