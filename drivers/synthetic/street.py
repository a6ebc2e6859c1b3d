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
from typing import Literal, NamedTuple

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


class _Place(NamedTuple):
    """An occupied place of a row. along_m: at time 0; thing: if it stands, the same in every frame."""

    u: tuple[float, ...]
    k: int
    along_m: float
    wander_m: float
    own_yaw: float
    track_id: int
    room_m: float
    thing: Thing | None


class _Window(NamedTuple):
    """Places of a row, None if free; in their order."""

    ks: range
    js: range
    places: dict[tuple[int, int], _Place | None]
    occupied: list[_Place]


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
    _kept: dict[int, _Window] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By row: what of the last call does not depend on time."""

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
        for number, row in enumerate(self.rows):
            numbers = self._along(row, t_s, ego_x, range_m) if row.axis == "x" else self._across(row, t_s, ego_x, range_m)
            for place in self._places(number, row, *numbers):
                thing = place.thing or self._thing(row, place, t_s)
                if thing is not None and math.hypot(thing.x - ego_x, thing.y - ego_y) <= range_m:
                    yield thing

    def _along(self, row: Row, t_s: float, ego_x: float, range_m: float) -> tuple[range, range]:
        """Junctions k (only 0) and numbers j of the places that may be within range."""
        if abs(row.offset_m) > range_m:
            return range(0), range(0)
        reach = math.sqrt(range_m**2 - row.offset_m**2) + self.swing_m
        centre = (ego_x - row.speed_mps * t_s) / row.spacing_m
        count = reach / row.spacing_m + 1
        return range(1), range(math.floor(centre - count), math.ceil(centre + count) + 1)

    def _across(self, row: Row, t_s: float, ego_x: float, range_m: float) -> tuple[range, range]:
        """As `_along`; rows across repeat at every junction k."""
        centre, reach = ego_x / self.junctions[0], range_m / self.junctions[0] + 1
        places = int((min(row.last, range_m + 20) - max(row.first, -range_m - 20)) / row.spacing_m) + 2
        start = math.floor((max(row.first, -range_m - 20) - row.speed_mps * t_s) / row.spacing_m)
        return range(math.floor(centre - reach), math.ceil(centre + reach) + 1), range(start, start + places)

    def _places(self, number: int, row: Row, ks: range, js: range) -> list[_Place]:
        """The occupied places of a row."""
        window = self._kept.get(number)
        if window is None or window.ks != ks or window.js != js:
            before = {} if window is None else window.places
            places = {(k, j): before[k, j] if (k, j) in before else self._place(number, row, k, j) for k in ks for j in js}
            occupied = [place for place in places.values() if place is not None]
            window = self._kept[number] = _Window(ks, js, places, occupied)
        return window.occupied

    def _place(self, number: int, row: Row, k: int, j: int) -> _Place | None:
        """None: free in every frame."""
        numbered = natural(_PER_JUNCTION * k + j)
        u = eight(self.seed, self.drive, number, numbered)
        if u[0] >= row.occupancy:
            return None
        along = (j + 0.5 + row.jitter * (u[1] - 0.5)) * row.spacing_m
        track_id = number + len(self.rows) * numbered
        place = _Place(u, k, along, row.wander_m * (2 * u[2] - 1), self._own_yaw(row, u), track_id, row.room_m, None)
        if row.speed_mps != 0:
            return place
        thing = self._thing(row, place, 0.0)
        return None if thing is None else place._replace(thing=thing)

    def _thing(self, row: Row, place: _Place, t_s: float) -> Thing | None:
        (distance, half), speed = self.junctions, row.speed_mps
        along, turn = place.along_m + speed * t_s, math.pi if speed < 0 else 0.0
        if row.axis == "x":
            x, y = along, row.offset_m + place.wander_m + self.bend(along)
            stands = speed == 0 and not row.through
            if stands and self._in_junction(x, distance, half + 0.5 * _FOOTPRINT_M.get(row.kind, 1.0)):
                return None
            slope = self.slope(x)
            ahead, velocity = math.atan(slope), (speed, speed * slope)
        else:
            x = (place.k + 0.5) * distance + row.offset_m + place.wander_m
            y = along + self.bend(x)
            if not row.first <= along <= row.last:
                return None
            ahead, velocity = math.pi / 2, (0.0, speed)
        yaw = ahead + row.yaw + turn + place.own_yaw
        travelled_m = abs(speed) * t_s
        return Thing(row.kind, place.track_id, x, y, yaw, speed, travelled_m, place.u, velocity, place.room_m)

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
