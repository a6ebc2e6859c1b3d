"""`pipe bench voxelize`: scans to pillars on one core, in turns with spconv's CPU voxelizer on the same scans.

Rows: full scans (about 115,000 points) and scans cut to the camera's view (20,000) of ../shared/data/kitti_object (or PIPE_DATA),
else generated ones; K = 32 and 100 points per pillar, the grid of PointPillars. Ours: `Voxelize.process`, packed, padded, dynamic
(no K), into memory that is used again, as in a graph; spconv also reuses its memory. CPU time of the thread, which other load
slows down less than the clock; median over the scans of each one's median.
Checked in the run: pillars, cells, counts equal spconv's, bit by bit; equal bits when 1, 2, 4 threads each voxelize all scans.
spconv==2.3.8 and cumm<0.8: pip install 'perception-pipe[bench]'. Without it: ours alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import product
from typing import Any

import numpy as np

from bench.common import data_folder, header
from bench.rivals import spconv
from drivers.synthetic.traffic import SyntheticTraffic
from operators.lidar.voxelize import Voxelize, VoxelizeConfig
from operators.streams import Pillars
from pipeline.errors import RunError
from pipeline.frame import Header
from pipeline.operator import attach, prepare
from pipeline.testing import run_source

ROUNDS, DEPTHS, THREADS = 31, (32, 100), (1, 2, 4)
FOLDERS = {"full": "velodyne", "reduced": "velodyne_reduced"}
OURS: dict[str, dict[str, Any]] = {"packed": {"packed": True}, "padded": {}, "dynamic": {"mode": "dynamic"}}
COLUMNS = (*OURS, "spconv")


def main(rounds: int = ROUNDS) -> dict[str, Any]:
    cases = scans()
    about = header("pipe bench voxelize", ", ".join(f"{name} ({len(of)} scans)" for name, of in cases.items()))
    out: dict[str, Any] = {"about": about, "rows": [], "figures": {}}
    print(" | ".join([f"{'scans':>9} {'points':>7} {'K':>4}", *(f"{name + ' ms':>10}" for name in COLUMNS), "spconv / packed"]))
    for name, of in cases.items():
        for depth in DEPTHS:
            measured = measure(of, depth, rounds)
            out["figures"] |= {f"{name}.K{depth}.{key}": value for key, value in measured.items()}
            out["rows"].append({"scans": name, "points": round(statistics.median(map(len, of))), "K": depth} | measured)
            print(line(out["rows"][-1]), flush=True)
    check_threads([scan for of in cases.values() for scan in of], DEPTHS[-1])
    beside = "pillars, cells, counts equal spconv's" if "ratio" in measured else "spconv is not installed: nothing beside it"
    print(f"equal bits in {', '.join(map(str, THREADS))} threads; {beside}")
    return out


def scans() -> dict[str, list[np.ndarray]]:
    root = data_folder() / "kitti_object" / "training"
    files = {name: sorted((root / folder).glob("*.bin")) for name, folder in FOLDERS.items()}
    if all(files.values()):
        return {name: [np.fromfile(path, np.float32).reshape(-1, 4) for path in paths] for name, paths in files.items()}
    return {"generated": [made.values["points"] for made in run_source(SyntheticTraffic, {"frames": 3}, wanted=["points"])]}


def voxelizer(**config: Any) -> Callable[[np.ndarray], Pillars]:
    """The operator; its output lies in the same memory each time."""
    op = prepare(Voxelize(), "voxelize", VoxelizeConfig(**config))
    memory: dict[str, np.ndarray] = {}

    def alloc(port: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if name not in memory or memory[name].nbytes < size:
            memory[name] = np.zeros(size, np.uint8)
        return memory[name][:size].view(dtype).reshape(shape)

    attach(op, alloc=alloc)
    op.header = Header("scans", 0, "000000", 0)
    op.open()
    return op.process


def measure(of: list[np.ndarray], depth: int, rounds: int) -> dict[str, float]:
    ours = {name: voxelizer(max_points=depth, **config) for name, config in OURS.items()}
    rival = spconv.voxelizer(VoxelizeConfig(max_points=depth))
    turns: dict[str, Callable[[np.ndarray], Any]] = ours | ({"spconv": rival} if rival is not None else {})
    medians: dict[str, list[float]] = {name: [] for name in turns}
    for scan in of:
        if rival is not None:
            check_same(ours["padded"](scan), rival(scan))
        times: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(rounds):
            for name, run in turns.items():
                since = time.thread_time()
                run(scan)
                times[name].append(1e3 * (time.thread_time() - since))
        for name, values in times.items():
            medians[name].append(statistics.median(values))
    row = {f"{name}_ms": statistics.median(values) for name, values in medians.items()}
    return row if rival is None else row | {"ratio": row["spconv_ms"] / row["packed_ms"]}


def check_same(ours: Pillars, theirs: spconv.Voxels) -> None:
    for name, mine, other in zip(Pillars._fields, ours, theirs, strict=True):
        if not np.array_equal(mine, other):
            raise RunError(f"bench voxelize: {name}: needs spconv's, got others: {mine.shape} and {other.shape}")


def check_threads(of: list[np.ndarray], depth: int) -> None:
    def every(config: dict[str, Any]) -> list[bytes]:
        run = voxelizer(max_points=depth, **config)
        return [sha256(array.tobytes()).digest() for scan in of for array in run(scan)]

    for config, threads in product(OURS.values(), THREADS):
        alone = every(config)
        with ThreadPoolExecutor(threads) as pool:
            if any(found != alone for found in pool.map(every, [config] * threads)):
                raise RunError(f"bench voxelize: needs equal bits, got others in {threads} threads")


def line(row: dict[str, Any]) -> str:
    cells = [f"{row[f'{name}_ms']:10.3f}" if f"{name}_ms" in row else f"{'-':>10}" for name in COLUMNS]
    return " | ".join([f"{row['scans']:>9} {row['points']:7d} {row['K']:4d}", *cells, f"{row.get('ratio', float('nan')):.2f}"])
