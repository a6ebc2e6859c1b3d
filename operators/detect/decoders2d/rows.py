"""Which output of a net holds boxes, scores and objectness, and its rows, whatever the file's layout is.

A net has a row for each place of its grids. The columns of a row are its box, its objectness (in some nets) and a score per
class. Files have them in one output or in several, for all grids or for one grid each, rows first or columns first, or as maps:

    (1, N, K)   (1, K, N)   (N, K)   (1, N, 1, K)   (1, K, H, W)   (1, H, W, K)

`assign` finds the roles from the shapes alone, once; `gather` takes the arrays of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Shape = tuple[int | None, ...]
Shapes = Mapping[str, Shape]
Grid = tuple[int, int]
"""Rows, columns."""

BOXES, OBJECTNESS, SCORES = "boxes", "objectness", "scores"
ALL_GRIDS = -1
_ROWS_FIRST = ("nk", "1nk", "1n1k")
_WORDS = {BOXES: ("box", "loc", "reg", "coord"), SCORES: ("score", "cls", "class", "conf", "logit", "prob"), OBJECTNESS: ("obj",)}
"""In names of outputs, where shapes leave several roles."""


class Part(NamedTuple):
    """Columns start..stop of one output. grid: index, or ALL_GRIDS; form: how to get (rows, columns), see `as_rows`."""

    output: str
    form: str
    grid: int
    start: int
    stop: int


class Rows(NamedTuple):
    """boxes (N, B), scores (N, C), objectness (N,) or None; in the order of the grids."""

    boxes: np.ndarray
    scores: np.ndarray
    objectness: np.ndarray | None


@dataclass(frozen=True, slots=True)
class OutputNames:
    """The user's word on which output is what; needed only where shapes do not tell."""

    boxes: tuple[str, ...] = ()  # of the grids in the order of strides, or one of all grids
    scores: tuple[str, ...] = ()
    objectness: tuple[str, ...] = ()

    def of(self, name: str) -> set[str] | None:
        """Roles that an output is named for; None if no output is named at all, so that any is possible."""
        named = {BOXES: self.boxes, SCORES: self.scores, OBJECTNESS: self.objectness}
        return {role for role, names in named.items() if name in names} if any(named.values()) else None


@dataclass(frozen=True, slots=True)
class Columns:
    """What a row may hold.

    box         columns of a box
    classes     columns of scores
    order       of the parts where one output holds several
    extra       columns at the end that mean something else: mask coefficients, keypoints
    objectness  True: there is one; False: none; None: the shapes say; "rows": in an output of all parts where rows come first, as
                YOLOv5 and YOLOX have it and YOLOv8 has not, so that a wrong number of names is not read as another kind of net
    """

    box: int
    classes: int
    order: tuple[str, ...] = (BOXES, OBJECTNESS, SCORES)
    extra: int = 0
    objectness: bool | Literal["rows"] | None = None

    def widths(self) -> dict[tuple[str, ...], int]:
        """Parts that one output may hold, in their order -> number of columns."""
        size = {BOXES: self.box, OBJECTNESS: 1, SCORES: self.classes}
        wholes = [self.order] if self.objectness is not False and OBJECTNESS in self.order else []
        if self.objectness is not True:
            wholes.append(tuple(part for part in self.order if part != OBJECTNESS))
        singles = [(BOXES,), (SCORES,)] + ([(OBJECTNESS,)] if self.objectness is not False else [])
        whole_widths = {parts: sum(size[p] for p in parts) + self.extra for parts in wholes}
        return whole_widths | {parts: size[parts[0]] for parts in singles}

    def fits(self, parts: tuple[str, ...], form: str) -> bool:
        """May an output of this form hold these parts?"""
        if len(parts) == 1 or self.objectness != "rows":
            return True
        return (OBJECTNESS in parts) == (form in _ROWS_FIRST)

    def say(self) -> str:
        wholes = [(parts, width) for parts, width in self.widths().items() if len(parts) > 1]
        if self.objectness == "rows":
            whole = " or ".join(f"(1, N, {w})" if OBJECTNESS in parts else f"(1, {w}, N)" for parts, w in wholes)
        else:
            whole = " or ".join(f"(1, N, {w})" for _, w in wholes)
        return f"{whole}, or boxes (1, N, {self.box}) and scores (1, N, {self.classes})"


def forms(shape: Shape) -> list[tuple[str, int, int, Grid | None]]:
    """Ways to read a shape as rows: (form, rows, columns, the grid of a map). The first of 3 or 4 dimensions is the batch."""
    if any(n is None for n in shape):
        return []
    dims = [int(n or 0) for n in shape]
    if len(dims) == 2:
        return [("nk", dims[0], dims[1], None)]
    if dims[:1] != [1] or len(dims) not in (3, 4):
        return []
    a, b = dims[1], dims[2]
    if len(dims) == 3:
        return [("1nk", a, b, None), ("1kn", b, a, None)]
    c = dims[3]
    one = [("1n1k", a, c, None)] if b == 1 else []
    return [*one, ("1khw", b * c, a, (b, c)), ("1hwk", a * b, c, (a, b))]


def as_rows(array: np.ndarray, form: str) -> np.ndarray:
    """(N, K) view of an output."""
    if form == "nk":
        return array
    if form == "1nk":
        return array[0]
    if form == "1kn":
        return array[0].T
    if form == "1n1k":
        return array[0, :, 0]
    if form == "1khw":
        return array[0].reshape(array.shape[1], -1).T
    return array[0].reshape(-1, array.shape[3])


def assign(shapes: Shapes, columns: Columns, grids: Sequence[Grid], names: OutputNames) -> dict[str, list[Part]]:
    """Role -> its parts, in the order of the grids. Without grids (finished boxes) any number of rows is right.

    Raises ValueError: needed, got. An output that can hold none of them (a mask prototype) is left alone.
    """
    for name in (*names.boxes, *names.scores, *names.objectness):
        if name not in shapes:
            raise ValueError(f"outputs: needs names of outputs ({', '.join(shapes)}), got {name}")
    found: dict[str, list[Part]] = {BOXES: [], OBJECTNESS: [], SCORES: []}
    for output, shape in shapes.items():
        allowed = names.of(output)
        possible = [
            (parts, form, grid)
            for form, num, width, own_grid in forms(shape)
            for parts, needed in columns.widths().items()
            if width == needed and columns.fits(parts, form)
            if allowed is None or (set(parts) <= allowed if len(parts) == 1 else bool(allowed))
            for grid in [_grid(num, own_grid, grids)]
            if grid is not None
        ]
        if not possible:
            continue
        contents = {parts for parts, _, _ in possible}
        if len(contents) > 1:
            usual = [p for p in possible if len(p[0]) == 1 and says(output, _WORDS[p[0][0]])]
            possible = usual or possible
            contents = {parts for parts, _, _ in possible}
        if contents == {(SCORES,), (OBJECTNESS,)} and columns.objectness is not True:
            possible = [p for p in possible if p[0] == (SCORES,)]  # of one class
        elif len(contents) > 1:
            roles = " or ".join(sorted("+".join(parts) for parts in contents))
            hint = "name the outputs, outputs: {boxes: [..], scores: [..]}"
            if all(len(parts) > 1 for parts in contents):
                hint = "set objectness: true or false"
            raise ValueError(f"output {output} {show(shape)} may hold {roles}: {hint}")
        parts, form, grid = possible[0]
        start = 0
        for part in parts:
            stop = start + {BOXES: columns.box, OBJECTNESS: 1, SCORES: columns.classes}[part]
            found[part].append(Part(output, form, grid, start, stop))
            start = stop
    needs = columns.say() + _say_grids(grids)
    for role, parts_found in found.items():
        have = [part.grid for part in parts_found]
        optional = role == OBJECTNESS and columns.objectness is not True
        complete = sorted(have) in ([ALL_GRIDS], list(range(len(grids)))) if have else optional
        if not complete or (not grids and len(have) > 1):
            several = len(have) > len(set(have))
            raise ValueError(f"needs {needs}, got {listed(shapes)}{_hint(shapes, columns, grids, role, several)}")
        parts_found.sort(key=lambda part: part.grid)
    return found


def gather(arrays: Mapping[str, np.ndarray], parts: Mapping[str, Sequence[Part]]) -> Rows:
    """The rows of a frame; views where one output has them all."""

    def one(role: str) -> np.ndarray | None:
        pieces = [as_rows(arrays[p.output], p.form)[:, p.start : p.stop] for p in parts[role]]
        return None if not pieces else pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    boxes, scores, objectness = one(BOXES), one(SCORES), one(OBJECTNESS)
    assert boxes is not None and scores is not None
    return Rows(boxes, scores, None if objectness is None else objectness[:, 0])


def _grid(num: int, own: Grid | None, grids: Sequence[Grid]) -> int | None:
    """The grid that has this number of rows; ALL_GRIDS; None if none. Finished boxes are in no maps."""
    if not grids:
        return ALL_GRIDS if own is None else None
    if own is None and num == sum(h * w for h, w in grids):
        return ALL_GRIDS if len(grids) > 1 else 0
    for index, (height, width) in enumerate(grids):
        if own == (height, width) or (own is None and num == height * width):
            return index
    return None


def _say_grids(grids: Sequence[Grid]) -> str:
    if not grids:
        return ""
    sizes = " + ".join(f"{h}x{w}" for h, w in grids)
    return f" with N = {sum(h * w for h, w in grids)} = {sizes} rows, together or by grid"


def _hint(shapes: Shapes, columns: Columns, grids: Sequence[Grid], role: str, several: bool) -> str:
    if several:
        return f"; several outputs may hold the {role}: name the outputs, outputs: {{boxes: [..], scores: [..]}}"
    for shape in shapes.values():
        for form, num, width, own in forms(shape):
            other = [p for p, w in columns.widths().items() if w == width < num and not columns.fits(p, form)]
            if other:
                return f"; set objectness: {str(OBJECTNESS in other[0]).lower()} if names is right"
            for parts in columns.widths():
                classes = width - columns.box - columns.extra - (OBJECTNESS in parts)
                if len(parts) > 1 and columns.fits(parts, form) and 0 < classes < num and _grid(num, own, grids) is not None:
                    return f"; a net of {classes} classes? names has {columns.classes}"
    return ""


def says(name: str, words: Sequence[str]) -> bool:
    """A name of an output that has one of the words in it."""
    return any(word in name.lower() for word in words)


def show(shape: Shape) -> str:
    return f"({', '.join('free' if n is None else str(n) for n in shape)})"


def listed(shapes: Shapes) -> str:
    """All outputs with their shapes, for a message."""
    return ", ".join(f"{name} {show(shape)}" for name, shape in shapes.items()) or "no outputs"
