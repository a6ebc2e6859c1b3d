"""`pipe bench runtimes`: the full three-class PointPillars, points in, boxes out, beside its dense part alone in other runtimes.

Net: 4,834,824 parameters, 496 x 432 cells, random weights. Its batch norm statistics are those of generated frames, so that
activations neither vanish nor grow. Rows: the whole detector (voxelizer, net, boxes), and the dense part alone (no voxelizer, no
pillars, no first convolution, no boxes) in torch, OpenVINO and onnxruntime; all in turns on each scan, 2 threads each. bfloat16
is left out on processors without it. Int8 is calibrated on generated frames. By the clock: median and 95th percentile, which
other load slows down; CPU time of all threads: median.
Then, with the shipped weights on generated frames: boxes of the detector against those of the dense net in float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, data_folder, header, quantile, save
from drivers.synthetic.world import SyntheticWorld
from operators.detect.pointpillars import DetectorConfig, dense_net, torch_net
from operators.lidar.voxelize import Voxelize, VoxelizeConfig
from operators.nets import weights
from operators.nets.pointpillars_config import POINTPILLARS, PointPillarsConfig
from operators.streams import Boxes3D
from pipeline.frame import Header
from pipeline.operator import prepare
from pipeline.testing import run_source

THREADS, ROUNDS, FITTING, AGREEING = 2, 1, 8, 100
SCANS = {"kitti_object/training/velodyne_reduced": 1, "kitti_tracking_0000/velodyne/0000": 16}
"""Folder -> every n-th scan of it."""


def main(rounds: int = ROUNDS, agreeing: int = AGREEING, results: Path = RESULTS) -> dict[str, Any]:
    scans, kind = _real(), "real scans of " + " and ".join(SCANS)
    if not scans:
        scans, kind = _generated(16, 500), "generated scans"
    about = header("pipe bench runtimes", f"{len(scans)} {kind}; {agreeing} generated frames for the agreement")
    out: dict[str, Any] = {"about": about, "figures": {}, "rows": _times(PointPillarsConfig(), scans, rounds)}
    for row in out["rows"]:
        print("{what:>28} | median {median_ms:7.1f} ms, p95 {p95_ms:7.1f} | CPU {cpu_ms:7.1f} ms".format(**row))
        out["figures"] |= {f"{row['what']}.{key}": row[key] for key in ("median_ms", "p95_ms", "cpu_ms")}
    out["agreement"] = found = _agreement(agreeing)
    share = found["matched"] / max(found["matched"] + found["missing"] + found["added"], 1)
    print(f"shipped weights, boxes of score 0.3 or more: {found}, {100 * share:.2f} %")
    out["figures"]["agreement"] = share
    save(results, "runtimes", out)
    return out


def _times(config: PointPillarsConfig, scans: list[np.ndarray], rounds: int) -> list[dict[str, Any]]:
    import torch

    from bench.rivals.dense_pointpillars import engines, random_net
    from operators.nets.pointpillars_inference import InferencePointPillars

    voxelize = _voxelizer(config)
    fitting = [voxelize(points) for points in _generated(FITTING)]
    net = random_net(config, fitting)
    loaded = weights.Weights(config, {name: tensor.numpy() for name, tensor in net.state_dict().items()})
    detector = torch_net(DetectorConfig(), loaded, THREADS, "bench")
    dense = InferencePointPillars(net)

    def level(pillars: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            first = dense.first_level(*(torch.from_numpy(pillars[key]) for key in ("pillars", "counts", "cells")))
            return np.ascontiguousarray(first[0].permute(1, 2, 0).numpy())

    rows: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
        "points to boxes, this project": lambda points, _: detector.run(voxelize(points))
    }
    for name, run in engines(dense, [level(pillars) for pillars in fitting], THREADS).items():
        rows[f"dense part alone, {name}"] = partial(_on_level, run)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for k in range(rounds + 1):
        for points in scans if k else scans[:1]:  # the first round warms up
            first = level(voxelize(points))
            for name, call in rows.items():
                clock, cpu = time.perf_counter(), time.process_time()
                call(points, first)
                if k:
                    took[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return [
        {
            "what": name,
            "median_ms": quantile([clock for clock, _ in times], 0.5) * 1e3,
            "p95_ms": quantile([clock for clock, _ in times], 0.95) * 1e3,
            "cpu_ms": quantile([cpu for _, cpu in times], 0.5) * 1e3,
        }
        for name, times in took.items()
    ]


def _on_level(run: Callable[[np.ndarray], object], points: np.ndarray, level: np.ndarray) -> object:
    return run(level)


def _agreement(frames: int) -> dict[str, int]:
    import torch

    from operators.nets.gate import Gate
    from operators.nets.pointpillars import PointPillars
    from operators.nets.runtimes.torch import fill

    loaded, config = weights.load("pointpillars_world", POINTPILLARS), DetectorConfig()
    trained = PointPillars(loaded.config)
    fill(trained, loaded, config.weights)
    nets = dense_net(trained.eval(), config, torch.device("cpu")), torch_net(config, loaded, THREADS, "bench")
    voxelize, gate = _voxelizer(loaded.config), Gate("fp32")
    for points in _generated(frames, 600):
        pillars = voxelize(points)
        gate.boxes(*(Boxes3D(**net.run(pillars)) for net in nets))
    return {"matched": gate.matched, "missing": gate.missing, "added": gate.added}


def _voxelizer(config: PointPillarsConfig) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    fields = {key: getattr(config, key) for key in ("cell_m", "range_m", "max_points", "max_pillars")}
    op = prepare(Voxelize(), "voxelize", VoxelizeConfig(**fields))
    op.open()
    op.header = Header("bench", 0, "0", 0)
    return lambda points: op.process(points)._asdict()


def _generated(frames: int, first_drive: int = 0) -> list[np.ndarray]:
    """Each of another street, as the camera's view of a scan of KITTI."""
    lidar = {"view_deg": 90, "range_m": 70, "crop": "camera"}
    config = {"seed": 5000, "first_drive": first_drive, "drives": frames, "frames": 1, "start_s": 5, "lidar": lidar}
    return [reading.values["points"] for reading in run_source(SyntheticWorld, config, wanted=["points"])]


def _real() -> list[np.ndarray]:
    paths = [path for folder, step in SCANS.items() for path in sorted((data_folder() / folder).glob("*.bin"))[::step]]
    return [np.fromfile(path, np.float32).reshape(-1, 4) for path in paths]
