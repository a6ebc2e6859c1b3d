"""Class logits and instance masks of one picture -> segments that do not overlap.      Source: EfficientPS, sec. panoptic fusion

Work is done inside boxes only, and the logits are read once, row by row (operators/kernels/panoptic_pixels.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.kernels import panoptic_masks, panoptic_pixels
from operators.team import Team

_ROWS, _ENLARGED_ROWS = 32, 8  # of a piece of work; the rows that are enlarged at one time stay in the cache
_MASKS = 8
_MASK_BYTES = 16 << 20  # of the masks that are tested against those before them at one time


@dataclass(frozen=True, slots=True)
class Rules:
    """paste: Kirillov's heuristic in place of fused logits; alone: of the masks on a pixel only the best competes."""

    paste: bool = False
    alone: bool = False
    score_threshold: float = 0.5
    max_overlap: float = 0.5
    min_stuff_px: int = 2048
    mask_scale: float = 4.0


class Objects(NamedTuple):
    """Instances of one picture: boxes (M, 4) x1 y1 x2 y2 [px], scores (M,), planes (M,) int64: the plane of each one's class in
    the logits; mask_logits (M, S, S) float32."""

    boxes: np.ndarray
    scores: np.ndarray
    planes: np.ndarray
    mask_logits: np.ndarray


class Segments(NamedTuple):
    """Of the ids 1..S in this order: rows (S,) of the instance, -1 = stuff; planes (S,) of the class. dropped: instances with a
    score below the threshold, outside of the picture, with an empty mask or on better ones, without a pixel in the end."""

    rows: np.ndarray
    planes: np.ndarray
    dropped: tuple[int, int, int, int]


def spans_of(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(M, 4) -> first column, row, last column, row (excluded) of the pixels with their centres in the box; 0 0 0 0 if none."""
    spans = np.zeros(boxes.shape, np.int64)
    finite = np.isfinite(boxes).all(1)
    whole = boxes[finite]
    for axis, side in ((0, width), (1, height)):
        spans[finite, axis] = np.ceil(np.clip(whole[:, axis], 0, side))
        spans[finite, axis + 2] = np.floor(np.clip(whole[:, axis + 2], -1, side - 1)) + 1
    spans[(spans[:, 2] <= spans[:, 0]) | (spans[:, 3] <= spans[:, 1])] = 0
    return spans


def _readonly(array: np.ndarray) -> np.ndarray:
    """The array contiguous, as views of slots are: numba compiles a kernel once more for arrays that may be written."""
    view = np.ascontiguousarray(array)[...]
    view.flags.writeable = False
    return view


class Fusion:
    """Keeps its memory from frame to frame."""

    def __init__(self, rules: Rules, threads: int) -> None:
        self.rules, self.threads = rules, max(threads, 1)
        self.team = Team(self.threads)
        self._memory: dict[str, np.ndarray] = {}

    def close(self) -> None:
        self.team.close()

    def fuse(self, logits: np.ndarray, stride: int, is_thing: np.ndarray, objects: Objects, out: np.ndarray) -> Segments:
        """logits (C, h, w) float32, a cell for stride x stride pixels; is_thing (C,) bool; fills out (H, W) int32."""
        rules, (height, width), num = self.rules, out.shape, len(logits)
        logits = _readonly(logits)
        boxes, scores = objects.boxes.astype(np.float64), objects.scores
        good = np.flatnonzero(scores >= rules.score_threshold)
        good = good[np.argsort(-scores[good], kind="stable")]
        spans = spans_of(boxes, height, width)
        inside = good[spans[good, 2] > 0]
        # from here on instances are numbered by rank
        boxes, spans, planes = boxes[inside], spans[inside], objects.planes[inside]
        masks = np.ascontiguousarray(objects.mask_logits[inside])
        size = masks.shape[1]
        widths = spans[:, 2] - spans[:, 0]
        ends = np.cumsum(size * widths)
        starts = ends - size * widths
        wide = self._scratch("wide", int(ends[-1]) if len(ends) else 0, np.float32)
        self._pieces(
            len(inside),
            _MASKS,
            lambda a, b: panoptic_masks.stretch(a, b, masks, boxes, rules.mask_scale, spans, starts, wide),
        )
        kept = np.flatnonzero(self._choose(size, boxes, spans, starts, wide, height, width))
        raw = self._scratch("raw", height * width, np.uint16).reshape(height, width)
        stuff, things = np.flatnonzero(~is_thing), np.flatnonzero(is_thing)
        rows = _ROWS if stride == 1 else _ENLARGED_ROWS
        areas = np.zeros((-(-height // rows), 1 + num + len(inside)), np.int64)
        tiles = [self._scratch(f"tile {t}", num * rows * width, np.float32) for t in range(self.threads if stride > 1 else 0)]

        def label(first: int, last: int) -> None:
            tile, cells, top = None, logits, 0
            if stride > 1:
                tile = tiles.pop()  # one for each thread
                cells, top = tile.reshape(num, rows, width), first
                panoptic_pixels.enlarge_rows(first, last, logits, stride, cells)
                cells = _readonly(cells)
            panoptic_pixels.label_rows(
                first, last, cells, top, stuff, things, rules.paste, rules.alone, kept, planes, size, boxes, spans, starts, wide,
                raw, areas[first // rows],
            )  # fmt: skip
            if tile is not None:
                tiles.append(tile)

        self._pieces(height, rows, label)
        of_code = areas.sum(0)
        found = np.flatnonzero(of_code[1 + num :])
        seen = stuff[of_code[1 + stuff] >= max(rules.min_stuff_px, 1)]
        ids = np.zeros(len(of_code), np.int32)
        ids[1 + num + found] = np.arange(1, 1 + len(found))
        ids[1 + seen] = np.arange(1 + len(found), 1 + len(found) + len(seen))
        self._pieces(height, _ROWS, lambda a, b: panoptic_pixels.number(a, b, raw, ids, out))
        return Segments(
            np.concatenate([inside[found], np.full(len(seen), -1)]),
            np.concatenate([planes[found], seen]),
            (len(scores) - len(good), len(good) - len(inside), len(inside) - len(kept), len(kept) - len(found)),
        )

    def _choose(
        self, size: int, boxes: np.ndarray, spans: np.ndarray, starts: np.ndarray, wide: np.ndarray, height: int, width: int
    ) -> np.ndarray:
        """(M,) bool: the masks that are not empty and lie on better ones by max_overlap at most."""
        kept = np.zeros(len(spans), np.bool_)
        if not len(spans):
            return kept
        bytes_of_row = ((spans[:, 2] + 7) // 8 - spans[:, 0] // 8) * 8
        ends = np.cumsum(bytes_of_row * (spans[:, 3] - spans[:, 1]))
        places = np.concatenate([[0], ends[:-1]])
        words = -(-width // 8)
        occupied = self._scratch("occupied", height * words, np.uint64).reshape(height, words)
        occupied[...] = 0
        first, widest = 0, int((spans[:, 2] - spans[:, 0]).max())
        while first < len(spans):  # in parts, for 500 masks of a whole picture
            last = max(first + 1, int(np.searchsorted(ends, places[first] + _MASK_BYTES, "right")))
            here = places - places[first]
            inside = self._scratch("inside", int(ends[last - 1] - places[first]) // 8, np.uint64)

            def cover(a: int, b: int, first: int = first, here: np.ndarray = here, inside: np.ndarray = inside) -> None:
                line = np.empty(widest, np.float32)
                panoptic_masks.insides(first + a, first + b, size, boxes, spans, starts, wide, here, inside.view(np.uint8), line)

            self._pieces(last - first, _MASKS, cover)
            panoptic_masks.choose(first, last, spans, here, inside, self.rules.max_overlap, occupied, kept)
            first = last
        return kept

    def _pieces(self, num: int, each: int, work: Callable[[int, int], None]) -> None:
        """Calls work(first, last) for `each` rows or masks at a time, in all threads."""
        self.team.share(-(-num // each), lambda piece: work(piece * each, min((piece + 1) * each, num)))

    def _scratch(self, name: str, length: int, dtype: type) -> np.ndarray:
        """Memory of an earlier frame, uninitialised."""
        held = self._memory.get(name)
        if held is None or len(held) < length:
            self._memory[name] = held = np.empty(length, dtype)
        return held[:length]
