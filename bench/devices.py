"""`pipe bench devices`: frames/s and memory of TANet and PointPillars by voxel size, as in the report's Tables 21 to 23.

Nets of the released sizes for cars, random weights, points of generated scenes in, boxes out, in torch on every device that this
machine has; engines of other runtimes are measured by `pipe bench runtimes`. Each net runs in a process of its own: memory is its
largest resident size, on CUDA torch's largest allocation; beside it the estimate that `memory_budget_mb` is held against. Writes
bench/results/devices-<machine>.json.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, header, save
from bench.scenes import generate
from operators.nets.runtimes import available

SCENES, THREADS = 6, 2
GRIDS = {16: (0.16, 69.12, 39.68), 20: (0.20, 70.4, 40.0), 24: (0.24, 71.04, 40.32), 28: (0.28, 71.68, 40.32)}
"""Voxel size [cm] -> cell, largest x, largest y [m], as released."""
NETS = [("TANet", 16), ("TANet", 20), ("TANet", 24), ("TANet", 28), ("PointPillars", 16), ("PointPillars", 28)]
PUBLISHED = [
    ("RTX 2080", "TANet", 16, 17.67, 6449), ("RTX 2080", "TANet", 20, 20.04, 6085), ("RTX 2080", "TANet", 24, 21.77, 5271),
    ("RTX 2080", "TANet", 28, 23.64, 4303), ("RTX 2080", "PointPillars", 16, 40.32, 4869),
    ("RTX 2080", "PointPillars", 28, 58.10, 3223), ("Jetson TX2 MAXN", "TANet", 20, 1.13, None),
    ("Jetson TX2 MAXN", "TANet", 28, 1.74, None), ("Jetson TX2 MAXN", "PointPillars", 16, 1.07, None),
    ("AGX Xavier MAXN", "TANet", 16, 3.17, None), ("AGX Xavier MAXN", "TANet", 28, 13.16, None),
    ("AGX Xavier MAXN", "PointPillars", 16, 6.12, None),
]  # fmt: skip
"""Tables 21, 22, 23 of the report: device, net, voxel size [cm], frames/s, GPU memory [MB]."""


def main(scenes: int = SCENES, nets: list[tuple[str, int]] = NETS, results: Path = RESULTS) -> dict[str, Any]:
    about = header("pipe bench devices", f"{scenes} generated scans, random weights, {THREADS} threads")
    scans = [scene.points for scene in generate(scenes)]
    rows = []
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        for net, voxel in nets:
            file = _random(Path(folder) / f"{net}-{voxel}.safetensors", net, voxel)
            for runtime, device in here(net):
                rows.append({"net": net, "voxel_cm": voxel, "runtime": runtime, "device": device})
                rows[-1] |= _apart(net, file, runtime, device, scans)
    out: dict[str, Any] = {"about": about, "rows": rows}
    out["figures"] = {f"{row['net']}.{row['voxel_cm']}.{row['runtime']}.{row['device']}.ms": row["ms"] for row in rows}
    out["runtimes"] = available()
    print("\n".join([*_lines(rows), "runtimes: " + ", ".join(f"{name} {text}" for name, text in out["runtimes"].items())]))
    save(results, "devices", out)
    return out


def here(net: str) -> list[tuple[str, str]]:
    """Runtime and device, of this machine."""
    from operators.nets.device import no_cuda

    return [("torch", "cpu"), *([] if no_cuda() else [("torch", "cuda")])]


def _node(net: str) -> tuple[type[Any], type[Any], Any]:
    """Operator, config of its net, architecture."""
    if net == "TANet":
        from operators.detect.tanet import TANetDetector
        from operators.nets.tanet_config import TANET, TANetConfig

        return TANetDetector, TANetConfig, TANET
    from operators.detect.pointpillars import Detector
    from operators.nets.pointpillars_config import POINTPILLARS, PointPillarsConfig

    return Detector, PointPillarsConfig, POINTPILLARS


def _random(file: Path, net: str, voxel: int) -> Path:
    import torch

    from operators.nets import weights
    from operators.nets.pointpillars import PointPillars
    from operators.nets.pointpillars_config import CAR
    from operators.nets.tanet import TANet

    _, config_class, architecture = _node(net)
    cell, x1, y1 = GRIDS[voxel]
    config = config_class(cell_m=(cell, cell), range_m=(0.0, -y1, -3.0, x1, y1, 1.0), anchors=(CAR,))
    torch.manual_seed(0)
    made = TANet(config) if net == "TANet" else PointPillars(config)
    weights.save(file, architecture, config, made.eval().state_dict())
    return file


def _apart(net: str, file: Path, runtime: str, device: str, scans: list[np.ndarray]) -> dict[str, Any]:
    """Measured in a new process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, net, file, runtime, device, scans))
    process.start()
    theirs.close()
    try:
        row: dict[str, Any] = ours.recv()
    except EOFError:
        raise RuntimeError(f"bench devices: the process of {net} {file.stem} ended with code {process.exitcode}") from None
    process.join()
    return row


def _measure(connection: Any, net: str, file: Path, runtime: str, device: str, scans: list[np.ndarray]) -> None:
    from bench.detector import detecting, opened

    operator = _node(net)[0]
    config = operator.Config(weights=str(file), device=device)
    detect = detecting(opened(operator, config, THREADS))
    spent = []
    for points in [scans[0], *scans]:  # the first one warms up
        begun = time.perf_counter()
        detect(points)
        spent.append(1e3 * (time.perf_counter() - begun))
    peak_kb = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    row = {"ms": statistics.median(spent[1:]), "memory_mb": peak_kb * 1024 / 1e6}
    if device == "cuda":
        import torch

        row["memory_mb"] = torch.cuda.max_memory_allocated() / 1e6
    estimate = operator.memory_bytes(config)
    connection.send(row | {"estimate_mb": None if estimate is None else estimate / 1e6})


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'device':>22} {'net':>12} {'voxel':>5} | {'frames/s':>8} {'memory MB':>9} {'estimate':>8}"]
    for device, net, voxel, fps, memory in PUBLISHED:
        lines.append(f"{device:>22} {net:>12} {voxel:5d} | {fps:8.2f} {memory or '-':>9} {'-':>8}   published")
    for row in rows:
        name, estimate = f"{row['runtime']} {row['device']}", row["estimate_mb"]
        text = "-" if estimate is None else f"{estimate:.0f}"
        fps = 1e3 / row["ms"]
        lines.append(
            f"{name:>22} {row['net']:>12} {row['voxel_cm']:5d} | {fps:8.2f} {row['memory_mb']:9.0f} {text:>8}   this machine"
        )
    return lines
