"""`pipe bench odometry`: ego motion from scans on one core, beside KISS-ICP on the same scans in the same run.

Rows: a generated drive, full scans and cut to the camera's view, also its first 20 scans; kitti_tracking_0000 of ../shared/data
(or PIPE_DATA) against oxts: its positions, and its velocities (`dead_reckoned`). Per row: error at the end by the length of the
path, KITTI's t_rel and r_rel where the path has 100 m, ATE, and scans/s by CPU time of the thread; numba, BLAS and KISS-ICP get
one thread. KISS-ICP: pip install kiss-icp; its defaults, no deskewing.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import data_folder, header
from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.oxts import read_oxts
from drivers.kitti.tracking import KittiTracking
from drivers.synthetic.world import SyntheticWorld
from operators.geometry.gps import poses
from operators.lidar.odometry import OdometryConfig, ScanOdometry
from operators.score.trajectories import scores
from pipeline.operator import Source
from pipeline.testing import run_source

FRAMES = 200
Run = Callable[[list[np.ndarray]], tuple[np.ndarray, float]]
"""Scans -> poses (K, 4, 4), seconds of CPU time."""


def main(frames: int = FRAMES) -> dict[str, Any]:
    drives = _drives(frames)
    about = header("pipe bench odometry", ", ".join(f"{name} ({len(scans)} scans)" for name, (scans, _) in drives.items()))
    rivals: dict[str, Run] = {"lidar.odometry": _ours}
    if importlib.util.find_spec("kiss_icp") is not None:
        rivals["kiss-icp"] = _kiss
    out: dict[str, Any] = {"about": about, "rows": [], "figures": {}}
    print(f"{'drive':>32} {'odometry':>15} | path m |  end % | t_rel % | r_rel deg/100 m |  ATE m | scans/s")
    for name, (scans, truths) in drives.items():
        for who, play in rivals.items():
            play(scans[:3])  # compiles
            found, seconds = play(scans)
            for title, known in truths.items():
                num = len(known)
                row = scores(known, found[:num], np.ones(num, bool)) | {"scans_per_s": len(scans) / seconds}
                out["rows"].append({"drive": f"{name}{title}", "odometry": who} | row)
                out["figures"] |= {f"{name}{title}.{who}.{key}": row[key] for key in ("end_share", "ate_m", "scans_per_s")}
                print(_line(name + title, who, row), flush=True)
    if "kiss-icp" not in rivals:
        print("kiss-icp is not installed: nothing beside it")
    return out


def _line(name: str, who: str, row: dict[str, Any]) -> str:
    share, t_rel, r_rel = (
        "n/a" if row[key] is None else f"{scale * row[key]:.3f}"
        for key, scale in (("end_share", 100), ("t_rel", 100), ("r_rel_deg_100m", 1))
    )
    return (
        f"{name:>32} {who:>15} | {row['path_m']:6.1f} | {share:>6} | {t_rel:>7} | {r_rel:>15} | {row['ate_m']:6.3f} | "
        f"{row['scans_per_s']:.1f}"
    )


def _drives(frames: int) -> dict[str, tuple[list[np.ndarray], dict[str, np.ndarray]]]:
    """Name -> scans, true poses (K, 4, 4) of the first K by the end of the row's name."""
    drives = {}
    for view in ("camera", "none"):
        scans, truth = _read(SyntheticWorld, {"seed": 7, "frames": frames, "lidar": {"crop": view}})
        drives[f"generated, crop {view}"] = scans, {"": truth, ", first 20": truth[:20]}
    root = data_folder() / "kitti_tracking_0000"
    if root.is_dir():
        scans, truth = _read(KittiTracking, {"root": str(root)})
        drives["kitti_tracking_0000"] = scans, {"": truth, ", velocities": dead_reckoned(root, "0000")}
    return drives


def dead_reckoned(root: Path, name: str) -> np.ndarray:
    """(K, 4, 4) T_world_velo from the angles and velocities of oxts (columns 8 to 10: forward, left, up), not its positions.

    The period is measured, frame by frame: turn of the yaw by the rate of the gyro (column 22, about up).
    """
    rows, T_velo_imu = read_oxts(root / f"oxts/{name}.txt"), KittiCalibration(root / f"calib/{name}.txt").T_velo_imu
    T = np.linalg.inv(T_velo_imu) @ poses(rows, T_velo_imu) @ T_velo_imu  # of the IMU; world: the IMU at row 0
    turned, rates = np.diff(np.unwrap(rows[:, 5])), (rows[1:, 22] + rows[:-1, 22]) / 2
    speeds = np.einsum("kij,kj->ki", T[:, :3, :3], rows[:, 8:11])
    T[1:, :3, 3] = turned @ rates / (rates @ rates) * np.cumsum((speeds[1:] + speeds[:-1]) / 2, axis=0)
    return T_velo_imu @ T @ np.linalg.inv(T_velo_imu)


def _read(driver: type[Source], config: dict[str, Any]) -> tuple[list[np.ndarray], np.ndarray]:
    readings = run_source(driver, config, wanted=("points", "pose"))
    return [reading.values["points"] for reading in readings], np.stack([reading.values["pose"] for reading in readings])


def _ours(scans: list[np.ndarray]) -> tuple[np.ndarray, float]:
    odometry = ScanOdometry(OdometryConfig())
    start = time.thread_time()
    found = [odometry.step(points).pose for points in scans]
    return np.stack(found), time.thread_time() - start


def _kiss(scans: list[np.ndarray]) -> tuple[np.ndarray, float]:
    from kiss_icp.config import load_config
    from kiss_icp.kiss_icp import KissICP

    config = load_config(None)
    config.data.deskew = False
    config.registration.max_num_threads = 1
    config.mapping.voxel_size = config.data.max_range / 100
    odometry, found = KissICP(config), []
    start = time.thread_time()
    for points in scans:
        odometry.register_frame(points[:, :3].astype(np.float64), np.empty(0))
        found.append(odometry.last_pose)
    return np.stack(found), time.thread_time() - start
