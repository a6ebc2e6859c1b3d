"""One instant of a street as triangles: bodies and scenery at their places, in the sensor's frame.

Everything is in the velodyne frame of that instant [m]; this file does not depend on the kind of sensor.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from drivers.synthetic import furniture, ground, materials, scenery, shapes
from drivers.synthetic.mesh import Mesh, join
from drivers.synthetic.shapes import Body, Family
from drivers.synthetic.street import CAR, CYCLIST, PEDESTRIAN, TRUCK, VAN, Street, Thing
from operators.geometry.transforms import invert, rigid, rotation_z
from operators.kernels import raster
from operators.kernels.place import Library, Pieces, Surfaces, place, spread

NUM_BODIES = {CAR: 600, VAN: 200, TRUCK: 60, PEDESTRIAN: 240, CYCLIST: 160}
"""Bodies of each kind in each family."""
PHASES = 6
"""Poses of a stride, or of a turn of the pedals."""
FIRST_PLACED_ID = 1 << 40
_FIRST_CARRIED = 1 << 41
KEYS_PER_PIECE = 1 << 14
_MOST_STANDING = 1 << 14  # things remembered; a street has no end
_TRIES = 4  # bodies tried for a place
_MARGIN_M = (0.06, 0.06, 0.03)  # annotators include the scattered points of the surface
_NUM_SCENERY = 96
_CARRIES = 0.12  # share of pedestrians who push or draw something, or walk a bicycle
_STRIDE_M, _PEDALS_M = 1.5, 5.0
_SCENERY_LENGTH_M = {"hedges": 7.8, "walls": 8.0, "fences": 8.2}


_CLOSED = np.where(materials.CLOSED, raster.CLOSED, 0).astype(np.int32)


class Objects(NamedTuple):
    """The labelled objects. boxes3d (M, 7) float64; labels (M,) int32; track_ids (M,) int64; velocities (M, 3) float64 [m/s]."""

    boxes3d: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    velocities: np.ndarray


class Scene(NamedTuple):
    """triangles (T, 3, 3) float64; materials (T,) int32; colors (T, 3) float32; owners (T,) int64 index into the objects or
    -1; reflectance (T,) float32; keys (T,) int64 unique per triangle, independent of the rest of the scene;
    ego_velocity (3,) [m/s], ego_yaw_rate [rad/s]. The next scene of the same stage overwrites the triangles."""

    triangles: np.ndarray
    materials: np.ndarray
    colors: np.ndarray
    owners: np.ndarray
    reflectance: np.ndarray
    keys: np.ndarray
    objects: Objects
    T_street_velo: np.ndarray
    ego_velocity: np.ndarray
    ego_yaw_rate: float

    @property
    def closed(self) -> np.ndarray:
        """(T,) int32 materials with raster.CLOSED."""
        return self.materials | _CLOSED[self.materials]


class Placed(NamedTuple):
    """A body from the config's `objects`: static, street frame."""

    label: int
    x: float
    y: float
    yaw: float
    number: int


class _Labelled(NamedTuple):
    label: int
    track_id: int
    body: Body
    velocity: tuple[float, float]


class _Piece(NamedTuple):
    """mesh: position in the library; place: x, y, z [m], yaw in the street frame; gain -1..1 of the reflectance."""

    mesh: tuple[int, int]
    place: tuple[float, float, float, float]
    labelled: _Labelled | None
    gain: float
    key: int


def pose(street: Street, t_s: float) -> np.ndarray:
    """(4, 4) T_street_velo."""
    x, y, z, yaw, pitch = street.ego(t_s)
    tilt_pitch, roll = street.ego_tilt
    pitch += tilt_pitch
    cp, sp, cr, sr = math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    R_pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    R_roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return rigid(rotation_z(yaw) @ R_pitch @ R_roll, (x, y, z))


class Stage:
    """Builds scenes with one family of bodies; keeps meshes and arrays between scenes."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._triangles, self._materials = np.zeros((1 << 14, 3, 3)), np.zeros(1 << 14, np.int32)
        self._colors = np.zeros((1 << 14, 3), np.float32)
        self._used = 0
        self._where: dict[tuple[str | int, int, int], tuple[int, int]] = {}
        self._out = np.zeros((1 << 14, 3, 3))
        self._street: Street | None = None
        self._standing: dict[int, list[_Piece]] = {}  # track id -> what stands in the street: the same in every frame

    def build(
        self,
        street: Street,
        t_s: float,
        range_m: float,
        placed: tuple[Placed, ...] = (),
        half_view_rad: float = math.pi,
    ) -> Scene:
        """Everything within range. half_view_rad: things wholly outside this angle to both sides of ahead are left out."""
        T_street_velo = pose(street, t_s)
        T_velo_street = invert(T_street_velo)
        ego_x, ego_y, _, ego_yaw, _ = street.ego(t_s)
        if street is not self._street:
            self._street = street
            self._standing.clear()
        elif len(self._standing) > _MOST_STANDING:
            self._standing.clear()
        pieces: list[_Piece] = []
        for thing in street.things(t_s, range_m):
            if half_view_rad < math.pi and not _in_view(thing.x - ego_x, thing.y - ego_y, ego_yaw, half_view_rad):
                continue
            found = self._standing.get(thing.track_id) if thing.speed_mps == 0 else None
            if found is None:
                found = self._pieces(street, thing)
                if thing.speed_mps == 0:
                    self._standing[thing.track_id] = found
            pieces += found
        for k, wish in enumerate(placed):
            at = wish.x, wish.y, street.surface(wish.x, wish.y - street.bend(wish.x)), wish.yaw
            body = body_of(self.family, wish.label, wish.number, 0)
            one = _Labelled(wish.label, FIRST_PLACED_ID + k, body, (0.0, 0.0))
            pieces.append(_Piece(self._mesh((wish.label, wish.number, 0)), at, one, 0.0, FIRST_PLACED_ID + k))
        fixed = self._used  # the ground changes in every frame: it follows the kept part of the library
        below = join([ground.surface(street, ego_x, range_m), ground.marks(street, ego_x)])
        self._append(below)
        pieces.append(_Piece((fixed, len(below.triangles)), (0.0, 0.0, 0.0, 0.0), None, 0.0, -1))
        self._used = fixed

        meshes, places, labelled, gains, keys = zip(*pieces, strict=True)
        starts, counts = np.array(meshes, np.int64).T.copy()
        needed = int(counts.sum())
        if len(self._out) < needed:
            self._out = np.zeros((1 << needed.bit_length(), 3, 3))
        triangles, placings = self._out[:needed], np.array(places, np.float64)
        place(self._triangles, starts, counts, placings, T_velo_street, triangles)
        is_object = np.array([one is not None for one in labelled])
        owners = np.where(is_object, np.cumsum(is_object) - 1, -1)
        surfaces = Surfaces(
            np.empty(needed, np.int32), np.empty((needed, 3), np.float32), np.empty(needed, np.int64), np.empty(needed, np.int64),
            np.empty(needed, np.float32),
        )  # fmt: skip
        of_pieces = Pieces(starts, counts, owners, np.array(gains, np.float32), np.array(keys, np.int64) * KEYS_PER_PIECE)
        table = materials.MATERIALS
        spread(Library(self._materials, self._colors), of_pieces, table.lidar_reflectance, table.lidar_spread, surfaces)
        objects = _objects([one for one in labelled if one is not None], placings[is_object], T_velo_street)
        return Scene(
            triangles=triangles,
            materials=surfaces.materials,
            colors=surfaces.colors,
            owners=surfaces.owners,
            reflectance=surfaces.reflectance,
            keys=surfaces.keys,
            objects=objects,
            T_street_velo=T_street_velo,
            ego_velocity=T_velo_street[:3, :3] @ _velocity(street, ego_x),
            ego_yaw_rate=_yaw_rate(street, ego_x),
        )

    def _pieces(self, street: Street, thing: Thing) -> list[_Piece]:
        """A thing, and what it carries."""
        z = street.surface(thing.x, thing.y - street.bend(thing.x))
        gain, label = 2 * thing.u[6] - 1, _label(thing)
        if label < 0:
            mesh = self._mesh((thing.kind, int(thing.u[5] * _NUM_SCENERY), 0))
            yaw = thing.yaw + (2 * math.pi * thing.u[7] if thing.kind in _ROUND else 0.0)
            # below the surface, so that no gap shows on slopes
            return [_Piece(mesh, (thing.x, thing.y, z - 0.03, yaw), None, gain, thing.track_id)]
        label, number, phase = self._body(label, thing)
        at = thing.x, thing.y, z, thing.yaw
        one = _Labelled(label, thing.track_id, body_of(self.family, label, number, phase), thing.velocity)
        pieces = [_Piece(self._mesh((label, number, phase)), at, one, gain, thing.track_id)]
        if label == PEDESTRIAN and thing.u[4] < _CARRIES:
            carried = self._mesh(("carried", int(thing.u[4] / _CARRIES * _NUM_SCENERY), 0))
            pieces.append(_Piece(carried, at, None, 0.0, _FIRST_CARRIED + thing.track_id))
        return pieces

    def _body(self, label: int, thing: Thing) -> tuple[int, int, int]:
        """Label, number and pose of the body: the first one that has room. A truck or van without room is a car instead."""
        length = {PEDESTRIAN: _STRIDE_M, CYCLIST: _PEDALS_M}.get(label)
        if length is not None:
            phase = int((thing.travelled_m / length + thing.u[7]) % 1.0 * PHASES)
            return label, int(thing.u[5] * NUM_BODIES[label]), phase
        for kind in (label, CAR):
            number = int(thing.u[5] * NUM_BODIES[kind])
            for k in range(_TRIES):
                tried = (number + k) % NUM_BODIES[kind]
                if body_of(self.family, kind, tried, 0).size[0] + _MARGIN_M[0] <= thing.room_m:
                    return kind, tried, 0
        return CAR, number, 0

    def _mesh(self, key: tuple[str | int, int, int]) -> tuple[int, int]:
        """(label, number, pose) of a body, (kind, number, 0) of scenery -> position of its mesh in the library."""
        found = self._where.get(key)
        if found is None:
            what, number, phase = key
            mesh = (
                _scenery(self.family, what, number) if isinstance(what, str) else body_of(self.family, what, number, phase).mesh
            )
            found = self._where[key] = (self._used, len(mesh.triangles))
            self._append(mesh)
        return found

    def _append(self, mesh: Mesh) -> None:
        end = self._used + len(mesh.triangles)
        while len(self._triangles) < end:
            self._triangles = np.concatenate([self._triangles, np.zeros_like(self._triangles)])
            self._materials = np.concatenate([self._materials, np.zeros_like(self._materials)])
            self._colors = np.concatenate([self._colors, np.zeros_like(self._colors)])
        at = slice(self._used, end)
        self._triangles[at], self._materials[at], self._colors[at] = mesh
        self._used = end


def _objects(seen: list[_Labelled], places: np.ndarray, T_velo_street: np.ndarray) -> Objects:
    """places (M, 4): x, y, z, yaw in the street frame."""
    R = T_velo_street[:3, :3]
    sizes = np.array([one.body.size for one in seen], np.float64).reshape(-1, 3)
    velocities = np.array([one.velocity for one in seen], np.float64).reshape(-1, 2) @ R[:, :2].T
    heading = np.stack([np.cos(places[:, 3]), np.sin(places[:, 3]), np.zeros(len(places))], 1) @ R.T
    sizes += _MARGIN_M
    boxes3d = np.empty((len(seen), 7))
    boxes3d[:, :3] = (places[:, :3] + sizes * (0, 0, 0.5)) @ R.T + T_velo_street[:3, 3]
    boxes3d[:, 3:6] = sizes
    boxes3d[:, 6] = np.arctan2(heading[:, 1], heading[:, 0])
    labels = np.array([one.label for one in seen], np.int32)
    track_ids = np.array([one.track_id for one in seen], np.int64)
    return Objects(boxes3d, labels, track_ids, velocities)


def _velocity(street: Street, ego_x: float) -> np.ndarray:
    """(3,) of the ego, street frame [m/s]. `ego_speed_mps` is along the street's x axis."""
    rise = (street.hill(ego_x + 0.1) - street.hill(ego_x - 0.1)) / 0.2
    return np.array([1.0, street.slope(ego_x), rise]) * street.ego_speed_mps


def _yaw_rate(street: Street, ego_x: float) -> float:
    dx = 0.05 * street.ego_speed_mps
    return (math.atan(street.slope(ego_x + dx)) - math.atan(street.slope(ego_x - dx))) / 0.1


def _in_view(dx: float, dy: float, ego_yaw: float, half_view_rad: float) -> bool:
    """Whether any part may be in view: no thing reaches more than 8 m from its centre."""
    distance = math.hypot(dx, dy)
    if distance < 8.5:
        return True
    angle = math.remainder(math.atan2(dy, dx) - ego_yaw, 2 * math.pi)
    return abs(angle) < half_view_rad + math.asin(8.0 / distance)


def _label(thing: Thing) -> int:
    """Index into CLASSES; -1 = scenery."""
    if thing.kind == "pedestrians":
        return PEDESTRIAN
    if thing.kind == "cyclists":
        return CYCLIST
    if thing.kind == "vehicles":
        return TRUCK if thing.u[4] < 0.08 else VAN if thing.u[4] < 0.24 else CAR
    if thing.kind in ("car_like", "strays"):
        return VAN if 0.35 <= thing.u[4] < 0.44 else CAR
    return -1


_SCENERY = {
    "trees": scenery.tree, "bushes": scenery.bush, "poles": scenery.pole, "clutter": scenery.clutter, **furniture.MAKERS,
}  # fmt: skip
_ROUND = ("trees", "bushes", "street_trees", "shrubs")  # turned at random
_MAKERS = {CAR: shapes.car, VAN: shapes.van, TRUCK: shapes.truck}
_WALKERS = {PEDESTRIAN: shapes.pedestrian, CYCLIST: shapes.cyclist}


@lru_cache(maxsize=8192)
def body_of(family: Family, label: int, number: int, phase: int) -> Body:
    random = shapes.generator(family, f"label{label}", number)
    if label in _MAKERS:
        return _MAKERS[label](random, family)
    return _WALKERS[label](random, family, phase / PHASES)


@lru_cache(maxsize=8192)
def _scenery(family: Family, kind: str, number: int) -> Mesh:
    r = shapes.generator(family, kind, number)
    if kind == "houses":
        return scenery.house(r, r.uniform(8, 14.5), r.uniform(6, 12))
    if kind in _SCENERY_LENGTH_M:
        make = {"hedges": scenery.hedge, "walls": scenery.wall, "fences": scenery.fence}[kind]
        return make(r, _SCENERY_LENGTH_M[kind])
    return _SCENERY[kind](r)
