"""Rays of our LiDAR beside Open3D's RaycastingScene (extra `open3d`), for `pipe bench world`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from drivers.extra import load_open3d
from drivers.synthetic.scene import Scene
from drivers.synthetic.spinning import LidarConfig, SpinningLidar
from operators.kernels.raycast import NOTHING
from pipeline.errors import InputError

RANGE_M = 80.0
CAST_MS = 15.0
"""The aim, on two cores."""


class Hits(NamedTuple):
    """ranges (C, B) [m], inf = none within range; triangles (C, B) int32, NOTHING = none."""

    ranges: np.ndarray
    triangles: np.ndarray


class Rival:
    """Open3D's RaycastingScene, in single precision, with its defaults."""

    def __init__(self, open3d: Any) -> None:
        self._tensor, self._new = open3d.core.Tensor.from_numpy, open3d.t.geometry.RaycastingScene
        self.scene: Any = None

    def build(self, triangles: np.ndarray) -> None:
        corners = triangles.reshape(-1, 3).astype(np.float32)
        self.scene = self._new()
        self.scene.add_triangles(self._tensor(corners), self._tensor(np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)))
        self.scene.cast_rays(self._tensor(np.zeros((1, 6), np.float32)))  # the first cast builds the tree

    def cast(self, of: np.ndarray) -> Hits:
        found = self.scene.cast_rays(self._tensor(of))
        ranges, triangles = found["t_hit"].numpy(), found["primitive_ids"].numpy().view(np.int32)
        beyond = ranges > RANGE_M
        return Hits(np.where(beyond, np.inf, ranges), np.where(beyond, NOTHING, triangles))


def rival() -> Rival | None:
    try:
        return Rival(load_open3d("pipe bench world"))
    except InputError:
        return None


def differing(ours: Hits, theirs: Hits) -> dict[str, float]:
    """Shares of rays: different triangle, or a hit in only one of both; ranges that differ by more than 1 cm."""
    with np.errstate(invalid="ignore"):
        far = np.abs(ours.ranges - theirs.ranges) > 0.01  # inf - inf is NaN, which is not greater
    return {"other_triangle": float((ours.triangles != theirs.triangles).mean()), "range_1cm": float(far.mean())}


def lidar(columns: int = 1800, threads: int = 2) -> SpinningLidar:
    """The HDL-64E; no ray passes through leaves, and the whole turn is instantaneous."""
    return SpinningLidar(LidarConfig(columns=columns, leaves=0.0, sweep=False, range_m=RANGE_M), 10.0, threads)


def rays(sensor: SpinningLidar) -> np.ndarray:
    """(C, B, 6) float32 origins and unit directions of a sensor that stands."""
    out = np.zeros((len(sensor.azimuths), len(sensor.elevations), 6), np.float32)
    level = np.cos(sensor.elevations)
    out[..., 2] = sensor.heights
    out[..., 3], out[..., 4] = np.cos(sensor.azimuths)[:, None] * level, np.sin(sensor.azimuths)[:, None] * level
    out[..., 5] = np.sin(sensor.elevations)
    return out


def compare(scenes: Sequence[Scene], rounds: int, threads: int) -> dict[str, Any]:
    sensor, other = lidar(threads=threads), rival()
    of = rays(sensor)
    times: dict[str, list[float]] = {"ours_ms": [], "open3d_ms": [], "open3d_cast_ms": []}
    differ: list[dict[str, float]] = []
    sensor.cast(scenes[0], 1)  # numba compiles, or loads its cache
    for scene in scenes:
        for _ in range(rounds):
            times["ours_ms"].append(milliseconds(partial(sensor.cast, scene, 1)))
            if other is not None:
                build = milliseconds(partial(other.build, scene.triangles))
                times["open3d_cast_ms"].append(milliseconds(partial(other.cast, of)))
                times["open3d_ms"].append(build + times["open3d_cast_ms"][-1])
        if other is not None:
            differ.append(differing(Hits(sensor.ranges, sensor.hits), other.cast(of)))
    row: dict[str, Any] = {name: statistics.median(values) for name, values in times.items() if values}
    row["triangles"] = [len(scene.triangles) for scene in scenes]
    row["differ"] = {key: float(np.mean([d[key] for d in differ])) for key in differ[0]} if differ else None
    return row


def line(name: str, row: dict[str, Any]) -> str:
    count = f"{min(row['triangles']):,}..{max(row['triangles']):,}"
    text = f"rays at {name:<6} ({count} triangles): ours {row['ours_ms']:.2f} ms (aim {CAST_MS:g})"
    if row["differ"] is None:
        return f"{text}; Open3D is not installed: nothing beside it"
    return (
        f"{text}, Open3D {row['open3d_ms']:.2f} ms, of which casting {row['open3d_cast_ms']:.2f}; of all rays "
        f"{row['differ']['other_triangle']:.4%} hit another triangle, {row['differ']['range_1cm']:.4%} differ by more than 1 cm"
    )


def milliseconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return (time.perf_counter() - begin) * 1e3
