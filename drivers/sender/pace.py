"""When to send: at deadlines from one beginning, so that a late item delays none after it and the rate never drifts."""

from __future__ import annotations

import time


class Pace:
    """late_s: the most that an item was behind its deadline."""

    def __init__(self) -> None:
        self._began: float | None = None
        self.late_s = 0.0

    def wait(self, due_s: float) -> None:
        """Returns when `due_s` have passed since the first call."""
        now = time.monotonic()
        if self._began is None:
            self._began = now - due_s
        left_s = self._began + due_s - now
        if left_s > 0:
            time.sleep(left_s)
        else:
            self.late_s = max(self.late_s, -left_s)
