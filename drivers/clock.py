"""A sensor's clock on the host's: offset and drift, from the arrival of its messages. Pure: no I/O, no clock of its own.

A message that the sensor stamped `s` arrives at `a = offset + (1 + drift) s + delay`, with a delay that is never negative and
sometimes small. So the true line lies below all points (s, a), and close below some: the lower envelope of the delays
(Moon, Skelly and Towsley 1999, "Estimation and removal of clock skew from network delay measurements"). Each second of sensor
time gives its point of least delay; the line is the edge of the convex hull below the points that carries their middle. The
smallest delay of the path stays in the offset, as nothing tells it from the offset: microseconds on a cable.

A host that was busy sees messages late and then many at once: they lie above the line and do not move it. A clock that was set
(GPS lock, PTP takes over, reboot) is a step. It is certain if the sensor's time runs back, or forward faster than the host's. A
clock that was set back by less than the time between two messages is known after `CONFIRM_S`. A step is reported and moves the
offset only: the drift of the crystal stays.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import numpy as np

Name = Literal["sensor", "gps", "ptp", "arrival"]
"""Whose time a stamp is: the sensor's free clock through a `SensorClock`, the sensor's clock locked to GPS or PTP, or the
arrival of the data at the host. Drivers put it into the meta `clock` of their frames."""

SAYS: Final[dict[Name, str]] = {
    "sensor": "stamps by the sensor's clock",
    "gps": "stamps by GPS time",
    "ptp": "stamps by PTP time",
    "arrival": "stamps by arrival",
}
"""For `Live.note("clock", SAYS[...])`."""

BUCKET_NS = 1_000_000_000
CONFIRM_S, CONFIRM_MESSAGES = 2.0, 5
LARGEST_DELAY_S = 1.0
"""The first messages may be late by so much, as those that waited in a buffer: no step."""
LEAST_SPAN_NS = 2 * BUCKET_NS
"""With less, the jitter of a few messages would count as drift."""


class SensorClock:
    """step_ms       a deviation that is a step, not jitter or drift
    window_s      how far back the line looks
    max_ppm       largest drift of a crystal; the line's slope is held within
    on_step       called with each step [ns], positive: the sensor's clock was set forward
    steps         number of steps until now
    drift_ppm     how much faster the host's clock runs than the sensor's
    """

    def __init__(
        self,
        step_ms: float = 20.0,
        window_s: float = 60.0,
        max_ppm: float = 500.0,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        self._step_ns, self._max = step_ms * 1e6, max_ppm * 1e-6
        self._window_ns, self._on_step = int(window_s * 1e9), on_step
        self.steps, self._slope = 0, 0.0
        self._started = False
        self._sensor0 = self._arrival0 = self._newest_ns = self._host_ns = 0
        self._last = (0, 0)

    @property
    def drift_ppm(self) -> float:
        return self._slope * 1e6

    def host_ns(self, sensor_ns: int, arrival_ns: int) -> int:
        """Host time of a message that the sensor stamped `sensor_ns` and that arrived at `arrival_ns` (both int).

        Messages are given in the order of arrival. The result is at most the arrival. Of two messages, the one of the later
        sensor time gets the later host time (by 1 ns at least).
        """
        if not self._started:
            self._started = True
            self._restart(sensor_ns, arrival_ns)
        x = sensor_ns - self._sensor0
        late_ns = arrival_ns - self._at(sensor_ns)
        jump_ns = self._jump(sensor_ns, arrival_ns, late_ns)
        if jump_ns:
            self.steps += 1
            self._restart(sensor_ns, arrival_ns)
            x = late_ns = 0
            if self._on_step is not None:
                self._on_step(jump_ns)
        self._learn(x, arrival_ns - self._arrival0 - x, late_ns)
        host = min(self._at(sensor_ns), arrival_ns)
        if sensor_ns > self._newest_ns:
            host = max(host, self._host_ns + 1)
            self._newest_ns, self._host_ns = sensor_ns, host
        self._last = sensor_ns, arrival_ns
        return host

    def at(self, sensor_ns: int) -> int:
        """Host time of an instant by the sensor's clock, such as that of one point; learns nothing. After the first `host_ns`."""
        return self._at(sensor_ns)

    def _at(self, sensor_ns: int) -> int:
        """The line. Integers but for the small part: float64 does not hold today in nanoseconds."""
        x = sensor_ns - self._sensor0
        return self._arrival0 + x + round(self._slope * x + self._offset)

    def _restart(self, sensor_ns: int, arrival_ns: int) -> None:
        self._sensor0, self._arrival0, self._offset = sensor_ns, arrival_ns, 0.0
        self._newest_ns, self._host_ns = sensor_ns - 1, arrival_ns - 1
        self._last = sensor_ns, arrival_ns
        self._buckets: deque[tuple[int, int]] = deque()  # x, delay of the least delay of each second, but for the present one
        self._bucket, self._lowest = 0, (0, 0)
        self._late: tuple[int, int, int, int] | None = None  # since when by sensor and by host, messages, the least lateness

    def _jump(self, sensor_ns: int, arrival_ns: int, late_ns: int) -> int:
        """By how much the sensor's clock was set since the last message, 0 = not."""
        step = self._step_ns
        passed, arrived = sensor_ns - self._last[0], arrival_ns - self._last[1]
        jump = passed - round(arrived * (1 - self._slope))
        if passed < -step and late_ns > step:
            return jump
        if late_ns < -step:
            young = sensor_ns - self._sensor0 < CONFIRM_S * 1e9 and late_ns > -LARGEST_DELAY_S * 1e9
            return 0 if young else jump
        if late_ns <= step:
            self._late = None
            return 0
        if self._late is None:
            # A lateness that grows slowly is no step, but for one that no path has: no crystal runs so slowly.
            if passed < arrived - step or late_ns > LARGEST_DELAY_S * 1e9:
                self._late = sensor_ns, arrival_ns, 1, late_ns
            return 0
        sensor_since, arrival_since, count, least = self._late
        self._late = sensor_since, arrival_since, count + 1, min(least, late_ns)
        lasted_ns = min(sensor_ns - sensor_since, arrival_ns - arrival_since)  # a backlog comes at once by the host's clock
        return -min(least, late_ns) if lasted_ns >= CONFIRM_S * 1e9 and count >= CONFIRM_MESSAGES else 0

    def _learn(self, x: int, delay: int, late_ns: int) -> None:
        """A point of the envelope: `delay` is offset + drift x + the delay of the path."""
        bucket = x // BUCKET_NS
        if bucket == self._bucket:
            if late_ns < 0 or delay - self._slope * x < self._lowest[1] - self._slope * self._lowest[0]:
                self._lowest = (x, delay)
        elif bucket > self._bucket:
            self._buckets.append(self._lowest)
            self._bucket, self._lowest = bucket, (x, delay)
            while self._buckets[0][0] < x - self._window_ns and len(self._buckets) > 1:
                self._buckets.popleft()
            self._fit()
        if late_ns < 0:  # below the line: the offset was too large, as at the start
            self._offset += late_ns

    def _fit(self) -> None:
        points = np.array(self._buckets, np.float64)
        slope = self._slope
        if points[-1, 0] - points[0, 0] >= LEAST_SPAN_NS:
            slope = float(np.clip(_slope_below(points), -self._max, self._max))
        self._slope, self._offset = slope, float(np.min(points[:, 1] - slope * points[:, 0]))


def _slope_below(points: np.ndarray) -> float:
    """points (N, 2) float64 with growing x, N >= 2 -> slope of the line below all of them that is nearest to them in sum: the
    edge of their lower convex hull that carries the mean of x."""
    hull: list[tuple[float, float]] = []
    for x, y in points.tolist():
        while len(hull) > 1 and _is_above(hull[-1], hull[-2], (x, y)):
            hull.pop()
        hull.append((x, y))
    end = bisect_left([x for x, _ in hull], float(points[:, 0].mean()))
    (x0, y0), (x1, y1) = hull[max(end, 1) - 1], hull[max(end, 1)]
    return (y1 - y0) / (x1 - x0)


def _is_above(middle: tuple[float, float], left: tuple[float, float], right: tuple[float, float]) -> bool:
    """Is the middle point on or above the line through the others?"""
    return (middle[1] - left[1]) * (right[0] - left[0]) >= (right[1] - left[1]) * (middle[0] - left[0])
