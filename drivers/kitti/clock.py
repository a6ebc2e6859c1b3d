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
from drivers.kitti.files import check_rate, numbered
from drivers.kitti.oxts import count_lines
from drivers.pictures import SUFFIXES
from pipeline.errors import InputError

_GAP_NS = 1_000_000_000


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
        now += round(num_frames(root, name) * 1e9 / rate_hz) + _GAP_NS
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
    folders = [p for kind in ("velodyne", *(f"image_{c:02d}" for c in range(4))) for p in (root / kind).glob("*") if p.is_dir()]
    files = [*(root / "oxts").glob("*.txt"), *(root / "detections").glob("*/*.txt"), *root.glob("detections_2d_*/*/*.txt")]
    return sorted({p.name for p in folders} | {p.stem for p in files})


def num_frames(root: Path, sequence: str) -> int:
    """Length of a sequence: the lines of its oxts file, or the last frame with any data plus 1, whichever is greater."""
    oxts = root / "oxts" / f"{sequence}.txt"
    frames = [count_lines(oxts) - 1] if oxts.exists() else []
    frames += numbered(root / "velodyne" / sequence, ".bin")
    for camera in range(4):
        frames += numbered(root / f"image_{camera:02d}" / sequence, *SUFFIXES)
    for path in (*(root / "detections").glob(f"*/{sequence}.txt"), *root.glob(f"detections_2d_*/*/{sequence}.txt")):
        frames.append(last_frame(path))
    return max(frames, default=-1) + 1
