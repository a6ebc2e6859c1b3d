"""The skeleton of drivers of pictures with a class and an instance per pixel, one implementation for all layouts.

out  image           (H, W, 3) uint8  RGB
     panoptic_truth  segments of the same pixels; facts class_names and things. A crowd (several things as one) has score 0

A layout (`layout` of a driver) finds sequences of shots from names alone. Shots without a partner (`unpaired: skip`) and those
whose picture and labels differ in size are left out, counted, and named in the display, the log and the report; ids that are of
no class are void and counted. A split without any labels plays its pictures. A stamp is the position of the shot in its
sequence, those left out included, times the period; sequences follow each other one second apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from drivers.flir.boxes import Left
from drivers.flir.pairs import GAP_NS
from drivers.kitti.files import check_rate, check_stamp
from drivers.panoptic.labels import MAX_SEGMENTS, Classes, Meaning, panoptic_of
from drivers.pictures import check_pictures, picture_size, read_rgb
from drivers.recorded import Item, Listing, Recorded
from operators import folders
from operators.streams import IMAGE, MAX_PICTURE, PANOPTIC
from pipeline.errors import InputError
from pipeline.frame import Reading

OUTPUTS = {"image": IMAGE, "panoptic_truth": PANOPTIC}
Unpaired = Literal["skip", "keep"]
"""Pictures without labels, and labels without a picture; keep: the frame lacks the other port."""


class Shot(NamedTuple):
    """name: the data set's own; labels: its label pictures, all of one size, or none; about: what the driver wants to know."""

    name: str
    image: Path | None
    labels: tuple[Path, ...]
    about: Any = None

    @property
    def anything(self) -> Path:
        return self.image or self.labels[0]


class Played(NamedTuple):
    """A shot and its place. part: number of its sequence."""

    part: int
    at: int
    shot: Shot


@dataclass(frozen=True)
class Layout:
    """sequences: name ("" = none) -> shots in playing order; needs: where the labels are, for errors; note: said once."""

    sequences: Mapping[str, list[Shot]]
    classes: Classes
    needs: str
    note: str = ""


@dataclass(frozen=True)
class ShotListing(Listing):
    layout: Layout
    left: str


class Shots(Recorded):
    """A driver implements `layout`, `ids` and `meaning`; its config has `unpaired` and `rate_hz`."""

    who: str
    largest: tuple[int, int] = (MAX_PICTURE["W"], MAX_PICTURE["H"])  # width, height of the set's pictures: the size of the slots
    alloc: Callable[[str, str, tuple[int, ...], Any], np.ndarray]
    put: Callable[[str, str, np.ndarray], np.ndarray]
    listing: ShotListing
    _cut: Left

    @classmethod
    def layout(cls, config: Any) -> Layout:
        """From names alone. Raises InputError."""
        raise NotImplementedError(f"{cls.__name__}.layout")

    def ids(self, shot: Shot) -> np.ndarray:
        """(H, W) of whole numbers, 0 or more."""
        raise NotImplementedError(f"{type(self).__name__}.ids")

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        """Of the ids that occur."""
        raise NotImplementedError(f"{type(self).__name__}.meaning")

    @classmethod
    def shown(cls, config: Any, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) sent of a picture on disk."""
        return size

    @classmethod
    def slot_bytes(cls, config: Any) -> dict[str, int]:
        width, height = cls.shown(config, cls.largest)
        sizes = {"image": 3 * width * height, "panoptic_truth": 4 * width * height + 20 * MAX_SEGMENTS + 4 * 64}
        return {port: -(-size // 64) * 64 for port, size in sizes.items()}

    @classmethod
    def list_items(cls, config: Any) -> ShotListing:
        check_rate(cls.who, config.rate_hz)
        layout, left = cls.layout(config), Left()
        whole = [Played(part, at, shot) for part, shots in enumerate(layout.sequences.values()) for at, shot in enumerate(shots)]
        kept = _of_one_size(_complete(whole, left) if config.unpaired == "skip" else whole, left)
        if not kept:
            raise InputError(f"{cls.who}: needs pictures with labels, got none of {len(whole)}: {left.said() or 'no pictures'}")
        names, starts, now = list(layout.sequences), [], 0
        for shots in layout.sequences.values():
            if shots:
                check_stamp(shots[-1].anything, len(shots), config.rate_hz, now)
            starts.append(now)
            now += round(len(shots) * 1e9 / config.rate_hz) + GAP_NS
        items = [
            Item(
                played.part,
                played,
                f"{name}/{played.shot.name}" if (name := names[played.part]) else played.shot.name,
                starts[played.part] + round(played.at * 1e9 / config.rate_hz),
            )
            for played in kept
        ]
        return ShotListing(names, items, config.rate_hz, layout, left.said())

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        shots = [item.key.shot for item in self.listing.items]
        none = {"image": not any(shot.image for shot in shots), "panoptic_truth": not any(shot.labels for shot in shots)}
        words = {"image": "there are no pictures", "panoptic_truth": f"there is no {self.listing.layout.needs}"}
        return {port: words[port] for port, missing in none.items() if missing and port in ports}

    def check_wanted(self) -> None:
        shots = [item.key.shot for item in self.listing.items]
        if "image" in self.wanted:
            check_pictures(shot.image for shot in shots if shot.image)
        if "panoptic_truth" in self.wanted:
            check_pictures(path for shot in shots for path in shot.labels)

    def open(self, start: int = 0) -> None:
        super().open(start)
        self._cut = Left()
        self.say(self.listing.layout.note)
        self.say(self.listing.left)

    def load(self, part: str, played: Played, reading: Reading) -> None:
        shot = played.shot
        if "image" in self.wanted and shot.image is not None:
            reading.values["image"] = self._image(shot.image)
        if "panoptic_truth" in self.wanted and shot.labels:
            self._truth(played, reading)

    def _image(self, path: Path) -> np.ndarray:
        size = picture_size(path)
        shown = self.shown(self.config, size)
        if shown == size:
            return read_rgb(path, lambda shape: self.alloc("image", "image", shape, "uint8"))
        whole = read_rgb(path, lambda shape: np.empty(shape, np.uint8))
        small = self.alloc("image", "image", (shown[1], shown[0], 3), "uint8")
        return np.asarray(cv2.resize(whole, shown, dst=small, interpolation=cv2.INTER_AREA))

    def _truth(self, played: Played, reading: Reading) -> None:
        path, classes = played.shot.labels[-1], self.listing.layout.classes
        ids = self.ids(played.shot)
        size = ids.shape[1], ids.shape[0]
        if (shown := self.shown(self.config, size)) != size:
            ids = np.asarray(cv2.resize(ids, shown, interpolation=cv2.INTER_NEAREST))
        truth, unknown = panoptic_of(
            path,
            ids,
            lambda found: self.meaning(found, played),
            classes,
            lambda shape: self.alloc("panoptic_truth", "panoptic", shape, "int32"),
        )
        reading.values["panoptic_truth"], reading.meta["panoptic_truth"] = truth, dict(classes.facts)
        for number in unknown.tolist():
            self.cut("ids of no class taken as void", f"{number} in {path}")

    def cut(self, reason: str, what: str) -> None:
        """Counts what is left out of a frame, and shows it."""
        self._cut.add(reason, what)
        self.status("; ".join((*self._said, self._cut.said())))

    def close(self) -> None:
        self.say(self._cut.said())


def _complete(whole: list[Played], left: Left) -> list[Played]:
    """Those that lack neither picture nor labels, if any shot has these."""
    has_image, has_labels = any(p.shot.image for p in whole), any(p.shot.labels for p in whole)
    out = []
    for played in whole:
        if has_image and played.shot.image is None:
            left.add("label pictures without a picture left out", played.shot.anything)
        elif has_labels and not played.shot.labels:
            left.add("pictures without labels left out", played.shot.anything)
        else:
            out.append(played)
    return out


def _of_one_size(whole: list[Played], left: Left) -> list[Played]:
    """Reads the first bytes of every file."""
    out = []
    for played in whole:
        shot = played.shot
        sizes = [picture_size(path) for path in (*([shot.image] if shot.image else []), *shot.labels)]
        if len(set(sizes)) == 1:
            out.append(played)
        else:
            said = ", ".join(f"{width} x {height}" for width, height in sizes)
            left.add("shots with pictures of unequal sizes left out", f"{shot.anything} ({said})")
    return out


def chosen(who: str, key: str, sequences: dict[str, list[Shot]], asked: str | list[str]) -> dict[str, list[Shot]]:
    """ "all", a name, or a list of names; a name also stands for all below it (Scene01 for Scene01/clone). key: of the config."""
    if asked == "all":
        return sequences
    out: set[str] = set()
    for one in [asked] if isinstance(asked, str) else asked:
        found = {name for name in sequences if one == name or name.startswith(f"{one}/")}
        if not found:
            raise InputError(f"{who}: config.{key}: needs {key} of {', '.join(list(sequences)[:6])}, .., got {one}")
        out |= found
    if not out:
        raise InputError(f"{who}: config.{key}: needs {key} of {', '.join(list(sequences)[:6])}, .., got an empty list")
    return {name: shots for name, shots in sequences.items() if name in out}


def tailed(folder: Path, *tails: str) -> dict[str, Path]:
    """Name without its tail -> file, for the files that end so; of two for one name that of the first tail."""
    found: dict[str, Path] = {}
    for tail in tails:
        for path in folders.files(folder, f"*{tail}"):
            found.setdefault(path.name.removesuffix(tail), path)
    return found


def paired(pictures: dict[str, Path], labels: dict[str, Path], cameras: dict[str, Path] | None = None) -> list[Shot]:
    """The shots of a folder, by name."""
    return [
        Shot(name, pictures.get(name), (labels[name],) if name in labels else (), (cameras or {}).get(name))
        for name in sorted({*pictures, *labels})
    ]
