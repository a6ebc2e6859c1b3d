"""KITTI layouts written by hand, with made-up numbers."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import InputError

# x_cam = -y_velo, y_cam = -z_velo, z_cam = x_velo, then shifted; numbers that are easy to check by hand
CALIB = {
    "P0": "700 0 600 0 0 700 180 0 0 0 1 0",
    "P1": "700 0 600 -350 0 700 180 0 0 0 1 0",
    "P2": "700 0 600 35 0 700 180 0 0 0 1 0",
    "P3": "700 0 600 -315 0 700 180 0 0 0 1 0",
    "R0_rect": "1 0 0 0 1 0 0 0 1",
    "Tr_velo_to_cam": "0 -1 0 0 0 0 -1 0 1 0 0 0",
    "Tr_imu_to_velo": "1 0 0 -1 0 1 0 0 0 0 1 0",
}
OXTS_TAIL = " ".join(["0"] * 24)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(cls, config, wanted=None) -> str:
    """What `pipe check` says of a source with these ports connected; None: all."""
    with pytest.raises(InputError) as e:
        checked(cls, config, wanted)
    return str(e.value)


def checked(cls, config, wanted=None):
    """What it will read, after all checks before a run, with these ports connected; None: all."""
    found = cls.find(config)
    cls.check_ports("src", config, frozenset(cls.outputs if wanted is None else wanted), frozenset())
    return found


class Kitti:
    """Writes one file at a time below `root`, in the tracking layout unless the path says otherwise."""

    CALIB = CALIB
    write = staticmethod(write)

    def __init__(self, root: Path) -> None:
        self.root = root

    def calib(self, where: str = "calib/0000.txt", **changed: str | None) -> Path:
        """`changed`: key -> other numbers, or None to leave the line out."""
        lines = {**CALIB, **changed}
        return write(self.root / where, "".join(f"{key}: {text}\n" for key, text in lines.items() if text is not None))

    def scan(self, where: str, points) -> Path:
        return write(self.root / where, np.asarray(points, np.float32).reshape(-1, 4).tobytes())

    def picture(self, where: str, rgb=(10, 20, 30), size=(8, 6)) -> Path:
        image = np.full((size[1], size[0], 3), rgb[::-1], np.uint8)
        return write(self.root / where, cv2.imencode(Path(where).suffix.lower(), image)[1].tobytes())

    def oxts(self, num_lines: int, where: str = "oxts/0000.txt") -> Path:
        return write(self.root / where, "".join(f"0 {k * 1e-5:.6f} 0 0 0 0 {OXTS_TAIL}\n" for k in range(num_lines)))
