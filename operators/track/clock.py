"""Number of frame periods between two frames, from their stamps alone."""

from __future__ import annotations

from collections import deque

NEW_RECORDING = 0


class FrameClock:
    """Counts whole periods. rate_hz None: the period is the median of the last intervals within this recording.

    The first interval of a recording then counts as one period, whatever its length.
    """

    def __init__(self, rate_hz: float | None, max_gap: int) -> None:
        self.period_ns = 1e9 / rate_hz if rate_hz else None
        self.max_gap = max_gap
        self.sequence: str | None = None
        self.stamp_ns = 0
        self.intervals: deque[int] = deque(maxlen=15)

    def tick(self, sequence: str, stamp_ns: int) -> int:
        """Periods since the last frame, at least 1; NEW_RECORDING after a change of sequence, a stamp that goes back, a gap
        above max_gap periods."""
        interval = stamp_ns - self.stamp_ns
        same, self.sequence, self.stamp_ns = sequence == self.sequence, sequence, stamp_ns
        if not same or interval < 0:
            self.intervals.clear()
            return NEW_RECORDING
        period = self.period_ns or (sorted(self.intervals)[(len(self.intervals) - 1) // 2] if self.intervals else interval)
        steps = max(1, round(interval / period)) if period else 1
        if steps > self.max_gap:
            return NEW_RECORDING
        if interval:
            self.intervals.append(interval)
        return steps
