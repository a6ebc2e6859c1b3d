"""2D tracks as MOTChallenge results: one text file per sequence, DIR/<node>/SEQ.txt, a line per track and frame.

in  tracks2d  TRACKS2D
Columns: frame, track id, x, y, w, h, score, -1, -1, -1; comma-separated, frames from 1. Sequence and frame number come from the
item ("TUD-Campus/000001"); items without a sequence go to 0000.txt, a frame whose name is no number gets its counter.
`frame_offset` is added: 1 for sources that count from 0.
State: none but the files.   Empty frame: no lines; the file of its sequence is created all the same.
A frame's lines are on disk when process() returns. After a crash, the lines of a frame that does not count are removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.files import exact_decimals, frame_number
from operators.streams import TRACKS2D, Tracks2D
from operators.write.folder import Folder, Write
from pipeline.errors import FrameError
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class MotConfig:
    frame_offset: int = 0


class Mot(Operator):
    Config, inputs = MotConfig, {"tracks2d": TRACKS2D}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)

    def process(self, tracks2d: Tracks2D) -> None:
        number = frame_number(self.header.item, self.header.frame_id) + self.config.frame_offset
        if number < 1:
            raise FrameError(
                f"{self.name} at {self.header}: needs frames counted from 1, as MOTChallenge does, got {self.header.item!r}; "
                "set config.frame_offset: 1"
            )
        boxes2d, scores = exact_decimals(tracks2d.boxes2d), exact_decimals(tracks2d.scores)
        lines = [
            f"{number},{track_id},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},{score:.6g},-1,-1,-1\n"
            for track_id, (x1, y1, x2, y2), score in zip(
                tracks2d.track_ids.tolist(), boxes2d.tolist(), scores.tolist(), strict=True
            )
        ]
        name = f"{self.folder.sequence(self.header)}.txt"
        self.folder.write(self.header, [Write(name, "".join(lines).encode(), "append")])

    def close(self) -> None:
        self.folder.close()
