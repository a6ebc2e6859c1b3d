"""An endless street and everything on it as a function of time: no state, so any frame can be computed first.

Street frame: x along the street, y to the left, z up, origin on the road where the ego starts; the street winds in y and
rises and falls in z. Everything stands in rows. A row is a conveyor: place j is at (j + 1/2 + jitter) * spacing + speed * t
along its axis, j any integer. All things in a row have the same speed, so they never collide. The thing at a place
is a function of (seed, drive, row, j). Each drive is another street.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.kernels.chance import eight
from operators.streams import CLASSES

CAR, PEDESTRIAN, CYCLIST, VAN, TRUCK = (CLASSES.index(name) for name in ("Car", "Pedestrian", "Cyclist", "Van", "Truck"))

Style = Literal["street", "plaza", "road"]
STYLES: tuple[Style, ...] = ("street", "plaza", "road")

SENSOR_HEIGHT_M = 1.73
SEGMENT_M = 8.0  # the ground is flat between two multiples of it


@dataclass(frozen=True, slots=True)
class Row:
    """kind      the things in it: "vehicles", "pedestrians", "cyclists", "car_like" stationary vehicles, "strays" stationary
                 vehicles at any angle, or scenery
    offset_m     of the row, across its axis: to the left for axis x; the x coordinate for axis y
    speed_mps    along the axis
    spacing_m    distance between places
    occupancy    share of occupied places
    yaw          of the things, relative to the axis; reversed if the speed is negative
    wander_m     largest distance of things to the line of the row
    axis         "x" along the street, "y" across it
    first, last  ends of the row along its axis [m]
    loose        largest shift of a place, in spacings: small in rows that walk side by side
    through      also at junctions, where other stationary rows have gaps
    """

    kind: str
    offset_m: float
    speed_mps: float
    spacing_m: float
    occupancy: float
    yaw: float = 0.0
    wander_m: float = 0.0
    axis: Literal["x", "y"] = "x"
    first: float = -math.inf
    last: float = math.inf
    loose: float = 0.3
    through: bool = False

    @property
    def jitter(self) -> float:
        """Largest shift of a place, in spacings, at which neighbours cannot touch."""
        length = _LENGTH_M.get(self.kind, 0.5)
        if self._abreast:
            length = _ABREAST_M / abs(math.sin(self.yaw))
        return min(self.loose, max(0.0, self.spacing_m - length) / self.spacing_m)

    @property
    def room_m(self) -> float:
        """Length of a body at which neighbours cannot touch."""
        return math.inf if self._abreast else self.spacing_m * (1 - self.jitter)

    @property
    def _abreast(self) -> bool:
        return self.kind == "car_like" and abs(math.sin(self.yaw)) > 0.5


@dataclass(frozen=True, slots=True)
class Thing:
    """Position (street frame: x, y on the winding street, heading), and eight numbers u that select its body.

    velocity  x, y in the street frame [m/s]
    room_m    longest body that has place here
    """

    kind: str
    track_id: int
    x: float
    y: float
    yaw: float
    speed_mps: float
    travelled_m: float
    u: tuple[float, ...]
    velocity: tuple[float, float]
    room_m: float


@dataclass(frozen=True, slots=True)
class Ground:
    """Cross-section: y [m] from right to left, height above the road [m], and the material of each strip between two."""

    y: tuple[float, ...]
    z: tuple[float, ...]
    materials: tuple[str, ...]


@dataclass(frozen=True)
class Street:
    seed: int
    drive: int
    style: Style
    ego_speed_mps: float
    ego_tilt: tuple[float, float]  # pitch, roll of the sensor's mount [rad]
    swing_m: float
    bend_m: float
    hills: tuple[tuple[float, float, float], ...]  # amplitude [m], length [m], phase
    rows: tuple[Row, ...]
    ground: Ground
    lane_marks: tuple[float, ...]
    junctions: tuple[float, float]  # distance, half width [m]
    sun: tuple[float, float]  # azimuth, elevation [rad]
    _standing: dict[tuple[int, int], Thing | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What stands at a place of a stationary row, None for a free place: the same in every frame."""

    def bend(self, x: float) -> float:
        return self.swing_m * math.sin(2 * math.pi * x / self.bend_m)

    def slope(self, x: float) -> float:
        """dy/dx of the winding."""
        return self.swing_m * 2 * math.pi / self.bend_m * math.cos(2 * math.pi * x / self.bend_m)

    def hill(self, x: float) -> float:
        return sum(a * (math.sin(2 * math.pi * x / length + phase) - math.sin(phase)) for a, length, phase in self.hills)

    def surface(self, x: float, y_road: float) -> float:
        """Height of the ground: piecewise linear along x, as drawn; y_road is relative to the middle of the ego's lane."""
        return self.rise(x) + self.level(y_road)

    def rise(self, x: float) -> float:
        """Height of the road."""
        k = math.floor(x / SEGMENT_M)
        share = x / SEGMENT_M - k
        return (1 - share) * self.hill(k * SEGMENT_M) + share * self.hill((k + 1) * SEGMENT_M)

    def level(self, y_road: float) -> float:
        """Height of the ground above the road."""
        return float(np.interp(y_road, self.ground.y, self.ground.z))

    def ego(self, t_s: float) -> tuple[float, float, float, float, float]:
        """x, y, z of the sensor [m], yaw, pitch [rad] (nose down is positive) in the street frame."""
        x = self.ego_speed_mps * t_s
        ahead, behind = self.hill(x + 1.4), self.hill(x - 1.4)
        return (
            x,
            self.bend(x),
            (ahead + behind) / 2 + SENSOR_HEIGHT_M,
            math.atan(self.slope(x)),
            -math.atan((ahead - behind) / 2.8),
        )

    def things(self, t_s: float, range_m: float) -> Iterator[Thing]:
        """All things within range of the ego, in a fixed order. What stands is the same object each time."""
        ego_x, ego_y, *_ = self.ego(t_s)
        standing = self._standing
        if len(standing) > _MOST_STANDING:
            standing.clear()
        for number, row in enumerate(self.rows):
            places = self._along(row, t_s, ego_x, range_m) if row.axis == "x" else self._across(row, t_s, ego_x, range_m)
            for k, j in places:
                place = number, _PER_JUNCTION * k + j
                if place in standing:
                    thing = standing[place]
                else:
                    thing = self._thing(number, row, k, j, t_s)
                    if row.speed_mps == 0:
                        standing[place] = thing
                if thing is not None and math.hypot(thing.x - ego_x, thing.y - ego_y) <= range_m:
                    yield thing

    def _along(self, row: Row, t_s: float, ego_x: float, range_m: float) -> Iterator[tuple[int, int]]:
        """(0, j) of the places that may be within range."""
        if abs(row.offset_m) > range_m:
            return
        reach = math.sqrt(range_m**2 - row.offset_m**2) + self.swing_m
        centre = (ego_x - row.speed_mps * t_s) / row.spacing_m
        count = reach / row.spacing_m + 1
        for j in range(math.floor(centre - count), math.ceil(centre + count) + 1):
            yield 0, j

    def _across(self, row: Row, t_s: float, ego_x: float, range_m: float) -> Iterator[tuple[int, int]]:
        """(k, j): rows across repeat at every junction k."""
        centre, reach = ego_x / self.junctions[0], range_m / self.junctions[0] + 1
        places = int((min(row.last, range_m + 20) - max(row.first, -range_m - 20)) / row.spacing_m) + 2
        start = math.floor((max(row.first, -range_m - 20) - row.speed_mps * t_s) / row.spacing_m)
        for k in range(math.floor(centre - reach), math.ceil(centre + reach) + 1):
            for j in range(start, start + places):
                yield k, j

    def _thing(self, number: int, row: Row, k: int, j: int, t_s: float) -> Thing | None:
        place = natural(_PER_JUNCTION * k + j)
        u = eight(self.seed, self.drive, number, place)
        if u[0] >= row.occupancy:
            return None
        (distance, half), speed = self.junctions, row.speed_mps
        along = (j + 0.5 + row.jitter * (u[1] - 0.5)) * row.spacing_m + speed * t_s
        wander, turn = row.wander_m * (2 * u[2] - 1), math.pi if speed < 0 else 0.0
        if row.axis == "x":
            x, y = along, row.offset_m + wander + self.bend(along)
            stands = speed == 0 and not row.through
            if stands and self._in_junction(x, distance, half + 0.5 * _FOOTPRINT_M.get(row.kind, 1.0)):
                return None
            slope = self.slope(x)
            ahead, velocity = math.atan(slope), (speed, speed * slope)
        else:
            x = (k + 0.5) * distance + row.offset_m + wander
            y = along + self.bend(x)
            if not row.first <= along <= row.last:
                return None
            ahead, velocity = math.pi / 2, (0.0, speed)
        yaw = ahead + row.yaw + turn + self._own_yaw(row, u)
        track_id = number + len(self.rows) * place
        return Thing(row.kind, track_id, x, y, yaw, speed, abs(speed) * t_s, u, velocity, row.room_m)

    @staticmethod
    def _own_yaw(row: Row, u: tuple[float, ...]) -> float:
        if row.kind == "pedestrians":
            return 2 * math.pi * u[3] if row.speed_mps == 0 else 0.5 * (u[3] - 0.5)
        if row.kind == "strays":
            return 2 * math.pi * u[3]
        if row.kind == "car_like":
            return 0.14 * (u[3] - 0.5) + (math.pi if u[4] < 0.35 else 0.0)
        if row.kind in ("vehicles", "cyclists"):
            return 0.06 * (u[3] - 0.5)
        return 0.0

    @staticmethod
    def _in_junction(x: float, distance: float, half: float) -> bool:
        return abs(x - (math.floor(x / distance) + 0.5) * distance) < half


_PER_JUNCTION = 4096  # numbers for the places of a row across at one junction
_MOST_STANDING = 1 << 15  # places remembered; a street has no end
_ABREAST_M = 2.4  # what a vehicle needs beside another one
_LENGTH_M = {
    "vehicles": 5.8,
    "car_like": 5.0,
    "strays": 5.8,
    "cyclists": 1.9,
    "pedestrians": 0.9,
    "houses": 14.5,
    "trams": 14.4,
    "hedges": 8.0,
    "walls": 8.0,
    "fences": 8.2,
}
_FOOTPRINT_M = {"houses": 14.0, "trams": 0.0, "hedges": 8.0, "walls": 8.0, "fences": 8.0, "car_like": 5.0, "strays": 5.0}


def natural(j: int) -> int:
    """0, -1, 1, -2, .. -> 0, 1, 2, 3, .."""
    return 2 * j if j >= 0 else -2 * j - 1
