"""KITTI calibration, three layouts of the same numbers.

tracking  calib/SSSS.txt    P0: .. P3:, R_rect, Tr_velo_cam, Tr_imu_velo (some without colon; some copies use the object names)
object    calib/NNNNNN.txt  P0: .. P3:, R0_rect:, Tr_velo_to_cam:, Tr_imu_to_velo:
raw       DATE/             calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt

KITTI writes "A_to_B" for the transform p_B = T p_A: T_B_A in our order of letters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drivers.kitti.files import read_lines
from operators.streams import Calibration
from pipeline.errors import InputError

# The tracking and object layouts do not store the size of the rectified pictures; each of KITTI's four recording days
# has its own focal length, which tells it.
_SIZE_OF_FX = {721.5377: (1242, 375), 707.0493: (1224, 370), 718.3351: (1238, 374), 718.8560: (1241, 376)}
_DEFAULT_SIZE = (1242, 375)


@dataclass(frozen=True, eq=False)
class KittiCalibration:
    """One rig.

    path         where it was read, for messages
    P            camera 0..3 -> (3, 4): rectified camera 0 -> pixels of that camera
    R_rect       (4, 4) rotation: camera 0 -> rectified camera 0
    T_cam0_velo  (4, 4) velodyne -> camera 0, not rectified
    T_velo_imu   (4, 4) imu -> velodyne, None where the raw layout has no calib_imu_to_velo.txt
    sizes        camera -> (width, height) where the file says it (raw only)
    """

    path: Path
    P: dict[int, np.ndarray]
    R_rect: np.ndarray
    T_cam0_velo: np.ndarray
    T_velo_imu: np.ndarray | None
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def T_cam_velo(self) -> np.ndarray:
        """(4, 4) velodyne -> rectified camera 0, the frame of all labels and detections."""
        return self.R_rect @ self.T_cam0_velo

    def image_size(self, camera: int, on_disk: tuple[int, int] | None = None) -> tuple[int, int]:
        """(width, height): as the file says, else as a picture on disk is, else by the focal length of camera 2."""
        if camera in self.sizes:
            return self.sizes[camera]
        if on_disk is not None:
            return on_disk
        fx = self.P[2][0, 0]
        return next((size for known, size in _SIZE_OF_FX.items() if abs(fx - known) < 1e-3), _DEFAULT_SIZE)

    def stream(self, camera: int, on_disk: tuple[int, int] | None = None) -> Calibration:
        """The value of a CALIBRATION port for one of the cameras."""
        return Calibration(self.P[camera], self.T_cam_velo, np.array(self.image_size(camera, on_disk), np.int32))


def read_calibration(path: Path) -> KittiCalibration:
    """A file of the tracking or object layout. Every line is needed: a guessed one would put boxes somewhere else."""
    lines = _Lines(path)
    return KittiCalibration(
        path=path,
        P={camera: lines.take((f"P{camera}",), (3, 4)) for camera in range(4)},
        R_rect=_rigid(lines.take(("R_rect", "R0_rect"), (3, 3))),
        T_cam0_velo=_rigid(lines.take(("Tr_velo_cam", "Tr_velo_to_cam"), (3, 4))),
        T_velo_imu=_rigid(lines.take(("Tr_imu_velo", "Tr_imu_to_velo"), (3, 4))),
    )


def read_raw_calibration(folder: Path) -> KittiCalibration:
    """The three files of a recording day."""
    cameras, velo, imu = (_Lines(folder / f"calib_{name}.txt") for name in ("cam_to_cam", "velo_to_cam", "imu_to_velo"))
    sizes = {}
    for camera in range(4):
        if cameras.has(f"S_rect_{camera:02d}"):
            width, height = cameras.take((f"S_rect_{camera:02d}",), (2,))
            sizes[camera] = (int(width), int(height))
    return KittiCalibration(
        path=cameras.path,
        P={camera: cameras.take((f"P_rect_{camera:02d}",), (3, 4)) for camera in range(4)},
        R_rect=_rigid(cameras.take(("R_rect_00",), (3, 3))),
        T_cam0_velo=_rigid(velo.take(("R",), (3, 3)), velo.take(("T",), (3,))),
        T_velo_imu=_rigid(imu.take(("R",), (3, 3)), imu.take(("T",), (3,))) if imu.path.exists() else None,
        sizes=sizes,
    )


def find_calibration(folders: list[Path]) -> KittiCalibration | None:
    """The first calibration in any of the layouts, None where no folder has one."""
    for folder in folders:
        if (folder / "calib_cam_to_cam.txt").exists():
            return read_raw_calibration(folder)
        for path in sorted(folder.glob("calib*.txt")):
            return read_calibration(path)
    return None


class _Lines:
    """A calibration file as key -> line; the colon behind the key is optional. Not read before it is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, tuple[int, str]] | None = None

    def _read(self) -> dict[str, tuple[int, str]]:
        if self._rows is None:
            self._rows = {}
            for number, line in enumerate(read_lines(self.path), 1):
                key, *rest = line.replace(":", " ", 1).split(None, 1) or [""]
                self._rows[key] = (number, "".join(rest))
        return self._rows

    def has(self, key: str) -> bool:
        return key in self._read()

    def take(self, keys: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        """The numbers behind the first of `keys` that is there, float64 of `shape`."""
        need = int(np.prod(shape))
        for key in keys:
            if key in self._read():
                number, text = self._read()[key]
                try:
                    values = np.array(text.split(), np.float64)
                except ValueError:
                    raise InputError(f"{self.path}:{number}: {key} needs {need} numbers, got {text.strip()[:40]!r}") from None
                if len(values) != need or not np.isfinite(values).all():
                    got = f"{len(values)}" if len(values) != need else "NaN or infinity"
                    raise InputError(f"{self.path}:{number}: {key} needs {need} numbers, got {got}")
                return values.reshape(shape)
        raise InputError(f"{self.path}: needs a line {' or '.join(keys)} with {need} numbers, got none")


def _rigid(R: np.ndarray, t: np.ndarray | None = None) -> np.ndarray:
    """(3, 3) or (3, 4), and a translation -> (4, 4)."""
    T = np.eye(4)
    T[:3, : R.shape[1]] = R
    if t is not None:
        T[:3, 3] = t
    return T
