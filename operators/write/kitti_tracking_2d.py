"""2D tracks as KITTI tracking results: one text file per sequence, DIR/<node>/SSSS.txt, a line per track and frame.

in  tracks2d  TRACKS2D
Classes have KITTI's names, or the detector's own ones (fact class_names) with "_" for a space.
Columns: those of write.kitti_tracking, with KITTI's numbers for unknown values: alpha -10, h w l -1, x y z -1000, ry -10.
Sequence and frame number come from the item ("0000/000134"); items without a sequence go to 0000.txt, a frame whose name is no
number gets its counter.
State: none but the files.   Empty frame: no lines; the file of its sequence is created all the same.
A frame's lines are on disk when process() returns. After a crash, the lines of a frame that does not count are removed.
"""

from __future__ import annotations

from operators.files import exact_decimals, frame_number
from operators.streams import TRACKS2D, Tracks2D, names_of
from operators.write.folder import Folder, Write
from pipeline.operator import Operator

_LINE = "%d %d %s -1 -1 -10 %.6f %.6f %.6f %.6f -1 -1 -1 -1000 -1000 -1000 -10 %.6f\n"


class KittiTracking2d(Operator):
    inputs = {"tracks2d": TRACKS2D}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)

    def process(self, tracks2d: Tracks2D) -> None:
        number = frame_number(self.header.item, self.header.frame_id)
        boxes2d, scores = exact_decimals(tracks2d.boxes2d).tolist(), exact_decimals(tracks2d.scores).tolist()
        rows = zip(tracks2d.track_ids.tolist(), tracks2d.labels.tolist(), boxes2d, scores, strict=True)
        names = [name.replace(" ", "_") for name in names_of(self.meta.get("tracks2d", {}))]
        text = "".join(_LINE % (number, i, names[label], *box, score) for i, label, box, score in rows)
        self.folder.write(self.header, [Write(f"{self.folder.sequence(self.header)}.txt", text.encode(), "append")])

    def close(self) -> None:
        self.folder.close()
