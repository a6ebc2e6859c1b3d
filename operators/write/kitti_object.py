"""3D detections as KITTI object results: one text file per frame, DIR/<node>/NNNNNN.txt, a line per box.

in   boxes3d      BOXES3D
     calibration  CALIBRATION  static, of the camera of the results
Columns: see kitti.py, 16 with the score. The item names the file: "0000/000134" -> DIR/<node>/0000/000134.txt.
State: none but the files.   Empty frame: an empty file.
Every file is written whole or not at all. After a crash, files of frames later than the last delivered one are removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from operators import files
from operators.streams import BOXES3D, CALIBRATION, Boxes3D, Calibration
from operators.write import kitti
from pipeline.operator import Operator
from pipeline.schema import static


@dataclass(frozen=True, slots=True)
class KittiObjectConfig:
    only_visible: bool = True  # KITTI's truth ends at the picture's edge; false: also boxes outside, with 2D box 0


class KittiObject(Operator):
    Config, inputs = KittiObjectConfig, {"boxes3d": BOXES3D, "calibration": static(CALIBRATION)}

    def open(self) -> None:
        self.journal = kitti.Journal(self.out_dir, self.resume)
        if self.resume is not None:
            for sequence in self.journal.undelivered:
                forget_after(self.out_dir / sequence, -1)
            sequence, _, name = self.resume.item.rpartition("/")
            if name.isdecimal():
                forget_after(self.out_dir / sequence, int(name))

    def process(self, boxes3d: Boxes3D, calibration: Calibration) -> None:
        _, lines = kitti.lines(*boxes3d, calibration, self.config.only_visible)
        path = self.out_dir / f"{self.header.item}.txt"
        try:
            if self.journal.enter(self.header.sequence):
                path.parent.mkdir(parents=True, exist_ok=True)
            files.replace(path, "".join(f"{line}\n" for line in lines).encode())
        except OSError as error:
            raise files.failed(self.name, path, error, f"frame {self.header} ({self.header.item})") from error

    def close(self) -> None:
        self.journal.close()


def forget_after(folder: Path, frame: int) -> None:
    """Remove the files of later frames, and files half written at a kill."""
    for path in folder.glob(".*.part"):
        path.unlink()
    for path in folder.glob("*.txt"):
        if path.stem.isdecimal() and int(path.stem) > frame:
            path.unlink()
