"""Frames and drops over the time of a run, from its events."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.flow.log import DROPPED, STEP, VALUES, kinds_and_indices
from pipeline.watch.history import History

MOST_BINS, LEAST_BINS, FRAMES_IN_A_BIN = 120, 12, 4
LEAST_STEP_S = 0.05


class Series:
    """add() takes the rows of `History.events()`; result() gives counts per bin.

    Times are kept as one array per kind: 16 bytes for each step and each drop of the events that are left.
    """

    def __init__(self, history: History) -> None:
        self._run = history.run
        self._steps: list[tuple[np.ndarray, np.ndarray]] = []
        self._drops: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, rows: np.ndarray) -> None:
        subjects = kinds_and_indices(rows)
        kinds = subjects & 0xFF
        steps, drops = rows[kinds == STEP], rows[kinds == DROPPED]
        if len(steps):
            self._steps.append((subjects[kinds == STEP] >> 8, steps[:, VALUES + 2]))
        if len(drops):
            self._drops.append(((drops[:, 0] >> 32) & 0xFF, drops[:, VALUES]))

    def result(self) -> dict[str, Any]:
        """n bins of step_s from from_s after the start: rates {node: counts} of sources and sinks, drops {reason: counts}.

        span_s: from the first step to the last one, None where there are fewer than two.
        """
        nodes, started = _joined(self._steps)
        reasons, dropped = _joined(self._drops)
        if not len(started):
            return {"n": 0, "span_s": None}
        begin = self._run.start.anchor_mono_ns if self._run.start is not None else self._run.time_ns
        first, last = int(started.min()), int(max(started.max(), dropped.max(initial=0)))
        shown = [node for node in self._run.nodes if node.kind in ("source", "sink")]
        frames = max(int((nodes == node.index).sum()) for node in shown)
        bins = min(MOST_BINS, max(LEAST_BINS, frames // FRAMES_IN_A_BIN))
        step_ns = max(LEAST_STEP_S * 1e9, (last - first + 1) / bins)
        n = int((last - first) / step_ns) + 1
        return {
            "n": n,
            "from_s": round((first - begin) * 1e-9, 3),
            "step_s": step_ns * 1e-9,
            "span_s": (int(started.max()) - first) * 1e-9 or None,
            "rates": {node.name: _counts(started[nodes == node.index], first, step_ns, n) for node in shown},
            "drops": {
                name: _counts(dropped[reasons == i], first, step_ns, n)
                for i, name in enumerate(self._run.reasons)
                if (reasons == i).any()
            },
        }


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *(a for a, _ in parts)]), np.concatenate([empty, *(b for _, b in parts)])


def _counts(times_ns: np.ndarray, first_ns: int, step_ns: float, n: int) -> list[int]:
    at = np.clip(((times_ns - first_ns) / step_ns).astype(np.int64), 0, n - 1)
    return [int(count) for count in np.bincount(at, minlength=n)]
