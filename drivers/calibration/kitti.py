"""KITTI's calibration (tracking, object, odometry, raw) as a rig: frames cam0 .. cam3 (rectified), velodyne, imu.

P_i = K_i [1 | t_i] says where camera i lies beside rectified camera 0: T_cami_cam0 is the shift t_i. The pictures that KITTI
publishes are rectified, so the lenses have no distortion. The products P_cam @ T_cam_velo are those of the drivers `kitti.*`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.calibration.rig import VELODYNE, Pair, Rig, make_lens
from drivers.kitti.calibration import KittiCalibration, RawCalibration, find_calibration
from operators import folders
from operators.geometry.transforms import rigid
from pipeline.errors import InputError

_RAW = "calib_cam_to_cam.txt"


def is_kitti(path: Path) -> bool:
    return folders.is_folder(path) or path.suffix == ".txt"


def read(path: Path) -> Rig:
    """path: a file of the tracking or object layout, calib_cam_to_cam.txt of raw, or the folder of one. Raises InputError."""
    if folders.is_folder(path):
        found = find_calibration([path])
        if found is None:
            raise InputError(f"{path}: needs {_RAW} or another calib*.txt of KITTI, got none")
        calibration = found
    else:
        calibration = RawCalibration(path.parent) if path.name == _RAW else KittiCalibration(path)
    cameras, transforms = {}, dict[Pair, np.ndarray]()
    for number in calibration.cameras:
        P = calibration.P(number)
        if abs(float(np.linalg.det(P[:, :3]))) < 1e-9:
            raise InputError(f"{calibration.path}: needs P{number} with focal lengths, got {P[:, :3].ravel().tolist()}")
        cameras[f"cam{number}"] = make_lens(calibration.image_size(number), P[:, :3])
        shift = np.linalg.solve(P[:, :3], P[:, 3])
        if number:
            transforms[f"cam{number}", "cam0"] = rigid(t=shift)
        elif shift.any():
            raise InputError(f"{calibration.path}: needs P0 with 0 in its last column, got {P[:, 3].tolist()}")
    if not cameras:
        raise InputError(f"{calibration.path}: needs a line P0, P1, P2 or P3 (raw: P_rect_00 ..), got none; is it KITTI's?")
    transforms["cam0", VELODYNE] = calibration.T_cam_velo
    frames = [*cameras] + [name for name in ("cam0", VELODYNE) if name not in cameras]
    if not calibration.lacks_imu:
        transforms[VELODYNE, "imu"] = calibration.T_velo_imu
        frames.append("imu")
    return Rig(str(path), cameras, tuple(frames), transforms)
