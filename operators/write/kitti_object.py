"""3D detections as KITTI object results: one text file per frame, DIR/<node>/NNNNNN.txt, a line per box.

in   boxes3d      BOXES3D
     calibration  CALIBRATION  static, of the camera of the results
Columns: see kitti.py, 16 with the score. The item names the file: "0000/000134" -> DIR/<node>/0000/000134.txt.
State: none but the files.   Empty frame: an empty file.
Every file is written whole or not at all. After a crash, the file of a frame that does not count is removed (undo.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.streams import BOXES3D, CALIBRATION, Boxes3D, Calibration
from operators.write import kitti
from operators.write.folder import Folder, Write
from pipeline.operator import Operator
from pipeline.schema import static


@dataclass(frozen=True, slots=True)
class KittiObjectConfig:
    only_visible: bool = True  # KITTI's truth ends at the picture's edge; false: also boxes outside, with 2D box 0


class KittiObject(Operator):
    Config, inputs = KittiObjectConfig, {"boxes3d": BOXES3D, "calibration": static(CALIBRATION)}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)

    def process(self, boxes3d: Boxes3D, calibration: Calibration) -> None:
        _, lines = kitti.lines(*boxes3d, calibration, self.config.only_visible)
        text = "".join(f"{line}\n" for line in lines)
        # The empty item has the name ".txt", which is none.
        self.folder.write(self.header, [Write(f"{self.header.item}.txt", text.encode(), "new")])

    def close(self) -> None:
        self.folder.close()
