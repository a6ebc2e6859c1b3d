"""Parameters, multiply-adds and time of the panoptic nets, in the layout of the report's tables.

A part of `pipe bench panoptic`; alone: python -m bench.panoptic_nets
Multiply-adds are those of convolutions and layers at the net's picture size, with 1000 proposals and 100 instances of the paper's
nets, 200 and 20 of the light ones. Each net runs in a process of its own on a random picture; memory is the peak of that process.
The weights are random: time does not depend on them, but on the number of instances, which is held at these numbers.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from operators.nets.efficientps_config import EfficientPSConfig
from pipeline import training


class Kind(NamedTuple):
    """paper: Params (M), FLOPs (B), time (ms) of the report, on its own GPU; 0 = none."""

    config: EfficientPSConfig
    regions: int
    instances: int
    paper: tuple[float, float, float]


class Row(NamedTuple):
    net: str
    params_m: float
    macs_g: float
    ms: float
    peak_mib: float
    paper: tuple[float, float, float]


def kinds() -> dict[str, Kind]:
    stuff, things = (tuple(f"{kind}{k}" for k in range(n)) for kind, n in (("stuff", 11), ("thing", 8)))
    cityscapes = EfficientPSConfig((*stuff, *things), things)
    tracked = EfficientPSConfig((*stuff, *things[:3]), things[:3], (1248, 384), layout="standard", embedding=32)
    light = {"light": "panoptic_world", "light LiDAR": "panoptic_lidar_world"}
    models = {name: training.load(file).config.model for name, file in light.items()}
    return {
        "EfficientPS 2048x1024": Kind(cityscapes, 1000, 100, (40.89, 433.94, 166)),
        "PanopticTrackNet 1248x384": Kind(tracked, 1000, 100, (45.08, 167.40, 114)),
        **{f"{name} {m.image_size[0]}x{m.image_size[1]}": Kind(m, 200, 20, (0, 0, 0)) for name, m in models.items()},
    }


def counted(kind: Kind) -> tuple[float, float]:
    """Millions of parameters, billions of multiply-adds; no memory is taken for them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from operators.nets.activated import num_parameters
    from operators.nets.efficientps import EfficientPS

    config = kind.config
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = EfficientPS(config).eval()
        maps = net.pyramid(net.backbone(torch.empty(1, 3, config.image_size[1], config.image_size[0])))
        net.semantic(maps)
        for x in maps:
            net.rpn(x)
        net.boxes(torch.empty(kind.regions, config.channels, 7, 7))
        net.masks(torch.empty(kind.instances, config.channels, 14, 14))
    return num_parameters(net) / 1e6, counter.get_total_flops() / 2 / 1e9


def timed(kind: Kind, threads: int, runs: int) -> list[float]:
    """Milliseconds of each run after a first one that does not count."""
    import torch

    from operators.nets.activated import fold
    from operators.nets.efficientps import EfficientPS, FindConfig
    from operators.nets.region_proposals import ProposalConfig

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = EfficientPS(kind.config).eval()
    fold(net)
    width, height = kind.config.image_size
    image = torch.randint(255, (1, height, width, 3), dtype=torch.uint8)
    find = FindConfig(0.0, kind.instances, 1.0, ProposalConfig(kind.regions, kind.regions))
    took = []
    with torch.inference_mode():
        for _ in range(runs + 1):
            begun = time.perf_counter()
            net(image, find)
            took.append(1e3 * (time.perf_counter() - begun))
    return took[1:]


def rows(threads: int = 2, runs: int = 3) -> list[Row]:
    made = []
    for name, kind in kinds().items():
        command = [sys.executable, "-m", "bench.panoptic_nets", name, str(threads), str(runs)]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        made.append(Row(name, *counted(kind), statistics.median(said["ms"]), said["peak_mib"], kind.paper))
    return made


def lines(table: Sequence[Row]) -> list[str]:
    out = [f"{'network':<27} | Params (M) | multiply-adds (G) | Time (ms) | peak (MiB) | paper: Params, FLOPs (B), ms"]
    for row in table:
        paper = ", ".join(f"{value:g}" for value in row.paper) if any(row.paper) else "-"
        out.append(f"{row.net:<27} | {row.params_m:10.3f} | {row.macs_g:17.2f} | {row.ms:9.1f} | {row.peak_mib:10.0f} | {paper}")
    return out


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("\n".join(lines(rows())))
    else:
        took = timed(kinds()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
        print(json.dumps({"ms": took, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
