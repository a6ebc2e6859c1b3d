"""An endless road and its road users as a function of time: no state, so any frame can be computed first.

Road frame: x along the road, y to the left, z up, origin on the ground where the ego starts; the road winds gently in y.
Every lane is a conveyor: objects at `(j + 1/2 + jitter) * spacing + speed * t`, j any integer. All objects of a lane have
the same speed, so they never collide. Traits of object j come from a generator keyed by (seed, lane, j).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from operators.streams import CLASSES

CAR, PEDESTRIAN, CYCLIST = (CLASSES.index(name) for name in ("Car", "Pedestrian", "Cyclist"))
SENSOR_HEIGHT_M = 1.73
SIZES_M = {CAR: (4.2, 1.8, 1.5), PEDESTRIAN: (0.8, 0.6, 1.75), CYCLIST: (1.8, 0.6, 1.75)}
"""label -> typical l, w, h."""
MIN_SPACING_M = {CAR: 8.0, PEDESTRIAN: 2.5, CYCLIST: 4.0}

_SWING_M, _BEND_M = 5.0, 220.0  # the road's y = swing * sin(2 pi x / bend)
_WEAVE = {CAR: (0.25, 60.0), PEDESTRIAN: (0.3, 12.0), CYCLIST: (0.3, 25.0)}  # label -> largest sway [m], its length [m]
_JUNCTION_M, _TURN_LANE_M, _TURN_RADIUS_M, _TURN_SPEED_MPS = 80.0, -9.5, 8.0, 7.0
_TURN_AHEAD_M = 30.0  # distance of the ego to a junction when a car starts to turn there
_TURNERS = 0  # ids: lane number of the turning cars, the conveyors follow


@dataclass(frozen=True, slots=True)
class Lane:
    """offset [m] to the left of the ego's lane, speed [m/s] along +x, distance of its objects [m]."""

    label: int
    offset_m: float
    speed_mps: float
    spacing_m: float


@dataclass(frozen=True, slots=True)
class Thing:
    """One object at one instant: position of its centre on the ground and heading in the road frame, size [m]."""

    track_id: int
    label: int
    x: float
    y: float
    yaw: float
    size: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Road:
    seed: int
    ego_speed_mps: float
    range_m: float  # sensor range of the ego
    lanes: tuple[Lane, ...]

    def ego(self, t_s: float) -> tuple[float, float, float]:
        """x, y [m], yaw [rad] in the road frame."""
        x = self.ego_speed_mps * t_s
        return x, _bend(x), math.atan(_slope(x))

    def things(self, t_s: float) -> Iterator[Thing]:
        """All objects within range of the ego, in a fixed order."""
        ego_x, ego_y, _ = self.ego(t_s)
        for thing in (*self._turning(t_s, ego_x), *self._driving(t_s, ego_x)):
            if math.hypot(thing.x - ego_x, thing.y - ego_y) <= self.range_m:
                yield thing

    def _driving(self, t_s: float, ego_x: float) -> Iterator[Thing]:
        for number, lane in enumerate(self.lanes, _TURNERS + 1):
            centre = (ego_x - lane.speed_mps * t_s) / lane.spacing_m
            reach = self.range_m / lane.spacing_m + 1
            for j in range(math.floor(centre - reach), math.ceil(centre + reach) + 1):
                u = _traits(self.seed, number, j)
                x = (j + 0.5 + 0.4 * (u[0] - 0.5)) * lane.spacing_m + lane.speed_mps * t_s
                sway_m, length_m = _WEAVE[lane.label]
                phase = 2 * math.pi * (lane.speed_mps * t_s / length_m + u[1])
                sway_m *= u[2] if lane.speed_mps else 0.0
                dy_dx = sway_m * 2 * math.pi / length_m * math.cos(phase)
                yield self._thing(
                    number, j, lane.label, x, lane.offset_m + sway_m * math.sin(phase), lane.speed_mps or 1.0, dy_dx, u
                )

    def _turning(self, t_s: float, ego_x: float) -> Iterator[Thing]:
        """A car at every junction: out of the side street, a quarter circle to the right, then along its own lane."""
        if self.ego_speed_mps <= 0 or not any(lane.label == CAR for lane in self.lanes):
            return
        centre, reach = ego_x / _JUNCTION_M, 2 * self.range_m / _JUNCTION_M + 1
        for k in range(math.floor(centre - reach), math.ceil(centre + reach) + 1):
            junction_x = (k + 0.5) * _JUNCTION_M
            s = _TURN_SPEED_MPS * (t_s - (junction_x - _TURN_AHEAD_M) / self.ego_speed_mps)  # driven since the turn began
            angle = min(max(s / _TURN_RADIUS_M, 0.0), math.pi / 2)
            x = junction_x - _TURN_RADIUS_M * math.cos(angle) + max(s - _TURN_RADIUS_M * math.pi / 2, 0.0)
            y = _TURN_LANE_M - _TURN_RADIUS_M * (1 - math.sin(angle)) + min(s, 0.0)
            yield self._thing(_TURNERS, k, CAR, x, y, math.sin(angle), 0.0, _traits(self.seed, _TURNERS, k), math.cos(angle))

    def _thing(
        self,
        lane: int,
        j: int,
        label: int,
        x: float,
        y: float,
        along: float,
        dy_dx: float,
        u: tuple[float, ...],
        across: float = 0.0,
    ) -> Thing:
        """Maps a position on the straight road to the winding road. Heading: `along` x, plus `across` y."""
        heading = math.atan2(across + (dy_dx + _slope(x)) * along, along)
        length, width, height = SIZES_M[label]
        size = (length * (0.9 + 0.2 * u[3]), width * (0.95 + 0.1 * u[4]), height * (0.95 + 0.1 * u[5]))
        return Thing(lane + (len(self.lanes) + 1) * _natural(j), label, x, y + _bend(x), heading, size)


def make_road(seed: int, ego_speed_mps: float, range_m: float, cars: int, pedestrians: int, cyclists: int) -> Road:
    """A road with about the given number of each class within range."""
    layout = [  # right of the ego: parked cars, sidewalk, (turning cars); left: faster cars, oncoming ones, cyclists, sidewalk
        (CAR, cars, ((0.0, ego_speed_mps), (3.5, ego_speed_mps + 4), (7.0, -8.0), (10.5, -11.0), (-3.0, 0.0))),
        (PEDESTRIAN, pedestrians, ((-5.6, 1.3), (-6.8, -1.1), (15.0, 1.5))),
        (CYCLIST, cyclists, ((13.0, 3.0), (17.0, -4.5))),
    ]
    lanes = []
    for label, count, rows in layout:
        for offset_m, speed_mps in rows if count else ():
            lanes.append(Lane(label, offset_m, speed_mps, spacing_m(count, len(rows), range_m)))
    return Road(seed, ego_speed_mps, range_m, tuple(lanes))


def spacing_m(count: int, num_lanes: int, range_m: float) -> float:
    return 2 * range_m * num_lanes / count


def _bend(x: float) -> float:
    return _SWING_M * math.sin(2 * math.pi * x / _BEND_M)


def _slope(x: float) -> float:
    return _SWING_M * 2 * math.pi / _BEND_M * math.cos(2 * math.pi * x / _BEND_M)


def _natural(j: int) -> int:
    """0, -1, 1, -2, .. -> 0, 1, 2, 3, .."""
    return 2 * j if j >= 0 else -2 * j - 1


@lru_cache(maxsize=4096)
def _traits(seed: int, lane: int, j: int) -> tuple[float, ...]:
    """Six numbers in [0, 1): the permanent traits of object j of a lane."""
    return tuple(np.random.Generator(np.random.PCG64([seed, lane, _natural(j)])).random(6).tolist())
