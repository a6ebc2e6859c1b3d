"""KITTI calibration: several layouts of the same numbers.

tracking  calib/SSSS.txt    P0: .. P3:, R_rect, Tr_velo_cam, Tr_imu_velo (some without colon; some copies use the object names)
object    calib/NNNNNN.txt  P0: .. P3:, R0_rect:, Tr_velo_to_cam:, Tr_imu_to_velo:; of odometry: P0: .. P3:, Tr:
raw       DATE/             calib_cam_to_cam.txt, calib_velo_to_cam.txt, calib_imu_to_velo.txt

KITTI writes "A_to_B" for the transform p_B = T p_A: T_B_A in our order of letters.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from operators import folders, textfile
from operators.streams import Calibration
from pipeline.errors import InputError

# The tracking and object layouts do not store the size of the rectified pictures; each of KITTI's four recording days
# has its own focal length, which tells it.
_SIZE_OF_FX = {721.5377: (1242, 375), 707.0493: (1224, 370), 718.3351: (1238, 374), 718.8560: (1241, 376)}
_DEFAULT_SIZE = (1242, 375)
MAX_PIXELS = 65_535

_R_RECT, _TR_IMU = ("R_rect", "R0_rect"), ("Tr_imu_velo", "Tr_imu_to_velo")


class KittiCalibration:
    """One rig, from a file of the tracking or object layout.

    Numbers are read when they are asked for: only the lines in use must be there. A missing one raises InputError: a guessed
    transform would put boxes somewhere else.
    """

    _P = "P{}"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = _Lines(path)

    def P(self, camera: int) -> np.ndarray:
        """(3, 4): rectified camera 0 -> pixels of that camera."""
        return self._lines.take((self._P.format(camera),), (3, 4))

    @property
    def cameras(self) -> list[int]:
        """Numbers of the cameras that the file has."""
        return [camera for camera in range(4) if self._lines.has(self._P.format(camera))]

    @cached_property
    def R_rect(self) -> np.ndarray:
        """(4, 4) rotation: camera 0 -> rectified camera 0. The odometry layout has none: its Tr includes it."""
        if self._lines.has("Tr") and not any(map(self._lines.has, _R_RECT)):
            return np.eye(4)
        return self._lines.rigid(_R_RECT, (3, 3))

    @cached_property
    def T_cam0_velo(self) -> np.ndarray:
        """(4, 4) velodyne -> camera 0, not rectified."""
        return self._lines.rigid(("Tr_velo_cam", "Tr_velo_to_cam", "Tr"), (3, 4))

    @cached_property
    def T_velo_imu(self) -> np.ndarray:
        """(4, 4) imu -> velodyne."""
        return self._lines.rigid(_TR_IMU, (3, 4))

    @property
    def lacks_imu(self) -> str:
        """What is missing of `T_velo_imu`, or ""."""
        return "" if any(map(self._lines.has, _TR_IMU)) else f"{self.path} has no line {' or '.join(_TR_IMU)}"

    @cached_property
    def T_cam_velo(self) -> np.ndarray:
        """(4, 4) velodyne -> rectified camera 0, the frame of all labels and detections."""
        return self.R_rect @ self.T_cam0_velo

    def size(self, camera: int) -> tuple[int, int] | None:
        """(width, height) where the file says it (raw only)."""
        return None

    def image_size(self, camera: int, on_disk: tuple[int, int] | None = None) -> tuple[int, int]:
        """(width, height): as the file says, else as a picture on disk is, else by the focal length."""
        known = self.size(camera) or on_disk
        if known is not None:
            return known
        fx = self.P(camera)[0, 0]
        return next((size for known_fx, size in _SIZE_OF_FX.items() if abs(fx - known_fx) < 1e-3), _DEFAULT_SIZE)

    def stream(self, camera: int, on_disk: tuple[int, int] | None = None) -> Calibration:
        """The value of a CALIBRATION port for one of the cameras."""
        return Calibration(self.P(camera), self.T_cam_velo, np.array(self.image_size(camera, on_disk), np.int32))


class RawCalibration(KittiCalibration):
    """The three files of a recording day."""

    _P = "P_rect_{:02d}"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "calib_cam_to_cam.txt")
        self._velo, self._imu = (_Lines(folder / f"calib_{name}.txt") for name in ("velo_to_cam", "imu_to_velo"))

    @cached_property
    def R_rect(self) -> np.ndarray:
        return self._lines.rigid(("R_rect_00",), (3, 3))

    @cached_property
    def T_cam0_velo(self) -> np.ndarray:
        return self._velo.rigid(("R",), (3, 3), ("T",))

    @cached_property
    def T_velo_imu(self) -> np.ndarray:
        return self._imu.rigid(("R",), (3, 3), ("T",))

    @property
    def lacks_imu(self) -> str:
        return "" if folders.is_file(self._imu.path) else f"{self._imu.path} is not there"

    def size(self, camera: int) -> tuple[int, int] | None:
        key = f"S_rect_{camera:02d}"
        if not self._lines.has(key):
            return None
        width, height = self._lines.take((key,), (2,)).tolist()
        if not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS):
            raise InputError(f"{self.path}: needs {key} of 1 to {MAX_PIXELS} pixels, got {width:g} {height:g}")
        return int(width), int(height)


def find_calibration(places: list[Path]) -> KittiCalibration | None:
    """The first calibration in any of the layouts, None where no folder has one."""
    for folder in places:
        if folders.is_file(folder / "calib_cam_to_cam.txt"):
            return RawCalibration(folder)
        for path in folders.files(folder, "calib*.txt"):
            return KittiCalibration(path)
    return None


class _Lines:
    """A calibration file as key -> line; the colon behind the key is optional. Not read before it is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _rows(self) -> dict[str, tuple[int, str]]:
        rows = {}
        for number, line in enumerate(textfile.lines(self.path), 1):
            key, *rest = line.replace(":", " ", 1).split(None, 1) or [""]
            rows[key] = (number, "".join(rest))
        return rows

    def has(self, key: str) -> bool:
        return key in self._rows

    def take(self, keys: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        """The numbers behind the first of `keys` that is there, float64 of `shape`."""
        need = int(np.prod(shape))
        for key in filter(self.has, keys):
            number, written = self._rows[key]
            return textfile.numbers(self.path, number, key, written, need).reshape(shape)
        raise InputError(f"{self.path}: needs a line {' or '.join(keys)} with {need} numbers, got none")

    def rigid(self, keys: tuple[str, ...], shape: tuple[int, int], shift: tuple[str, ...] = ()) -> np.ndarray:
        """(4, 4) of a rotation (3, 3) or a rotation and translation (3, 4), and of the translation under the keys `shift`."""
        T = np.eye(4)
        T[:3, : shape[1]] = self.take(keys, shape)
        if shift:
            T[:3, 3] = self.take(shift, (3,))
        if not 0.5 < abs(np.linalg.det(T[:3, :3])) < 2:
            key = next(filter(self.has, keys))
            textfile.refuse(self.path, self._rows[key][0], f"a rotation in {key}", textfile.shown(self._rows[key][1]))
        return T
