"""Straight lines through measured points: the fit, where the points leave it, and what was measured there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BEND = 0.25
"""A line that misses a point by a larger share of its value is not straight."""


class Line(NamedTuple):
    """y = start + slope · x; miss: the largest distance of a point, as a share of its value."""

    start: float
    slope: float
    miss: float


def fit(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Least squares of the relative distances, through two points or more."""
    values = np.maximum(np.abs(np.asarray(ys, float)), 1e-9)
    slope, start = np.polyfit(xs, ys, 1, w=1 / values)
    miss = np.abs(start + slope * np.asarray(xs) - ys) / values
    return Line(round(float(start), 4), round(float(slope), 4), round(float(miss.max()), 4))


def bends(xs: Sequence[float], ys: Sequence[float]) -> int | None:
    """Index of the first point that no line through it and all before it meets within BEND; None: all points are on one line."""
    return next((i for i in range(2, len(xs)) if fit(xs[: i + 1], ys[: i + 1]).miss > BEND), None)


def why(row: Mapping[str, Any]) -> str:
    """What was measured at the point where a line bends. row: fields of `watched.Cost`."""
    reasons = []
    if row["busy"] > 0.7:
        reasons.append(f"the graph uses {100 * row['busy']:.0f} % of the cores")
    if row["dropped"]:
        reasons.append(f"{row['dropped']:.0f} frames were dropped")
    cache_mb = last_cache_mb()
    if cache_mb is not None and row["frame_mb"] > cache_mb:
        reasons.append(f"a frame is larger than the last cache ({cache_mb:.1f} MB)")
    return ", ".join(reasons) or "load, drops and caches do not explain it"


def last_cache_mb() -> float | None:
    """Size of the largest cache of the first core."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(float(text.rstrip("KM")) * {"K": 1024, "M": 1024**2}.get(text[-1], 1) / 1e6)
    return max(sizes, default=None)
