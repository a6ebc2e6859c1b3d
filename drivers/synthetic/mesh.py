"""Parametric meshes: lofts, prisms, blobs. x forward, y left, z up [m]; faces counter-clockwise from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

Color = tuple[float, float, float]


class Mesh(NamedTuple):
    """triangles (T, 3, 3) float64 [m], materials (T,) int32 (materials.py), colors (T, 3) float32 albedo 0..1."""

    triangles: np.ndarray
    materials: np.ndarray
    colors: np.ndarray

    @property
    def size(self) -> tuple[float, float, float]:
        """l, w, h of its axis-aligned bounding box."""
        if not len(self.triangles):
            return 0.0, 0.0, 0.0
        low, high = self.bounds
        length, width, height = (high - low).tolist()
        return length, width, height

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        corners = self.triangles.reshape(-1, 3)
        return corners.min(0), corners.max(0)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Mesh:
        """The mesh turned about +z, then shifted."""
        at_angle = self.triangles if yaw == 0 else turned(self.triangles, yaw)
        return self._replace(triangles=at_angle + np.array([x, y, z]))

    def centred(self) -> Mesh:
        """The mesh with the centre of its footprint at the origin and its lowest point at z = 0."""
        low, high = self.bounds
        x, y = (-(low + high)[:2] / 2).tolist()
        return self.moved(x, y, -float(low[2]))


def turned(triangles: np.ndarray, yaw: float) -> np.ndarray:
    c, s = math.cos(yaw), math.sin(yaw)
    return triangles @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def join(meshes: Iterable[Mesh]) -> Mesh:
    parts = list(meshes)
    if not parts:
        return Mesh(np.zeros((0, 3, 3)), np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    return Mesh(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def of_faces(corners: np.ndarray, faces: Sequence[Sequence[int]], material: int, color: Color) -> Mesh:
    """Corners (V, 3) and convex polygons of corner numbers -> fans of triangles."""
    return _of_fans(corners, _fans(faces), material, color)


def _fans(faces: Sequence[Sequence[int]]) -> np.ndarray:
    """(F, 3) corners of triangles."""
    return np.array([(face[0], face[k], face[k + 1]) for face in faces for k in range(1, len(face) - 1)], np.intp).reshape(-1, 3)


def _of_fans(corners: np.ndarray, fans: np.ndarray, material: int, color: Color) -> Mesh:
    materials, colors = np.empty(len(fans), np.int32), np.empty((len(fans), 3), np.float32)
    materials[:], colors[:] = material, color
    return Mesh(corners[fans], materials, colors)


def box(size: tuple[float, float, float], material: int, color: Color) -> Mesh:
    """A box of size l, w, h; the centre of its bottom at the origin."""
    (length, width), h = (size[0] / 2, size[1] / 2), size[2]
    ring = np.array([[length, width], [-length, width], [-length, -width], [length, -width]])
    return loft([(0.0, ring), (h, ring)], material, color)


def loft(rings: Sequence[tuple[float, np.ndarray]], material: int, color: Color) -> Mesh:
    """Joins rings (z, (K, 2) x y, counter-clockwise from above) from bottom to top and closes both ends."""
    levels, sides = len(rings), len(rings[0][1])
    corners = np.empty((levels, sides, 3))
    for level, (z, ring) in enumerate(rings):
        corners[level, :, :2], corners[level, :, 2] = ring, z
    return _of_fans(corners.reshape(-1, 3), _loft_fans(levels, sides), material, color)


@cache
def _loft_fans(levels: int, sides: int) -> np.ndarray:
    faces = [list(range(sides))[::-1], list(range((levels - 1) * sides, levels * sides))]
    for level in range(levels - 1):
        low, high = level * sides, (level + 1) * sides
        faces += [[low + j, low + (j + 1) % sides, high + (j + 1) % sides, high + j] for j in range(sides)]
    return _fans(faces)


@cache
def _circle(sides: int, first: float) -> tuple[np.ndarray, np.ndarray]:
    """(sides,) cosine and sine of evenly spaced angles; first: of the first one, in steps."""
    angles = (np.arange(sides) + first) * 2 * np.pi / sides
    return np.cos(angles), np.sin(angles)


def ellipse(a: float, b: float, sides: int, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """(sides, 2) counter-clockwise, half axes a along x, b along y."""
    cosines, sines = _circle(sides, 0.5)
    ring = np.empty((sides, 2))
    ring[:, 0], ring[:, 1] = x + a * cosines, y + b * sines
    return ring


def limb(
    start: Sequence[float], end: Sequence[float], r_start: float, r_end: float, material: int, color: Color, sides: int = 5
) -> Mesh:
    """A tapered prism from one point to another."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (b - a) / max(_length(b - a), 1e-9)
    side = _cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
    side /= _length(side)
    up = _cross(axis, side)
    cosines, sines = _circle(sides, 0.0)
    around = cosines[:, None] * side + sines[:, None] * up
    corners = np.concatenate([a + r_start * around, b + r_end * around])
    return _of_fans(corners, _loft_fans(2, sides), material, color)


def _length(vector: np.ndarray) -> float:
    return math.sqrt(vector.dot(vector))


def _cross(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> np.ndarray:
    """As numpy.cross, which takes far longer for one vector."""
    (a0, a1, a2), (b0, b1, b2) = a, b
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], np.float64)


def wheel(x: float, y: float, radius: float, width: float, material: int, color: Color, sides: int = 8) -> Mesh:
    """A disc that rolls along x, standing on z = 0."""
    return limb((x, y - width / 2, radius), (x, y + width / 2, radius), radius, radius, material, color, sides)


def hoop(x: float, y: float, radius: float, width: float, depth: float, material: int, color: Color, sides: int = 10) -> Mesh:
    """A bicycle wheel: tyre and rim without spokes; `depth` is the radial thickness."""
    angles = (np.arange(sides) * 2 * np.pi / sides).tolist()
    corners = np.empty((2, 2, sides, 3))  # outer and inner, right and left
    rim = np.array([radius, radius - depth])[:, None, None]
    corners[..., 0] = x + rim * [math.cos(angle) for angle in angles]
    corners[..., 1] = y + np.array([[-1], [1]]) * width / 2
    corners[..., 2] = radius + rim * [math.sin(angle) for angle in angles]
    return _of_fans(corners.reshape(-1, 3), _hoop_fans(sides), material, color)


@cache
def _hoop_fans(sides: int) -> np.ndarray:
    outer_right, outer_left, inner_right, inner_left = (k * sides for k in range(4))
    faces = []
    for j in range(sides):
        n = (j + 1) % sides
        faces.append([outer_left + j, outer_right + j, outer_right + n, outer_left + n][::-1])
        faces.append([inner_left + j, inner_right + j, inner_right + n, inner_left + n])
        faces.append([outer_right + j, outer_right + n, inner_right + n, inner_right + j])
        faces.append([outer_left + j, outer_left + n, inner_left + n, inner_left + j][::-1])
    return _fans(faces)


_GOLDEN = (1 + 5**0.5) / 2
_ICOSAHEDRON = np.array(
    [[-1, _GOLDEN, 0], [1, _GOLDEN, 0], [-1, -_GOLDEN, 0], [1, -_GOLDEN, 0], [0, -1, _GOLDEN], [0, 1, _GOLDEN],
     [0, -1, -_GOLDEN], [0, 1, -_GOLDEN], [_GOLDEN, 0, -1], [_GOLDEN, 0, 1], [-_GOLDEN, 0, -1], [-_GOLDEN, 0, 1]]
)  # fmt: skip
_ICOSAHEDRON /= np.linalg.norm(_ICOSAHEDRON[0])
_ICO_FANS = _fans([
    [0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8],
    [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1],
])  # fmt: skip


def blob(
    random: np.random.Generator, centre: Sequence[float], radii: Sequence[float], rough: float, material: int, color: Color
) -> Mesh:
    """A lumpy ball of 20 faces; `rough` 0..1 is how far its corners deviate from the ellipsoid."""
    corners = _ICOSAHEDRON * (1 + rough * (random.random((12, 1)) - 0.5)) * np.asarray(radii) + np.asarray(centre)
    return _of_fans(corners, _ICO_FANS, material, color)
