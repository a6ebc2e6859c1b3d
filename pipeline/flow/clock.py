"""The graph clock: host time for live sensors, the replay position for files played at a rate, no clock at `max`."""

from __future__ import annotations

from time import monotonic_ns, time_ns

SET_BACK_NS, NEAR_NS = 50_000_000, 60_000_000_000
"""A clock that is behind by more was set; a stamp this near to the machine's clock was taken from it."""


class Clock:
    """Started once, when all nodes are ready. It never runs back, also when somebody sets the machine's clock back."""

    def __init__(self) -> None:
        self.anchor_mono_ns = 0
        self.anchor_stamp_ns: int | None = None
        self.rate: float | None = None
        self.live = False
        self._wall_ns = 0

    def start(
        self, anchor_mono_ns: int, anchor_stamp_ns: int | None, rate: float | None, live: bool, wall_ns: int | None = None
    ) -> None:
        """wall_ns: `wall_offset()` when the run started, which is the same in all processes and their successors."""
        self.anchor_mono_ns, self.anchor_stamp_ns, self.rate, self.live = anchor_mono_ns, anchor_stamp_ns, rate, live
        self._wall_ns = wall_offset() if wall_ns is None else wall_ns

    def stamp_now(self) -> int | None:
        """The stamp of a frame captured now; None if stamps and clock are unrelated."""
        if self.rate is None:
            return self._wall() + monotonic_ns() if self.live else None
        if self.anchor_stamp_ns is None:
            return None
        return self.anchor_stamp_ns + int((monotonic_ns() - self.anchor_mono_ns) * self.rate)

    def steady(self, stamp_ns: int) -> int:
        """The stamp of a live sensor: if it comes from the machine's clock, and that was set back, as if it had not been."""
        now = wall_offset()
        back_ns = self._wall() - now
        if back_ns > SET_BACK_NS and abs(stamp_ns - now - monotonic_ns()) < NEAR_NS:
            return stamp_ns + back_ns
        return stamp_ns

    def _wall(self) -> int:
        self._wall_ns = max(self._wall_ns, wall_offset())
        return self._wall_ns

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


def wall_offset() -> int:
    """The machine's clock minus CLOCK_MONOTONIC, which nobody can set. Never too large, whenever the thread is interrupted."""
    return time_ns() - monotonic_ns()
