"""The connection to a sensor as a state machine: no I/O, no clock. Times are those of CLOCK_MONOTONIC [ns], from the caller.

waiting        no reading has ever come
running        readings come
stale          none for `stale_s`
lost           none for `lost_s`, or the connection has ended
reconnecting   the first new connection was tried; the state stays until a reading comes

The pause after a failed attempt doubles from the first of `retry_s` to the largest. A reading sets it back. After a silence the
next attempt has no pause: the silence was one, and a UDP port must not be closed when the sensor comes back.
"""

from __future__ import annotations

from typing import Final, Literal

State = Literal["waiting", "running", "stale", "lost", "reconnecting"]
LIVE: Final = ("running", "stale")
"""States of a connection that has delivered and is not known to have ended."""


class Link:
    """reason: why there are no readings; losses, lost_ns: how often and how long the connection was gone after a reading."""

    def __init__(self, stale_s: float, lost_s: float, retry_s: tuple[float, float], now_ns: int) -> None:
        self._stale_ns, self._lost_after_ns = round(stale_s * 1e9), round(lost_s * 1e9)
        self._first_ns, self._largest_ns = (round(s * 1e9) for s in retry_s)
        self.state: State = "waiting"
        self.reason = ""
        self.connected = False
        self.readings = self.losses = self.lost_ns = 0
        self._pause_ns = self._first_ns
        self._due_ns = now_ns
        self._quiet_since_ns = self._gone_since_ns = now_ns

    def pause_ns(self, now_ns: int) -> int:
        """Time until the next attempt to connect; 0 = now."""
        return max(0, self._due_ns - now_ns)

    def connecting(self) -> None:
        """An attempt begins."""
        if self.state == "lost":
            self.state = "reconnecting"

    def connect(self, now_ns: int) -> None:
        """The attempt has succeeded. That is no sign of life yet: a UDP socket can always be opened."""
        self.connected, self._quiet_since_ns = True, now_ns

    def read(self, now_ns: int) -> None:
        """A reading has come."""
        if self.state not in LIVE and self.readings:
            self.lost_ns += now_ns - self._gone_since_ns
        self.state, self.reason = "running", ""
        self.readings += 1
        self._pause_ns, self._quiet_since_ns = self._first_ns, now_ns

    def silent(self, now_ns: int) -> bool:
        """Nothing came until now. True if the connection counts as lost by this call: the caller disconnects."""
        quiet_ns = now_ns - self._quiet_since_ns
        if quiet_ns >= self._lost_after_ns:
            self._lose(now_ns, f"no data for {self._lost_after_ns * 1e-9:g} s")
            self._due_ns = now_ns
            return True
        if quiet_ns >= self._stale_ns and self.state == "running":
            self.state, self.reason = "stale", f"no data for {self._stale_ns * 1e-9:g} s"
        return False

    def lose(self, now_ns: int, reason: str) -> None:
        """The connection has ended, or an attempt has failed."""
        self._lose(now_ns, reason)
        self._due_ns = now_ns + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, self._largest_ns)

    def _lose(self, now_ns: int, reason: str) -> None:
        self.connected, self.reason = False, reason
        if self.state in LIVE:
            self.state = "lost"
            self.losses += 1
            self._gone_since_ns = self._quiet_since_ns

    def text(self) -> str:
        """`lost: no data for 5 s; lost 2 times, 31.2 s in all`"""
        text = f"{self.state}: {self.reason}" if self.reason else self.state
        if self.losses:
            text += f"; lost {self.losses} {'time' if self.losses == 1 else 'times'}"
            text += f", {self.lost_ns * 1e-9:.1f} s in all" if self.lost_ns else ""
        return text
