"""The skeleton of drivers of RGB and thermal pictures that belong together, one implementation for all layouts.

out  image        (H, W, 3) uint8  RGB
     thermal      (H, W) uint8     after gain control
     thermal_raw  (H, W) uint16    counts, where there are 16-bit files
     truth        boxes2d in the thermal picture, boxes3d NaN; fact class_names: what labels index; -1: to be ignored

A layout (`layout` of a driver) finds sequences of pairs from names alone. Pictures without a partner (`unpaired: skip`) and pairs
of a wrong size (`sizes`) are left out, counted, and named in the display, the log and the report. A stamp is the position of the
pair in its sequence, those left out included, times the period; sequences follow each other one second apart.
A picture without annotation sends no truth, one without objects sends M = 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from drivers.flir.annotations import Annotations
from drivers.flir.boxes import Left, truth
from drivers.flir.forms import check_image, check_raw, check_thermal, form, read_raw
from drivers.kitti.files import check_stamp
from drivers.pictures import read_grey, read_rgb
from drivers.recorded import Item, Listing, Recorded
from operators import folders
from operators.streams import CLASS_NAMES, GREY, IMAGE, THERMAL_RAW, TRUTH, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading

OUTPUTS = {"image": IMAGE, "thermal": GREY, "thermal_raw": THERMAL_RAW, "truth": TRUTH}
GAP_NS = 1_000_000_000
Unpaired = Literal["skip", "keep"]
"""Pictures without a partner; keep: the frame lacks the other port."""
Sizes = Literal["equal", "common", "any"]
"""Which pairs are played. equal: image and thermal of one size; common: image and thermal each of the size that most have."""


class Pair(NamedTuple):
    """name: the data set's own; key: of its annotation."""

    name: str
    key: str
    image: Path | None
    thermal: Path | None
    thermal_raw: Path | None = None

    @property
    def warm(self) -> Path | None:
        """The picture whose size the boxes are in."""
        return self.thermal or self.thermal_raw

    @property
    def anything(self) -> Path:
        return next(path for path in (self.thermal, self.thermal_raw, self.image) if path is not None)


class Placed(NamedTuple):
    """A pair and its position in its sequence."""

    sequence: str
    at: int
    pair: Pair


@dataclass(frozen=True)
class Layout:
    """sequences: name ("" = none) -> pairs in playing order; annotations: opened when truth is wanted; note: said once;
    only: keys of the pairs to play, None = all."""

    sequences: Mapping[str, list[Pair]]
    annotations: Callable[[], Annotations] | None = None
    note: str = ""
    only: Collection[str] | None = None


@dataclass(frozen=True)
class Played(Listing):
    layout: Layout
    left: str


def joined(image: Mapping[str, Path], thermal: Mapping[str, Path], raw: Mapping[str, Path]) -> list[Pair]:
    """Stem -> file of each folder, joined by stem, in the order of names."""
    stems = sorted({*image, *thermal, *raw}, key=by_number)
    return [Pair(stem, stem, image.get(stem), thermal.get(stem), raw.get(stem)) for stem in stems]


def pictures(folder: Path, *suffixes: str) -> dict[str, Path]:
    """Stem -> file of a folder; of two files with one stem that of the first suffix. A missing folder holds nothing."""
    ranked: dict[str, tuple[int, str]] = {}
    for name in folders.names(folder):
        path = Path(name)
        if (suffix := path.suffix.lower()) in suffixes:
            ranked[path.stem] = min(ranked.get(path.stem, (len(suffixes), "")), (suffixes.index(suffix), name))
    return {stem: folder / name for stem, (_, name) in ranked.items()}


def by_number(name: str) -> list[tuple[int, str]]:
    """Sort key: numbers in names are compared as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _listed(pairs: list[Placed], keys: Collection[str], left: Left) -> list[Placed]:
    there = {placed.pair.key for placed in pairs}
    for key in keys:
        if key not in there:
            left.add("listed frames that are not there left out", key)
    wanted = set(keys)
    return [placed for placed in pairs if placed.pair.key in wanted]


def complete(pairs: list[Placed], left: Left) -> list[Placed]:
    """Those that lack no picture that others have; 16-bit pictures may be absent beside 8-bit ones."""
    has_image, has_warm = any(p.pair.image for p in pairs), any(p.pair.warm for p in pairs)
    out = []
    for placed in pairs:
        pair = placed.pair
        if (has_image and pair.image is None) or (has_warm and pair.warm is None):
            left.add("pictures without a partner left out", pair.anything)
        else:
            out.append(placed)
    return out


def of_size(pairs: list[Placed], sizes: Sizes, left: Left) -> list[Placed]:
    """Those whose sizes fit. Reads the first bytes of every picture, unless sizes is any."""
    if sizes == "any":
        return pairs
    found = [(_size(p.pair.image), _size(p.pair.warm)) for p in pairs]
    usual = [_usual([size for size in column if size]) for column in zip(*found, strict=True)]
    out = []
    for placed, (image, warm) in zip(pairs, found, strict=True):
        if sizes == "equal":
            if image is None or warm is None or image == warm:
                out.append(placed)
            else:
                left.add("pairs of unequal sizes left out", f"{placed.pair.image} ({_by(image)}, thermal {_by(warm)})")
            continue
        wrong = [at for at, size in enumerate((image, warm)) if size not in (None, usual[at])]
        if not wrong:
            out.append(placed)
        else:
            at = wrong[0]
            path = (placed.pair.image, placed.pair.warm)[at]
            left.add(f"pairs with another size than {_by(usual[at])} left out", f"{path} ({_by((image, warm)[at])})")
    return out


def _size(path: Path | None) -> tuple[int, int] | None:
    return None if path is None else form(path).size


def _usual(sizes: Collection[tuple[int, int]]) -> tuple[int, int] | None:
    """The commonest; of equally common ones the first."""
    return Counter(sizes).most_common(1)[0][0] if sizes else None


def _by(size: tuple[int, int] | None) -> str:
    return f"{size[0]} x {size[1]}" if size else "none"


class Pairs(Recorded):
    """A driver implements `layout`; its config has `unpaired`, `sizes` and `rate_hz`."""

    who: str
    alloc: Callable[[str, str, tuple[int, ...], Any], np.ndarray]
    put: Callable[[str, str, np.ndarray], np.ndarray]
    listing: Played
    _annotations: Annotations | None
    _cut: Left

    @classmethod
    def layout(cls, config: Any) -> Layout:
        """From names alone. Raises InputError."""
        raise NotImplementedError(f"{cls.__name__}.layout")

    @classmethod
    def rate(cls, config: Any) -> float:
        return float(config.rate_hz)

    @classmethod
    def list_items(cls, config: Any) -> Played:
        layout, rate_hz, left = cls.layout(config), cls.rate(config), Left()
        whole = [Placed(name, at, pair) for name, pairs in layout.sequences.items() for at, pair in enumerate(pairs)]
        if layout.only is not None:
            whole = _listed(whole, layout.only, left)
        kept = of_size(complete(whole, left) if config.unpaired == "skip" else whole, config.sizes, left)
        if not kept:
            raise InputError(
                f"{cls.who}: needs pictures of both cameras, got none of {len(whole)}: {left.said() or 'no pictures'}"
            )
        starts, now = {}, 0
        for name, pairs in layout.sequences.items():
            if pairs:
                check_stamp(pairs[-1].anything, len(pairs), rate_hz, now)
            starts[name] = now
            now += round(len(pairs) * 1e9 / rate_hz) + GAP_NS
        items = [
            Item(0, pair, f"{name}/{pair.name}" if name else pair.name, starts[name] + round(at * 1e9 / rate_hz))
            for name, at, pair in kept
        ]
        return Played([None], items, rate_hz, layout, left.said())

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        pairs = [item.key for item in self.listing.items]
        words = {"image": "RGB pictures", "thermal": "8-bit thermal pictures", "thermal_raw": "16-bit thermal pictures"}
        return {
            port: f"there are no {what}"
            for port, what in words.items()
            if port in ports and not any(getattr(p, port) for p in pairs)
        }

    def check_wanted(self) -> None:
        checks = {"image": check_image, "thermal": check_thermal, "thermal_raw": check_raw}
        for item in self.listing.items:
            for port, check in checks.items():
                if port in self.wanted and (path := getattr(item.key, port)) is not None:
                    check(path)
        if "truth" in self.wanted and self.listing.layout.annotations is not None:
            annotations, left = self.listing.layout.annotations(), Left()
            for item in self.listing.items:
                boxes = annotations.boxes(item.key.key)
                if boxes:
                    truth(boxes, form(item.key.warm or item.key.anything).size, left)

    def open(self, start: int = 0) -> None:
        super().open(start)
        self._annotations, self._cut, left = None, Left(), Left()
        self.say(self.listing.layout.note)
        self.say(self.listing.left)
        if "thermal_raw" in self.wanted:
            for item in self.listing.items:
                if item.key.thermal_raw is None:
                    left.add("frames without a 16-bit picture", item.name)
        if "truth" in self.wanted:
            self._open_truth(left)
        self.say(left.said())

    def _open_truth(self, left: Left) -> None:
        opener = self.listing.layout.annotations
        if opener is None:
            self.say("no truth: there are no annotations")
            return
        self._annotations = opener()
        there = {pair.key for pairs in self.listing.layout.sequences.values() for pair in pairs}
        for key in self._annotations.annotated():
            if key not in there:
                left.add("annotations without image left out", key)

    def load(self, part: None, pair: Pair, reading: Reading) -> None:
        if "image" in self.wanted and pair.image is not None:
            reading.values["image"] = read_rgb(pair.image, lambda shape: self.alloc("image", "image", shape, "uint8"))
        if "thermal" in self.wanted and pair.thermal is not None:
            reading.values["thermal"] = read_grey(pair.thermal, lambda shape: self.alloc("thermal", "image", shape, "uint8"))
        if "thermal_raw" in self.wanted and pair.thermal_raw is not None:
            raw = read_raw(pair.thermal_raw, lambda shape: self.alloc("thermal_raw", "thermal_raw", shape, "uint16"))
            reading.values["thermal_raw"] = raw
        if "truth" in self.wanted and self._annotations is not None:
            self._load_truth(self._annotations, pair, reading)

    def _load_truth(self, annotations: Annotations, pair: Pair, reading: Reading) -> None:
        boxes = annotations.boxes(pair.key)
        if boxes is None:
            return
        before = self._cut.said()
        found = truth(boxes, form(pair.warm or pair.anything).size, self._cut)
        reading.values["truth"] = Truth(*(self.put("truth", name, array) for name, array in found._asdict().items()))
        reading.meta["truth"] = {CLASS_NAMES: list(annotations.class_names)}
        if self._cut.said() != before:
            self.status("; ".join((*self._said, self._cut.said())))

    def close(self) -> None:
        self.say(self._cut.said())
