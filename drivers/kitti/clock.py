"""The sequences in a folder of the tracking layout, and the stamp of each frame.

KITTI tracking has no time stamps, so stamps follow from frame numbers: sequences follow each other, sorted by name, one
second apart. `kitti.tracking` and `detections` share this file: the same folder and settings give the same stamps,
whichever frames each of the two drivers plays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.kitti.detection_files import last_frame
from drivers.kitti.files import check_rate, check_stamp, numbered
from drivers.pictures import SUFFIXES
from operators import folders, textfile
from pipeline.errors import InputError

_GAP_NS = 1_000_000_000
_PICTURES = tuple(f"image_{camera:02d}" for camera in range(4))


@dataclass(frozen=True, slots=True)
class Clock:
    """Sequence -> stamp of its frame 0, in playing order."""

    rate_hz: float
    start_ns: dict[str, int]

    def stamp_ns(self, sequence: str, frame: int) -> int:
        return self.start_ns[sequence] + round(frame * 1e9 / self.rate_hz)


def make_clock(who: str, root: Path, sequences: Any, rate_hz: float) -> Clock:
    """The clock of the sequences in `config.sequences`: "all", one name or number, or a list of them."""
    check_rate(who, rate_hz)
    start_ns, now = {}, 0
    for name in _chosen(who, root, sequences):
        start_ns[name] = now
        num, path = length(root, name)
        check_stamp(path, num - 1, rate_hz, now)
        now += round(num * 1e9 / rate_hz) + _GAP_NS
    return Clock(rate_hz, start_ns)


def _chosen(who: str, root: Path, sequences: Any) -> list[str]:
    there = recorded(root)
    if sequences == "all":
        return there
    asked = sequences if isinstance(sequences, (list, tuple)) else [sequences]
    names = sorted({str(name).zfill(4) if str(name).isdecimal() else str(name) for name in asked})
    missing = [name for name in names if name not in there]
    if missing or not names:
        text = ", ".join(there) if there else "none"
        raise InputError(
            f"{who}: config.sequences: needs sequences of {root} ({text}), got {', '.join(missing) or 'an empty list'}"
        )
    return names


def recorded(root: Path) -> list[str]:
    """Names of all sequences that have scans, images, oxts or detections, sorted."""
    found = {p.name for kind in ("velodyne", *_PICTURES) for p in folders.folders(root / kind)}
    places = (root / "oxts", *_detections(root))
    return sorted(found | {p.stem for place in places for p in folders.files(place, "*.txt")})


def length(root: Path, sequence: str) -> tuple[int, Path]:
    """Length of a sequence, and the file that says it: the lines of its oxts file, or the last frame with any data plus 1,
    whichever is greater."""
    oxts = root / "oxts" / f"{sequence}.txt"
    found = [(textfile.count_lines(oxts), oxts)] if folders.is_file(oxts) else []
    for files in (
        numbered(root / "velodyne" / sequence, ".bin"),
        *(numbered(root / kind / sequence, *SUFFIXES) for kind in _PICTURES),
    ):
        found += [(frame + 1, path) for frame, path in list(files.items())[-1:]]
    for path in (place / f"{sequence}.txt" for place in _detections(root)):
        if folders.is_file(path):
            found.append((last_frame(path) + 1, path))
    return max(found, default=(0, root))


def _detections(root: Path) -> list[Path]:
    """The folders of all detectors, 3D and 2D."""
    of_2d = [inner for outer in folders.folders(root, "detections_2d_*") for inner in folders.folders(outer)]
    return [*folders.folders(root / "detections"), *of_2d]
