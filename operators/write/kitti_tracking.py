"""Tracks as KITTI tracking results: one text file per sequence, DIR/<node>/SSSS.txt, a line per track and frame.

in   tracks       TRACKS
     boxes2d      BOXES2D      optional: the same tracks in the picture, row by row; NaN or not connected: projected here
     history      HISTORY      optional: replaces all lines of its sequence from frame `first` (in its meta) on
     calibration  CALIBRATION  static, of the camera of the results
Columns: frame, track id, then as in kitti.py: 18 with the score. Sequence and frame number come from the item
("0000/000134"); items without a sequence go to 0000.txt, a frame whose name is no number gets its counter.
State: none but the files.   Empty frame: no lines; the file of its sequence is created all the same.
A frame's lines are on disk when process() returns. After a crash, incomplete lines and lines of frames later than the last
delivered one are removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from operators import files
from operators.streams import BOXES2D, CALIBRATION, HISTORY, TRACKS, Boxes2D, Calibration, History, Tracks
from operators.write import kitti
from pipeline.operator import Operator
from pipeline.schema import optional, static


@dataclass(frozen=True, slots=True)
class KittiTrackingConfig:
    only_visible: bool = True  # KITTI's truth ends at the picture's edge; false: also tracks outside, with 2D box 0


class KittiTracking(Operator):
    Config = KittiTrackingConfig
    inputs = {
        "tracks": TRACKS,
        "boxes2d": optional(BOXES2D),
        "history": optional(HISTORY),
        "calibration": static(CALIBRATION),
    }

    def open(self) -> None:
        self.journal = kitti.Journal(self.out_dir, self.resume)
        if self.resume is None:
            return
        for sequence in self.journal.undelivered:
            self._path(sequence).unlink(missing_ok=True)
        path = self._path(self.resume.item.rpartition("/")[0])
        if path.exists():
            forget_after(path, files.frame_number(self.resume.item, self.resume.frame_id))

    def process(
        self, tracks: Tracks, calibration: Calibration, boxes2d: Boxes2D | None = None, history: History | None = None
    ) -> None:
        path = self._path(self.header.sequence)
        try:
            if self.journal.enter(self.header.sequence):
                path.touch()
            if history is not None:
                frames = history.frames
                text = self._lines(frames, Tracks(*history[1:5]), history.boxes2d, calibration)
                before = self.meta["history"]["first"] - 1
                files.replace(path, b"".join(lines_up_to(path, before)) + text.encode())
                return
            number = files.frame_number(self.header.item, self.header.frame_id)
            frames = np.full(len(tracks.labels), number)
            text = self._lines(frames, tracks, None if boxes2d is None else boxes2d.boxes2d, calibration)
            if text:
                files.append(path, text.encode())
        except OSError as error:
            raise files.failed(self.name, path, error, f"frame {self.header} ({self.header.item})") from error

    def _lines(self, frames: np.ndarray, tracks: Tracks, known2d: np.ndarray | None, calibration: Calibration) -> str:
        rows, lines = kitti.lines(*tracks[:3], calibration, self.config.only_visible, known2d)
        heads = zip(frames[rows].tolist(), tracks.track_ids[rows].tolist(), lines, strict=True)
        return "".join(f"{frame} {track_id} {line}\n" for frame, track_id, line in heads)

    def close(self) -> None:
        self.journal.close()

    def _path(self, sequence: str) -> Path:
        return self.out_dir / f"{sequence.replace('/', '_') or '0000'}.txt"


def forget_after(path: Path, frame: int) -> None:
    files.replace(path, b"".join(lines_up_to(path, frame)))


def lines_up_to(path: Path, frame: int) -> list[bytes]:
    """The complete lines of frames up to and including this one."""
    complete = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [line for line in complete if int(line.split(maxsplit=1)[0]) <= frame]
