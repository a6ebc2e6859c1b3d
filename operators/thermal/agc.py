"""Gain control: 16-bit counts of a thermal camera to an 8-bit picture, warmer is brighter.

in   thermal_raw  (H, W) uint16  optional: counts
     thermal      (H, W) uint8   optional: the picture that the camera made itself, passed on where a frame has no counts
out  thermal      (H, W) uint8   low count -> 0, high count -> 255, linear between, cut beyond
     facts        low_counts, high_counts: the limits of this frame
method percentile: limits are two percentiles of the frame's counts, blended with those of earlier frames by `memory`.
method fixed: limits are `range_counts`, so that equal counts are equally bright in all frames.
A range below `min_range_counts` is widened around its middle: a constant picture becomes grey, noise is not stretched.
State: the blended limits, begun anew with each sequence.   Empty picture: empty, limits unchanged.   Same input: same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.kernels import counts as kernel
from operators.streams import GREY, THERMAL_RAW
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AgcConfig:
    method: Literal["percentile", "fixed"] = "percentile"
    percentiles: tuple[float, float] = (1.0, 99.0)  # percent of the pixels that are at most as warm as the low, high limit
    memory: float = 0.0  # share of the earlier limits in a frame's limits; 0: each frame alone
    min_range_counts: int = 64  # least distance of the limits; method percentile
    range_counts: tuple[int, int] = (0, 65535)  # low, high; method fixed

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles: needs 0 <= low < high <= 100, got {list(self.percentiles)}")
        if not 0 <= self.memory < 1:
            raise ValueError(f"memory: needs 0 <= memory < 1, got {self.memory}")
        if not 1 <= self.min_range_counts < kernel.NUM_COUNTS:
            raise ValueError(f"min_range_counts: needs 1..{kernel.NUM_COUNTS - 1}, got {self.min_range_counts}")
        if not 0 <= self.range_counts[0] < self.range_counts[1] < kernel.NUM_COUNTS:
            raise ValueError(f"range_counts: needs 0 <= low < high < {kernel.NUM_COUNTS}, got {list(self.range_counts)}")


def percentile_limits(counts: np.ndarray, percentiles: Limits, bins: np.ndarray) -> Limits:
    """The smallest counts that at least so many percent of the pixels do not exceed; bins: (NUM_COUNTS,) int32, overwritten."""
    kernel.distribution(counts, bins)
    low, high = (max(int(np.ceil(percent / 100 * counts.size)) - 1, 0) for percent in percentiles)
    return float(kernel.count_at(bins, low)), float(kernel.count_at(bins, high))


def widened(limits: Limits, least: float) -> Limits:
    low, high = limits
    if high - low >= least:
        return limits
    middle = (low + high) / 2
    return middle - least / 2, middle + least / 2


class Agc(Operator):
    Config, outputs = AgcConfig, {"thermal": GREY}
    tunable = ("method", "percentiles", "memory", "min_range_counts", "range_counts")
    inputs = {"thermal_raw": optional(THERMAL_RAW), "thermal": optional(GREY)}

    def open(self) -> None:
        self.bins = np.zeros(kernel.NUM_COUNTS, np.int32)
        self.limits: Limits | None = None
        self.sequence = ""
        frozen = np.zeros((0, 0), np.uint16)
        frozen.flags.writeable = False  # numba compiles per read-only flag, before the first frame
        for counts in (frozen, np.zeros((0, 0), np.uint16)):
            percentile_limits(counts, self.config.percentiles, self.bins)
            kernel.stretch(counts, 0.0, 1.0, np.empty((0, 0), np.uint8))

    def process(self, thermal_raw: np.ndarray | None = None, thermal: np.ndarray | None = None) -> np.ndarray:
        if thermal_raw is None:
            if thermal is None:
                raise FrameError(f"{self.name}: needs one of its inputs thermal_raw and thermal, got neither")
            return self.put("thermal", "image", thermal)
        counts = np.ascontiguousarray(thermal_raw)
        if self.header.sequence != self.sequence:
            self.limits, self.sequence = None, self.header.sequence
        if counts.size:
            self.limits = self._limits(counts)
        picture = self.alloc("thermal", "image", counts.shape, np.uint8)
        if self.limits is not None:
            low, high = widened(self.limits, self.config.min_range_counts if self.config.method == "percentile" else 0)
            kernel.stretch(counts, low, high, picture)
            self.describe("thermal", low_counts=low, high_counts=high)
        return picture

    def _limits(self, counts: np.ndarray) -> Limits:
        config = self.config
        if config.method == "fixed":
            return float(config.range_counts[0]), float(config.range_counts[1])
        low, high = percentile_limits(counts, config.percentiles, self.bins)
        if self.limits is None or not config.memory:
            return low, high
        kept = config.memory
        return kept * self.limits[0] + (1 - kept) * low, kept * self.limits[1] + (1 - kept) * high
