"""`pipe bench eval`: scores a whole set of tracks from files, alternating with TrackEval on the same files.

Data: AB3DMOT's tracks of nine KITTI sequences in ../shared/data (or PIPE_DATA), else as many generated boxes. TrackEval
(make trackeval) runs its own Kitti2DBox with HOTA, CLEAR and Identity, without printing or writing; both sides read the files.
AB3DMOT's four tables are also timed; their original code takes minutes and is not run. Without TrackEval: ours alone. With the
data: `pipe eval kitti-object` on 200 frames, its bootstrap included.
"""

from __future__ import annotations

import gzip
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import data_folder, header
from bench.rivals import trackeval
from operators.score import ab3dmot, kitti_object, kitti_tracking

ROUNDS = 5
SEQUENCES = {"0002": 233, "0003": 144, "0004": 314, "0005": 297, "0007": 800, "0009": 803, "0011": 373, "0017": 145, "0020": 837}


def main(rounds: int = ROUNDS) -> dict[str, Any]:
    rival = trackeval.imported()
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        gt, results = Path(folder) / "gt", Path(folder) / "trackers/ours/data"
        what = _real(gt, results) or _generated(gt, results)
        about = header(
            "pipe bench eval", f"{what}, {sum(SEQUENCES.values())} frames, {_count(gt)} truth and {_count(results)} track rows"
        )
        times: dict[str, list[float]] = {"ours": [], "AB3DMOT's tables": []}
        kitti_tracking.score(gt, results)  # numba compiles, or loads its cache
        ab3dmot.score(gt, results)
        for _ in range(rounds):
            mine, seconds = _timed(lambda: kitti_tracking.score(gt, results))
            times["ours"].append(seconds)
            times["AB3DMOT's tables"].append(_timed(lambda: ab3dmot.score(gt, results))[1])
            if rival is not None:
                other, seconds = _timed(lambda: trackeval.score(rival, gt, results.parent.parent))
                times.setdefault("TrackEval", []).append(seconds)
                trackeval.check_same(mine, other)
        if objects := _objects(Path(folder) / "objects"):
            kitti_object.evaluate(*objects)
            times["KITTI object"] = [_timed(lambda: kitti_object.evaluate(*objects))[1] for _ in range(rounds)]
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:<17} {medians[name]:7.3f} s   ({min(values):.3f} .. {max(values):.3f}, {rounds} rounds)")
    figures = {"ours_s": medians["ours"], "ab3dmot_s": medians["AB3DMOT's tables"]}
    if rival is None:
        print("TrackEval is not installed (make trackeval): nothing beside it")
    else:
        figures |= {"trackeval_s": medians["TrackEval"], "speedup": medians["TrackEval"] / medians["ours"]}
        print(f"TrackEval takes {figures['speedup']:.1f} times as long; HOTA, MOTA, IDS, IDTP of both are equal")
    return {"about": about, "times": times, "figures": figures}


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begin


def _real(gt: Path, results: Path) -> str:
    """Copies the real data; returns "" if there is none."""
    data = data_folder()
    if not all((data / f"golden/ab3dmot/tracks/{name}.txt.gz").is_file() for name in SEQUENCES):
        return ""
    _folders(gt, results)
    for name in SEQUENCES:
        (gt / f"label_02/{name}.txt").write_bytes((data / f"kitti_tracking/label_02/{name}.txt").read_bytes())
        (results / f"{name}.txt").write_bytes(gzip.decompress((data / f"golden/ab3dmot/tracks/{name}.txt.gz").read_bytes()))
    return "AB3DMOT on KITTI tracking"


def _objects(folder: Path) -> tuple[Path, Path] | None:
    """Labels and results of 200 frames with KITTI's object layout; None without the data."""
    packed = data_folder() / "golden/kitti_object/frames.tar.gz"
    if not packed.is_file():
        return None
    with tarfile.open(packed) as tar:
        tar.extractall(folder, filter="data")
    labels, results = (next(folder.rglob(name)) for name in ("label_2", "result"))
    for path in results.glob("*.txt"):
        if int(path.stem) >= 200:
            path.unlink()
    return labels, results


def _generated(gt: Path, results: Path) -> str:
    """Six cars and three pedestrians per frame, each followed by a noisy track; false tracks as well."""
    _folders(gt, results)
    rng = np.random.default_rng(1)
    tail = "1.5 1.6 4 0 1.5 20 0"
    for name, frames in SEQUENCES.items():
        truth, tracks = [], []
        for frame in range(frames):
            for i in range(9):
                kind, x, y = ("Car", "Car", "Pedestrian")[i % 3], 120 * i + frame % 50, 150.0
                truth.append(f"{frame} {i} {kind} 0 0 0 {x} {y} {x + 80} {y + 60} {tail}\n")
                a, b, c, d = np.round(rng.normal([x, y, x + 80, y + 60], 4), 2)
                tracks.append(f"{frame} {i + 10 * (frame // 100)} {kind} 0 0 0 {a} {b} {c} {d} {tail} 1\n")
        (gt / f"label_02/{name}.txt").write_text("".join(truth))
        (results / f"{name}.txt").write_text("".join(tracks))
    return "generated tracks"


def _folders(gt: Path, results: Path) -> None:
    (gt / "label_02").mkdir(parents=True)
    results.mkdir(parents=True)
    lines = [f"{name} empty 000000 {frames:06d}\n" for name, frames in SEQUENCES.items()]
    (gt / "evaluate_tracking.seqmap.training").write_text("".join(lines))


def _count(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.txt"))
