"""`pipe bench panoptic`: the panoptic fuser beside one read of its logits, and beside the same rules on full maps in torch.

Picture: 1024 x 2048, 19 classes (11 stuff), 100 instances of 150 x 150 px on average, generated. The logits are float32 in memory
like that of a slot (a memfd, all pages there). In turns, by the clock, with THREADS threads each: the sum of all logits; the
fuser; the torch reference (rivals/fullmap.py), less often. Labels of both must be equal, except where the two best of an argmax
differ by less than 1e-4, in at most 0.01 % of the pixels.
PQ core: two int32 maps of that size with 80 ragged segments -> TP, FP, FN and IoU of each class, as score.panoptic does.
Then the nets: parameters, multiply-adds, time and memory of one picture each (panoptic_nets.py); the hop of the class logits by
their size (panoptic_hop.py); a LiDAR scan, from range image to points with ids (panoptic_lidar.py).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from bench import panoptic_hop, panoptic_lidar, panoptic_nets
from bench.common import header, quantile
from bench.panoptic_frames import CLASSES, INSTANCES, SHAPE, STUFF, ragged, scene, segments, slot
from operators.fuse.panoptic_fusion import Fusion, Objects, Rules
from operators.score.panoptic import scored
from operators.score.panoptic_pairs import PairCounter
from operators.streams import Panoptic
from operators.team import Team
from pipeline.errors import RunError

THREADS, ROUNDS, REFERENCE_ROUNDS = 2, 41, 3
CLOSE, MOST_CLOSE = 1e-4, 1e-4


def main(rounds: int = ROUNDS) -> dict[str, Any]:
    about = header("pipe bench panoptic", f"generated, {SHAPE[0]} x {SHAPE[1]}, {CLASSES} classes, {INSTANCES} instances")
    team, fusion, counter = Team(THREADS), Fusion(Rules(), THREADS), PairCounter(THREADS)
    logits, objects = scene(np.random.default_rng(0))
    out, is_thing = slot(SHAPE, np.int32), np.arange(CLASSES) >= STUFF
    parts = np.array_split(logits.reshape(-1), 16)
    maps = [ragged(np.random.default_rng(seed)) for seed in (1, 1)]
    maps[1] = np.roll(maps[1], 3, 1)
    frames = [Panoptic(m, *segments()) for m in maps]
    names = [str(c) for c in range(CLASSES)]
    turns: dict[str, Callable[[], Any]] = {
        "read": lambda: team.share(len(parts), lambda k: total(parts[k])),
        "fuse": lambda: fusion.fuse(logits, 1, is_thing, objects, out),
        "pq": lambda: scored(counter.count(maps[0], maps[1]), frames[0], names, frames[1], names),
    }
    ms: dict[str, list[float]] = {name: [] for name in (*turns, "reference")}
    for turn in turns.values():
        turn()
    every = max(rounds // REFERENCE_ROUNDS, 1)
    for k in range(rounds):
        for name, turn in turns.items():
            ms[name].append(timed(turn))
        if k % every == 0:
            ms["reference"].append(reference(logits, is_thing, objects, fusion, out))
    medians = {name: statistics.median(values) for name, values in ms.items()}
    figures = {f"{name}.ms": value for name, value in medians.items()} | {
        "fuse.p99.ms": quantile(ms["fuse"], 0.99),
        "fuse / read": medians["fuse"] / medians["read"],
        "reference / fuse": medians["reference"] / medians["fuse"],
    }
    print("\n".join(f"{name:>18} {value:9.2f}" for name, value in figures.items()))
    for part in (team, fusion, counter):
        part.close()
    nets = panoptic_nets.rows(THREADS, runs=1)
    print("\n".join(panoptic_nets.lines(nets)))
    figures |= {f"{row.net}.ms": row.ms for row in nets}
    hops = panoptic_hop.rows()
    print("\n".join(panoptic_hop.lines(hops)))
    figures |= {f"hop {row.logits}.us": row.us for row in hops}
    lidar = panoptic_lidar.rows(THREADS)
    print("\n".join(panoptic_lidar.lines(lidar)))
    figures |= {f"LiDAR, {part}.ms": ms for part, ms in lidar.items() if part != "weights"}
    tables = {"nets": [row._asdict() for row in nets], "hops": [row._asdict() for row in hops], "lidar": lidar}
    return {"about": about, "figures": figures, **tables}


@njit(nogil=True, cache=True, fastmath=True)
def total(values: np.ndarray) -> np.float32:
    out = np.float32(0)
    for i in range(len(values)):
        out += values[i]
    return out


def timed(turn: Callable[[], Any]) -> float:
    since = time.perf_counter()
    turn()
    return 1e3 * (time.perf_counter() - since)


def reference(logits: np.ndarray, is_thing: np.ndarray, objects: Objects, fusion: Fusion, out: np.ndarray) -> float:
    """Its ms; compares the labels of both. Raises RunError."""
    import torch

    from bench.rivals import fullmap

    torch.set_num_threads(THREADS)
    found, given, made = fusion.fuse(logits, 1, is_thing, objects, out), torch.from_numpy(logits), []
    took = timed(lambda: made.append(fullmap.fuse(given, is_thing, objects, fusion.rules)))
    codes = np.concatenate([[0], np.where(found.rows >= 0, 1 + CLASSES + found.rows, 1 + found.planes)])
    close = (fullmap.margin(made[0].stack) < CLOSE) | (fullmap.margin(given) < CLOSE)
    differs = (codes[out] != made[0].codes.numpy()) & ~close.numpy()
    if differs.any() or (codes[out] != made[0].codes.numpy()).mean() > MOST_CLOSE:
        raise RunError(
            f"bench panoptic: needs labels of the reference, got {differs.sum()} others, {close.sum()} pixels are close"
        )
    return took
