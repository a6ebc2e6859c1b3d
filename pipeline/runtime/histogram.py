"""Percentiles of any number of durations in fixed memory: logarithmic bins, 1.8 % wide, 100 ns to 1000 s."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

_LOW_NS = 100.0
_PER_DECADE = 128
_BINS = 10 * _PER_DECADE + 2
_QUANTILE = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class Histogram:
    """Counts durations [ns]; a percentile is exact to half a bin (0.9 %)."""

    __slots__ = ("bins", "count")

    def __init__(self) -> None:
        self.bins = np.zeros(_BINS, np.int64)
        self.count = 0

    def add(self, ns: np.ndarray) -> None:
        if len(ns) == 0:
            return
        at = np.log10(np.maximum(ns, 1) / _LOW_NS) * _PER_DECADE
        self.bins += np.bincount(np.clip(at.astype(np.int64) + 1, 0, _BINS - 1), minlength=_BINS)
        self.count += len(ns)

    def sparse(self) -> list[list[int]]:
        """[[index of a bin, count], ...] of the bins that are not empty."""
        at = np.flatnonzero(self.bins)
        made: list[list[int]] = np.column_stack((at, self.bins[at])).tolist()
        return made

    @classmethod
    def from_sparse(cls, bins: Iterable[Sequence[int]], before: Iterable[Sequence[int]] = ()) -> Histogram:
        """The inverse of `sparse`; `before` is subtracted: what was added between two snapshots. Raises ValueError."""
        made = cls()
        for sign, part in ((1, bins), (-1, before)):
            for index, count in part:
                if not 0 <= index < _BINS:
                    raise ValueError(f"a bin of a histogram: needs 0 .. {_BINS - 1}, got {index}")
                made.bins[index] += sign * count
        made.count = int(made.bins.sum())
        return made

    def quantile(self, q: float) -> float | None:
        """[ns], None while empty."""
        if self.count == 0:
            return None
        index = int(np.searchsorted(np.cumsum(self.bins), max(1.0, np.ceil(q * self.count))))
        return float(_LOW_NS * 10 ** ((index - 0.5) / _PER_DECADE)) if index else _LOW_NS

    def percentiles(self, unit_ns: float, names: tuple[str, ...]) -> dict[str, float | None]:
        """{"p50": ...} in units of `unit_ns` nanoseconds."""
        out: dict[str, float | None] = {}
        for name in names:
            value = self.quantile(_QUANTILE[name])
            out[name] = None if value is None else round(value / unit_ns, 4)
        return out

    def upto(self, bounds_ns: np.ndarray) -> list[int]:
        """Durations up to each bound, to half a bin."""
        bins = np.rint(np.log10(bounds_ns / _LOW_NS) * _PER_DECADE).astype(np.int64)
        return [int(n) for n in np.cumsum(self.bins)[np.clip(bins, 0, _BINS - 1)]]

    def sum_ns(self) -> float:
        """Sum of all durations, each taken as the middle of its bin."""
        at = np.flatnonzero(self.bins)
        return float(self.bins[at] @ (_LOW_NS * 10 ** (np.maximum(at - 0.5, 0) / _PER_DECADE)))
