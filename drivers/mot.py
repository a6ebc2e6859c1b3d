"""MOTChallenge folders: public detections, and images if present.

out  boxes2d  detections of the frame, pixels as in the file, x2 = x + w, y2 = y + h; scores as in the file, or 1 if all scores
              of the file are -1 (the file has no scores)
     image    (H, W, 3) uint8 RGB; needs img1/

ROOT/SEQ/det/det.txt or ROOT/SEQ/det.txt (or `file` in ROOT/SEQ/), one line per box: frame, id, x, y, w, h, score, ...; comma or
blank between, frames from 1, the id is ignored. Lines may have any order of frames; boxes without extent are left out. The number
of frames comes from SEQ/seqinfo.ini, else from the images in img1/, else from the last line; a frame without detections is sent
as M = 0. Items are SEQ/000001 and on. Sequences follow each other by name, one second apart, each at the rate of its seqinfo.ini
unless the config sets a rate.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers import boxes2d
from drivers.kitti.detection_files import Detected, last_frame, left_out, with_extent
from drivers.kitti.files import check_rate, check_stamp, numbered, root_folder, wrong_root
from drivers.pictures import check_pictures, read_rgb
from drivers.recorded import Listing, Numbered, Recorded
from operators import folders, textfile
from operators.seqinfo import read_seqinfo
from operators.streams import BOXES2D, CLASSES, IMAGE, Boxes2D
from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.operator import Source

_WHO = "mot"
_FILES = ("det/det.txt", "det.txt")
_NEEDS = "SEQ/det/det.txt or SEQ/det.txt"
_COLUMNS = "frame id x y w h score"
_GAP_NS = 1_000_000_000
_DEFAULT_HZ = 30.0


@dataclass(frozen=True, slots=True)
class MotConfig:
    root: str = ""  # folder with one folder per sequence
    file: str = ""  # detections in the folder of a sequence; "" = det/det.txt or det.txt
    sequences: str | list[str] = "all"  # "all", "MOT17-02", or a list
    class_name: str = "Pedestrian"  # of all boxes: the files have no classes
    rate_hz: float | None = None  # None: from seqinfo.ini, else 30

    def __post_init__(self) -> None:
        if self.class_name not in CLASSES:
            raise ValueError(f"class_name: needs one of {', '.join(CLASSES)}, got {self.class_name}")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence. frames: numbers, from 1; start_ns: stamp of number 1."""

    name: str
    path: Path
    frames: range
    rate_hz: float
    start_ns: int
    pictures: dict[int, Path]

    def stamp_ns(self, frame: int) -> int:
        return self.start_ns + round((frame - 1) * 1e9 / self.rate_hz)


class Mot(Recorded, Source):
    Config, outputs = MotConfig, {"boxes2d": BOXES2D, "image": IMAGE}
    parts_key = "sequences"

    _boxes: dict[int, Boxes2D]

    @classmethod
    def list_items(cls, config: MotConfig) -> Listing:
        sequences = survey(config)
        return Listing(sequences, Numbered(sequences), sequences[0].rate_hz)

    @classmethod
    def check(cls, config: MotConfig, listing: Listing) -> None:
        for sequence in listing.parts:
            read(sequence)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        without = next((s for s in self.listing.parts if not s.pictures), None)
        if "image" not in ports or without is None:
            return {}
        return {"image": f"there is no {folders.at(self.config.root) / without.name / 'img1'}/*.jpg"}

    def check_wanted(self) -> None:
        if "image" in self.wanted:
            for s in self.listing.parts:
                check_pictures(s.pictures.values())

    def enter(self, sequence: Sequence) -> None:
        found = read(sequence)
        self._boxes = by_frame(found.values, self.config.class_name)
        self.say(left_out([found]))

    def load(self, sequence: Sequence, frame: int, reading: Reading) -> None:
        boxes = self._boxes.get(frame, boxes2d.NONE)
        if "boxes2d" in self.wanted:
            sent = Boxes2D(*(self.put("boxes2d", name, array) for name, array in boxes._asdict().items()))
            reading.values["boxes2d"] = sent
        if "image" in self.wanted and frame in sequence.pictures:
            path = sequence.pictures[frame]
            reading.values["image"] = read_rgb(path, lambda shape: self.alloc("image", "image", shape, "uint8"))


def survey(config: MotConfig) -> list[Sequence]:
    """The sequences and frames; only frame numbers are read from the detections."""
    root = root_folder(_WHO, config.root, _NEEDS)
    if config.rate_hz is not None:
        check_rate(_WHO, config.rate_hz)
    files = {p.name: path for p in folders.folders(root) if (path := _file(p, config.file)) is not None}
    if not files:
        raise wrong_root(_WHO, root, f"SEQ/{config.file}" if config.file else _NEEDS)
    asked = [config.sequences] if isinstance(config.sequences, str) else config.sequences
    names = list(files) if config.sequences == "all" else sorted(set(asked))
    missing = [name for name in names if name not in files]
    if missing or not names:
        got = ", ".join(missing) or "an empty list"
        raise InputError(f"{_WHO}: config.sequences: needs sequences of {root} ({', '.join(files)}), got {got}")
    out, now = [], 0
    for name in names:
        pictures = numbered(root / name / "img1", ".jpg", ".jpeg", ".png")
        length, rate_hz = read_seqinfo(root / name / "seqinfo.ini")
        if not length:
            length = max(pictures, default=0) or max(last_frame(files[name]), 0)
            textfile.check_last(pictures.get(length, files[name]), length)
        rate_hz = config.rate_hz or rate_hz or _DEFAULT_HZ
        check_stamp(files[name], length, rate_hz, now)
        out.append(Sequence(name, files[name], range(1, length + 1), rate_hz, now, pictures))
        now = out[-1].stamp_ns(length + 1) + _GAP_NS
    return out


def _file(folder: Path, name: str) -> Path | None:
    return next((path for file in ([name] if name else _FILES) if folders.is_file(path := folder / file)), None)


def read(sequence: Sequence) -> Detected:
    """(D, 7): the columns of _COLUMNS. Raises InputError naming file and line."""
    table = textfile.read_table(sequence.path, 7, 7, comma=True, names=_COLUMNS)
    textfile.check_finite(table, slice(0, 7), "numbers")
    late = textfile.frames(table, first=1) > len(sequence.frames)
    if late.any():
        row = int(np.argmax(late))
        needs = f"a frame 1..{len(sequence.frames)} (so long is the sequence)"
        table.refuse(row, needs, f"frame {table.values[row, 0]:.0f}")
    return with_extent(table, table.values[:, 4:6])


def by_frame(rows: np.ndarray, class_name: str) -> dict[int, Boxes2D]:
    scores = rows[:, 6] if (rows[:, 6] != -1).any() else np.ones(len(rows))
    boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], 1)
    labels = np.full(len(rows), CLASSES.index(class_name))
    return boxes2d.by_frame(rows[:, 0], boxes, scores, labels)
