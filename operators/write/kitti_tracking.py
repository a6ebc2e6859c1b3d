"""Tracks as KITTI tracking results: one text file per sequence, DIR/<node>/SSSS.txt, a line per track and frame.

in   tracks       TRACKS
     boxes2d      BOXES2D      optional: the same tracks in the picture, row by row; NaN or not connected: projected here
     history      HISTORY      optional: replaces all lines of its sequence from frame `first` (in its meta) on
     calibration  CALIBRATION  static, of the camera of the results
Columns: frame, track id, then as in kitti.py: 18 with the score. Sequence and frame number come from the item
("0000/000134"); items without a sequence go to 0000.txt, a frame whose name is no number gets its counter.
State: none but the files.   Empty frame: no lines; the file of its sequence is created all the same.
A frame's lines are on disk when process() returns. After a crash, what a frame that does not count has written is taken back
(undo.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from operators.files import failed, frame_number
from operators.streams import BOXES2D, CALIBRATION, HISTORY, TRACKS, Boxes2D, Calibration, History, Tracks
from operators.write import kitti
from operators.write.folder import Folder, Write
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
        self.folder = Folder(self.name, self.out_dir, self.resume)

    def process(
        self, tracks: Tracks, calibration: Calibration, boxes2d: Boxes2D | None = None, history: History | None = None
    ) -> None:
        name = f"{self.folder.sequence(self.header)}.txt"
        if history is not None:
            before = self._lines_before(name, self.meta["history"]["first"])
            text = self._lines(history.frames.tolist(), Tracks(*history[1:5]), history.boxes2d, calibration)
            self.folder.write(self.header, [Write(name, before + text.encode(), "replace")])
            return
        frames = [frame_number(self.header.item, self.header.frame_id)] * len(tracks.labels)
        text = self._lines(frames, tracks, None if boxes2d is None else boxes2d.boxes2d, calibration)
        self.folder.write(self.header, [Write(name, text.encode(), "append")])

    def _lines(self, frames: Sequence[int], tracks: Tracks, known2d: np.ndarray | None, calibration: Calibration) -> str:
        rows, lines = kitti.lines(*tracks[:3], calibration, self.config.only_visible, known2d)
        heads = zip((frames[row] for row in rows), tracks.track_ids[rows].tolist(), lines, strict=True)
        return "".join(f"{frame} {track_id} {line}\n" for frame, track_id, line in heads)

    def _lines_before(self, name: str, frame: int) -> bytes:
        """The lines of the frames before this one."""
        path = self.folder.at(name, self.header)
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise failed(self.name, path, error, f"frame {self.header} ({self.header.item})") from error
        return b"".join(line for line in lines if int(line.split(maxsplit=1)[0]) < frame)

    def close(self) -> None:
        self.folder.close()
