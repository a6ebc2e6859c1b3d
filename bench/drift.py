"""Is a figure flat over a long run? Compares the first with the last third, and fits a straight line to the whole run.

The statistics are robust: medians, and the median of all slopes between two windows (Theil-Sen), so that one bad minute
neither causes nor hides a drift.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipeline.runtime.histogram import Histogram

LIMIT = 0.05  # a figure is flat if it changes by at most this share, up or down
DRAWS = 400  # bootstrap samples of windows, for an interval


@dataclass(frozen=True)
class Drift:
    """first, last: the figure in those thirds; change: last relative to first; trend: relative rise of the line over the run;
    low, high: 95 % interval of `change` from a bootstrap over the windows (None if a third is one window)."""

    first: float
    last: float
    change: float
    trend: float
    low: float | None
    high: float | None

    @property
    def flat(self) -> bool:
        return abs(self.change) <= LIMIT and abs(self.trend) <= LIMIT

    @property
    def verdict(self) -> str:
        """flat; grows or falls; or noisy: beyond the limit, but no more than the windows differ among themselves."""
        if self.flat:
            return "flat"
        if self.low is not None and self.high is not None and self.low <= 0 <= self.high:
            return "noisy"
        worst = self.change if abs(self.change) > LIMIT else self.trend
        return "grows" if worst > 0 else "falls"

    def row(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "verdict": self.verdict}


def of_values(values: list[float]) -> Drift:
    """Drift of one number per window: medians of the thirds."""
    first, last = thirds(values)
    return _drift(values, float(np.median(first)), float(np.median(last)), _again(first, last, np.median))


def of_counts(windows: list[np.ndarray], q: float) -> Drift:
    """Drift of one histogram per window: the quantile of all values in a third."""
    quantiles = [value for window in windows if (value := quantile(window, q)) is not None]
    first, last = thirds(windows)
    pooled = partial(_pooled, q=q)
    return _drift(quantiles, pooled(first), pooled(last), _again(first, last, pooled))


def at_equal_speed(windows: list[np.ndarray], bare: list[float], q: float, classes: int = 3) -> dict[str, float] | None:
    """Change of the quantile from earlier to later windows in which the machine was equally fast.

    bare: time of the same work in a bare process, per window. Windows of similar `bare` form a class; within each class the later
    half is compared with the earlier half. `change`: mean of the classes; low, high: its 95 % bootstrap interval. None if a half
    has fewer than two windows, or if nothing was counted.
    """
    order = np.argsort(bare, kind="stable")
    halves = [(part[: len(part) // 2], part[len(part) // 2 :]) for part in map(np.sort, np.array_split(order, classes))]
    if min(len(early) for early, _ in halves) < 2:
        return None
    pooled = partial(_pooled, q=q)
    pairs = [([windows[i] for i in early], [windows[i] for i in late]) for early, late in halves]
    if not all(pooled(early) for early, _ in pairs):
        return None
    again = [drawn for early, late in pairs if (drawn := _again(early, late, pooled)) is not None and len(drawn) == DRAWS]
    if len(again) < classes:
        return None
    low, high = np.quantile(np.mean(again, axis=0), (0.025, 0.975))
    change = float(np.mean([pooled(late) / pooled(early) - 1 for early, late in pairs]))
    return {"change": change, "low": float(low), "high": float(high)}


def quantile(bins: np.ndarray, q: float) -> float | None:
    """Quantile of a histogram's bins [ns]; None if nothing was counted."""
    histogram = Histogram()
    histogram.bins, histogram.count = bins, int(bins.sum())
    return histogram.quantile(q)


def _pooled(windows: list[np.ndarray], q: float) -> float:
    """The quantile of all values in some windows, 0 if there are none."""
    return quantile(np.sum(windows, axis=0), q) or 0.0


def thirds(windows: list[Any]) -> tuple[list[Any], list[Any]]:
    """The first and the last third. Raises ValueError for fewer than three windows."""
    size = len(windows) // 3
    if size == 0:
        raise ValueError(f"drift: needs at least 3 windows, got {len(windows)}")
    return windows[:size], windows[-size:]


def trend(values: list[float]) -> float:
    """Rise of the fitted line from the first to the last value, relative to its middle."""
    y = np.asarray(values, np.float64)
    i, j = np.triu_indices(len(y), 1)
    if len(i) == 0 or (middle := float(np.median(y))) == 0:
        return 0.0
    return float(np.median((y[j] - y[i]) / (j - i))) * (len(y) - 1) / middle


def _drift(values: list[float], first: float, last: float, again: np.ndarray | None) -> Drift:
    low, high = (None, None) if again is None else (float(x) for x in np.quantile(again, (0.025, 0.975)))
    return Drift(first, last, last / first - 1 if first else 0.0, trend(values), low, high)


def _again(first: list[Any], last: list[Any], figure: Any) -> np.ndarray | None:
    """`change` between two parts of the run in bootstrap samples (windows drawn with replacement)."""
    if len(first) < 2:
        return None
    random = np.random.default_rng(0)
    changes = []
    for _ in range(DRAWS):
        before, after = (figure([third[k] for k in random.integers(0, len(third), len(third))]) for third in (first, last))
        if before:
            changes.append(after / before - 1)
    return np.array(changes) if changes else None
