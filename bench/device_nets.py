"""The nets of `pipe bench devices`: random weights of the released sizes, each measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.machine.sampler import Sampler

THREADS = 2
GRIDS = {16: (0.16, 69.12, 39.68), 20: (0.20, 70.4, 40.0), 24: (0.24, 71.04, 40.32), 28: (0.28, 71.68, 40.32)}
"""Voxel size [cm] -> cell, largest x, largest y [m], as released."""
FAIRMOT = "FairMOT"


def random_weights(folder: Path, net: str, voxel: int) -> Path:
    file = folder / f"{net}-{voxel}.safetensors"
    return _random_fairmot(file) if net == FAIRMOT else _random(file, net, voxel)


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


def _random_fairmot(file: Path) -> Path:
    import torch

    from operators.nets import weights
    from operators.nets.fairmot import Fairmot
    from operators.nets.fairmot_config import FAIRMOT as ARCHITECTURE
    from operators.nets.fairmot_config import FairmotNetConfig

    config = FairmotNetConfig()
    torch.manual_seed(0)
    weights.save(file, ARCHITECTURE, config, Fairmot(config).eval().state_dict())
    return file


def _call(net: str, file: Path, device: Any) -> tuple[Any, Any]:
    """One frame in, objects out; and the operator's config."""
    from bench.detector import detecting, opened

    if net == FAIRMOT:
        from operators.detect.fairmot import Fairmot

        config: Any = Fairmot.Config(weights=str(file), device=device)
        return opened(Fairmot, config, THREADS).process, config
    operator = _node(net)[0]
    config = operator.Config(weights=str(file), device=device)
    return detecting(opened(operator, config, THREADS)), config


def apart(net: str, file: Path, runtime: str, device: str, scans: list[np.ndarray]) -> dict[str, Any]:
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


def _measure(connection: Any, net: str, file: Path, runtime: str, device: str, frames: list[np.ndarray]) -> None:
    call, config = _call(net, file, device)
    sampler = Sampler(interval_s=0.2)
    spent = []
    for index, frame in enumerate([frames[0], *frames]):  # the first one warms up
        if index == 1:
            sampler.start()
        begun = time.perf_counter()
        call(frame)
        spent.append(1e3 * (time.perf_counter() - begun))
    sampler.stop()
    peak_kb = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    row = {"ms": statistics.median(spent[1:]), "memory_mb": peak_kb * 1024 / 1e6, "power": sampler.report(len(frames))["power"]}
    if device == "cuda":
        import torch

        row["memory_mb"] = torch.cuda.max_memory_allocated() / 1e6
    estimate = None if net == FAIRMOT else _node(net)[0].memory_bytes(config)
    connection.send(row | {"estimate_mb": None if estimate is None else estimate / 1e6})
