"""Is the picture frozen? While its shutter is closed for a flat-field correction, a thermal camera repeats the last picture.

Two real pictures never have equal counts everywhere: each pixel has noise of several counts. Some cameras send each picture
two or three times to reach a rate; `after` is above that.
"""

from __future__ import annotations

import numpy as np


class Freeze:
    """after: so many equal pictures in a row are a freeze; freezes: how many there were; longest_s: of them."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._last: np.ndarray | None = None
        self._equal, self._since_ns = 0, 0
        self.freezes, self.longest_s = 0, 0.0

    def seen(self, counts: np.ndarray, stamp_ns: int) -> int:
        """0, or how many pictures in a row are equal to this one, itself included, if that is a freeze."""
        if self._last is not None and np.array_equal(self._last, counts):
            self._equal += 1
        else:
            self._last, self._equal, self._since_ns = counts.copy(), 1, stamp_ns
        if self._equal < self._after:
            return 0
        self.freezes += self._equal == self._after
        self.longest_s = max(self.longest_s, (stamp_ns - self._since_ns) * 1e-9)
        return self._equal
