"""The graph clock: host time for live sensors, the replay position for files played at a rate, no clock at `max`."""

from __future__ import annotations

from time import monotonic_ns, time_ns


class Clock:
    """Started once, when all nodes are ready."""

    def __init__(self) -> None:
        self.anchor_mono_ns = 0
        self.anchor_stamp_ns: int | None = None
        self.rate: float | None = None
        self.live = False

    def start(self, anchor_mono_ns: int, anchor_stamp_ns: int | None, rate: float | None, live: bool) -> None:
        self.anchor_mono_ns, self.anchor_stamp_ns, self.rate, self.live = anchor_mono_ns, anchor_stamp_ns, rate, live

    def stamp_now(self) -> int | None:
        """The stamp of a frame captured now; None if stamps and clock are unrelated."""
        if self.rate is None:
            return time_ns() if self.live else None
        if self.anchor_stamp_ns is None:
            return None
        return self.anchor_stamp_ns + int((monotonic_ns() - self.anchor_mono_ns) * self.rate)

    def due_mono_ns(self, stamp_ns: int) -> int | None:
        """When (CLOCK_MONOTONIC) a frame of this stamp is to be emitted; None = at once."""
        if self.rate is None or self.anchor_stamp_ns is None:
            return None
        return self.anchor_mono_ns + int((stamp_ns - self.anchor_stamp_ns) / self.rate)

    def too_old(self, stamp_ns: int, max_age_ns: int | None) -> bool:
        """Is a frame of this stamp older than its reader allows? Only in live runs; offline the clock decides nothing."""
        if max_age_ns is None or not self.live:
            return False
        now = self.stamp_now()
        return now is not None and now - stamp_ns > max_age_ns
