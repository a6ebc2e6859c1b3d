"""`pipe bench odometry`: ego motion from scans on one core, beside KISS-ICP on the same scans in the same run.

Rows: a generated drive, its scans cut to the camera's view, and kitti_tracking_0000 of ../shared/data (or PIPE_DATA), whose truth
is oxts. Per row: error at the end by the length of the path, KITTI's t_rel and r_rel where the path has 100 m, ATE, and scans/s
by CPU time of the thread; numba, BLAS and KISS-ICP get one thread. KISS-ICP: pip install kiss-icp; its defaults, no deskewing.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.common import data_folder, header
from drivers.kitti.tracking import KittiTracking
from drivers.synthetic.world import SyntheticWorld
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
    print(f"{'drive':>20} {'odometry':>15} | path m |  end % | t_rel % | r_rel deg/100 m |  ATE m | scans/s")
    for name, (scans, truth) in drives.items():
        for who, play in rivals.items():
            play(scans[:3])  # compiles
            poses, seconds = play(scans)
            row = scores(truth, poses, np.ones(len(scans), bool)) | {"scans_per_s": len(scans) / seconds}
            out["rows"].append({"drive": name, "odometry": who} | row)
            out["figures"] |= {f"{name}.{who}.{key}": row[key] for key in ("end_share", "ate_m", "scans_per_s")}
            print(_line(name, who, row), flush=True)
    if "kiss-icp" not in rivals:
        print("kiss-icp is not installed: nothing beside it")
    return out


def _line(name: str, who: str, row: dict[str, Any]) -> str:
    share, t_rel, r_rel = (
        "n/a" if row[key] is None else f"{scale * row[key]:.3f}"
        for key, scale in (("end_share", 100), ("t_rel", 100), ("r_rel_deg_100m", 1))
    )
    return (
        f"{name:>20} {who:>15} | {row['path_m']:6.1f} | {share:>6} | {t_rel:>7} | {r_rel:>15} | {row['ate_m']:6.3f} | "
        f"{row['scans_per_s']:.1f}"
    )


def _drives(frames: int) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """Name -> scans, true poses (K, 4, 4)."""
    drives = {"generated, cut": _read(SyntheticWorld, {"seed": 7, "frames": frames, "lidar": {"crop": "camera"}})}
    root = data_folder() / "kitti_tracking_0000"
    if root.is_dir():
        drives["kitti_tracking_0000"] = _read(KittiTracking, {"root": str(root)})
    return drives


def _read(driver: type[Source], config: dict[str, Any]) -> tuple[list[np.ndarray], np.ndarray]:
    readings = run_source(driver, config, wanted=("points", "pose"))
    return [reading.values["points"] for reading in readings], np.stack([reading.values["pose"] for reading in readings])


def _ours(scans: list[np.ndarray]) -> tuple[np.ndarray, float]:
    odometry = ScanOdometry(OdometryConfig())
    start = time.thread_time()
    poses = [odometry.step(points).pose for points in scans]
    return np.stack(poses), time.thread_time() - start


def _kiss(scans: list[np.ndarray]) -> tuple[np.ndarray, float]:
    from kiss_icp.config import load_config
    from kiss_icp.kiss_icp import KissICP

    config = load_config(None)
    config.data.deskew = False
    config.registration.max_num_threads = 1
    config.mapping.voxel_size = config.data.max_range / 100
    odometry, poses = KissICP(config), []
    start = time.thread_time()
    for points in scans:
        odometry.register_frame(points[:, :3].astype(np.float64), np.empty(0))
        poses.append(odometry.last_pose)
    return np.stack(poses), time.thread_time() - start
