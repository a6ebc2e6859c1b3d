"""2D detections of KITTI tracking sequences, with labels and calibration if present.

out  boxes2d      boxes of all classes of the frame in one value, pixels as the detector wrote them, in the order of classes and
                  lines; scores in the detector's own unit
     truth        labels of the frame; needs label_02/
     calibration  static, one per sequence, of camera 2; needs calib/

Files: drivers/kitti/detection_files_2d.py. Lines may have any order of frames. A frame without detections is sent as M = 0.
Stamps equal those of `kitti.tracking` and `detections` for the same root and sequences, so a graph can join all three.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers import boxes2d
from drivers.kitti.clock import make_clock
from drivers.kitti.detection_files import Detected, last_frame, left_out
from drivers.kitti.detection_files_2d import BOX2D, FRAME, SCORE, WIDTH, read_detections_2d
from drivers.kitti.files import root_folder, wrong_root
from drivers.kitti.labels import empty_truth
from drivers.kitti.sequence import Sequence, lacking, listing
from drivers.recorded import Listing, Recorded
from operators import folders, textfile
from operators.streams import BOXES2D, CALIBRATION, CLASSES, TRUTH, Boxes2D, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "detections_2d"
_NEEDS = "detections_2d_<detector>/<Class>/SSSS.txt"
_CAMERA = 2
_START = "detections_2d_"


@dataclass(frozen=True, slots=True)
class Detections2dConfig:
    root: str = ""  # folder with detections_2d_<detector>/, and optionally calib/, oxts/, label_02/
    detector: str = ""  # "" = the only one
    sequences: str | int | list[str | int] = "all"  # "all", "0002", or a list
    rate_hz: float = 10.0
    min_score: float | None = None  # in the detector's own unit; lower ones are dropped


class Detections2d(Recorded, Source):
    Config = Detections2dConfig
    outputs = {"boxes2d": BOXES2D, "truth": TRUTH, "calibration": static(CALIBRATION)}
    parts_key = "sequences"

    _boxes: dict[int, Boxes2D]
    _truth: dict[int, Truth] | None

    @classmethod
    def list_items(cls, config: Detections2dConfig) -> Listing:
        return listing(survey(config))

    @classmethod
    def check(cls, config: Detections2dConfig, listing: Listing) -> None:
        for sequence in listing.parts:
            read(config, sequence)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        return lacking(self.listing.parts, ports)

    def check_wanted(self) -> None:
        for sequence in self.listing.parts:
            sequence.check(self.wanted)
        list(self.statics())

    def statics(self) -> Iterable[Static]:
        for sequence in self.listing.parts if "calibration" in self.wanted else ():
            calibration = sequence.calibration()
            if calibration is not None:
                yield Static("calibration", calibration.stream(_CAMERA), sequence.stamp_ns(0))

    def enter(self, sequence: Sequence) -> None:
        self._boxes, files = read(self.config, sequence)
        self.say(left_out(files))
        self._truth = sequence.truth() if "truth" in self.wanted else None

    def load(self, sequence: Sequence, frame: int, reading: Reading) -> None:
        boxes = self._boxes.get(frame, boxes2d.NONE)
        reading.values["boxes2d"] = Boxes2D(*(self.put("boxes2d", name, array) for name, array in boxes._asdict().items()))
        if self._truth is not None:
            reading.values["truth"] = self._truth.get(frame, empty_truth())


def survey(config: Detections2dConfig) -> list[Sequence]:
    """The sequences and frames, found from file names and line counts only."""
    root = root_folder(_WHO, config.root, _NEEDS)
    detectors = [p.name.removeprefix(_START) for p in folders.folders(root, f"{_START}*")]
    if not detectors:
        raise wrong_root(_WHO, root, _NEEDS)
    if (config.detector and config.detector not in detectors) or (not config.detector and len(detectors) > 1):
        raise InputError(f"{_WHO}: config.detector: needs one of {', '.join(detectors)}, got {config.detector or 'nothing'}")
    clock = make_clock(_WHO, root, config.sequences, config.rate_hz)
    sequences = []
    for name in clock.start_ns:
        frames = _num_frames(config, root, name)
        if frames is not None:
            sequences.append(Sequence(root, name, range(frames), clock.start_ns[name], clock.rate_hz))
        elif config.sequences != "all":
            raise InputError(f"{_WHO}: config.sequences: {name} needs a detections or oxts file, got none")
    if not sequences:
        raise wrong_root(_WHO, root, _NEEDS)
    return sequences


def _num_frames(config: Detections2dConfig, root: Path, name: str) -> int | None:
    """None if the sequence is not played."""
    oxts = root / "oxts" / f"{name}.txt"
    if folders.is_file(oxts):
        return textfile.count_lines(oxts)
    files = [path for folder in _folders(config, root) if folders.is_file(path := folder / f"{name}.txt")]
    for path in files:
        textfile.check_last(path, last_frame(path))
    return max(map(last_frame, files)) + 1 if files else None


def _folders(config: Detections2dConfig, root: Path) -> list[Path]:
    """The detector's folders by class, in the order of CLASSES. Raises InputError for a folder that is not named for a class."""
    chosen = root / f"{_START}{config.detector}" if config.detector else folders.folders(root, f"{_START}*")[0]
    found = folders.folders(chosen)
    for path in found:
        if path.name not in CLASSES:
            raise InputError(f"{path}: needs the name of a class ({', '.join(CLASSES)}), got {path.name}")
    return sorted(found, key=lambda p: CLASSES.index(p.name))


def read(config: Detections2dConfig, sequence: Sequence) -> tuple[dict[int, Boxes2D], list[Detected]]:
    """Frame number -> boxes of that frame; and the files. Raises InputError naming file and line."""
    tables, labels, files = [np.empty((0, WIDTH))], [np.empty(0, np.int32)], []
    for folder in _folders(config, sequence.root):
        path = folder / f"{sequence.name}.txt"
        if not folders.is_file(path):
            continue
        files.append(read_detections_2d(path))
        rows, lines = files[-1].values, files[-1].lines
        late = rows[:, FRAME] >= len(sequence.frames)
        if late.any():
            row = int(np.argmax(late))
            textfile.refuse(path, int(lines[row]), sequence.needs_frame(), f"frame {rows[row, FRAME]:.0f}")
        tables.append(rows)
        labels.append(np.full(len(rows), CLASSES.index(folder.name), np.int32))
    table, label = np.concatenate(tables), np.concatenate(labels)
    if config.min_score is not None:
        kept = table[:, SCORE] >= config.min_score
        table, label = table[kept], label[kept]
    return boxes2d.by_frame(table[:, FRAME], table[:, BOX2D], table[:, SCORE], label), files
