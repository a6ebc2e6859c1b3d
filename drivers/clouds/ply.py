"""The header of a PLY file.        PLY 1.0 (Turk)"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from drivers.clouds.layout import Layout, columns, short, split, whole
from pipeline.errors import InputError

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class Element(NamedTuple):
    """properties: (name, type, "") or for a list (name, type of its length, type of its numbers)."""

    name: str
    num: int
    properties: list[tuple[str, str, str]]

    @property
    def has_lists(self) -> bool:
        return any(numbers for *_, numbers in self.properties)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Bytes of each property: of the number or the length, of each number in the list or 0."""
        return tuple((np.dtype(kind).itemsize, np.dtype(item).itemsize if item else 0) for _, kind, item in self.properties)

    @property
    def row_bytes(self) -> int:
        """Of a binary row, the least."""
        return sum(size for size, _ in self.sizes)


def layout(path: Path, head: bytes) -> Layout:
    """The layout, from the first bytes of the file. Raises InputError naming file and line."""
    order, elements, start, num_lines = read_header(path, head)
    names = [element.name for element in elements]
    if order is None or names.count("vertex") != 1:
        got = ", ".join(map(short, names)) or "neither"
        raise InputError(f"{path}: needs a format and one element vertex in its header, got {got}")
    at = names.index("vertex")
    before, points, after = elements[:at], elements[at], elements[at + 1 :]
    for element in (*before, points):
        if element.has_lists:
            needs = "points without lists, before elements that have some"
            raise InputError(f"{path}: needs {needs}, got lists in {short(element.name)}")
    try:
        fields, row_bytes, row_words = columns((name, order + kind, 1) for name, kind, _ in points.properties)
    except ValueError as error:
        raise InputError(f"{path}: needs each property of vertex once, got two of {short(str(error))}") from None
    if not order:
        lines_before, lines_after = (sum(element.num for element in some) for some in (before, after))
        found = Layout(points.num, fields, "ascii", start, row_bytes, row_words, header_lines=num_lines)
        return found._replace(first=lines_before, after=lines_after)
    data_bytes = sum(element.num * element.row_bytes for element in elements)
    with_lists = any(element.has_lists and element.num for element in after)
    return Layout(
        points.num,
        fields,
        "binary",
        start,
        row_bytes,
        row_words,
        data_bytes,
        lists=tuple((element.num, element.sizes) for element in after) if with_lists else (),
        first=sum(element.num * element.row_bytes for element in before),
    )


def read_header(path: Path, head: bytes) -> tuple[str | None, list[Element], int, int]:
    """Byte order ("" for text, None: not said), the elements, the byte after the header, its lines. Raises InputError."""
    header = split(path, head, "PLY", "end_header")
    if header.lines[0] != "ply":
        raise InputError(f"{path}: needs a PLY file, got one that begins with {head[:12]!r}")
    order: str | None = None
    elements: list[Element] = []
    for number, line in enumerate(header.lines[1:-1], 2):
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append(Element(words[1], whole(words[2]), []))
            elif words[:1] == ["property"]:
                kinds = words[2:4] if words[1] == "list" else [words[1]]
                elements[-1].properties.append((words[-1], _TYPES[kinds[0]], _TYPES[kinds[1]] if words[1] == "list" else ""))
        except (IndexError, KeyError, ValueError):
            raise InputError(f"{path}:{number}: needs a line of a PLY header, got {short(line)!r}") from None
    return order, elements, header.start, len(header.lines)
