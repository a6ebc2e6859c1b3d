"""Parametric meshes: lofts, prisms, blobs. x forward, y left, z up [m]; faces counter-clockwise from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
        return self._replace(triangles=turned(self.triangles, yaw) + np.array([x, y, z]))

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
    fans = [(face[0], face[k], face[k + 1]) for face in faces for k in range(1, len(face) - 1)]
    triangles = corners[np.array(fans, np.intp).reshape(-1, 3)]
    return Mesh(triangles, np.full(len(fans), material, np.int32), np.tile(np.array(color, np.float32), (len(fans), 1)))


def box(size: tuple[float, float, float], material: int, color: Color) -> Mesh:
    """A box of size l, w, h; the centre of its bottom at the origin."""
    (length, width), h = (size[0] / 2, size[1] / 2), size[2]
    ring = np.array([[length, width], [-length, width], [-length, -width], [length, -width]])
    return loft([(0.0, ring), (h, ring)], material, color)


def loft(rings: Sequence[tuple[float, np.ndarray]], material: int, color: Color) -> Mesh:
    """Joins rings (z, (K, 2) x y, counter-clockwise from above) from bottom to top and closes both ends."""
    k = len(rings[0][1])
    corners = np.array([[*xy, z] for z, ring in rings for xy in ring])
    faces: list[list[int]] = [list(range(k))[::-1], list(range((len(rings) - 1) * k, len(rings) * k))]
    for level in range(len(rings) - 1):
        low, high = level * k, (level + 1) * k
        faces += [[low + j, low + (j + 1) % k, high + (j + 1) % k, high + j] for j in range(k)]
    return of_faces(corners, faces, material, color)


def ellipse(a: float, b: float, sides: int, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """(sides, 2) counter-clockwise, half axes a along x, b along y."""
    angles = (np.arange(sides) + 0.5) * 2 * np.pi / sides
    return np.stack([x + a * np.cos(angles), y + b * np.sin(angles)], 1)


def limb(
    start: Sequence[float], end: Sequence[float], r_start: float, r_end: float, material: int, color: Color, sides: int = 5
) -> Mesh:
    """A tapered prism from one point to another."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    side = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    angles = np.arange(sides) * 2 * np.pi / sides
    around = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up
    corners = np.concatenate([a + r_start * around, b + r_end * around])
    faces: list[list[int]] = [list(range(sides))[::-1], list(range(sides, 2 * sides))]
    faces += [[j, (j + 1) % sides, sides + (j + 1) % sides, sides + j] for j in range(sides)]
    return of_faces(corners, faces, material, color)


def wheel(x: float, y: float, radius: float, width: float, material: int, color: Color, sides: int = 8) -> Mesh:
    """A disc that rolls along x, standing on z = 0."""
    return limb((x, y - width / 2, radius), (x, y + width / 2, radius), radius, radius, material, color, sides)


def hoop(x: float, y: float, radius: float, width: float, depth: float, material: int, color: Color, sides: int = 10) -> Mesh:
    """A bicycle wheel: tyre and rim without spokes; `depth` is the radial thickness."""
    angles = np.arange(sides) * 2 * np.pi / sides
    corners = np.array(
        [
            [x + r * math.cos(a), y + s * width / 2, radius + r * math.sin(a)]
            for r in (radius, radius - depth)
            for s in (-1, 1)
            for a in angles
        ]
    )
    outer_right, outer_left, inner_right, inner_left = (k * sides for k in range(4))
    faces = []
    for j in range(sides):
        n = (j + 1) % sides
        faces.append([outer_left + j, outer_right + j, outer_right + n, outer_left + n][::-1])
        faces.append([inner_left + j, inner_right + j, inner_right + n, inner_left + n])
        faces.append([outer_right + j, outer_right + n, inner_right + n, inner_right + j])
        faces.append([outer_left + j, outer_left + n, inner_left + n, inner_left + j][::-1])
    return of_faces(corners, faces, material, color)


_GOLDEN = (1 + 5**0.5) / 2
_ICOSAHEDRON = np.array(
    [[-1, _GOLDEN, 0], [1, _GOLDEN, 0], [-1, -_GOLDEN, 0], [1, -_GOLDEN, 0], [0, -1, _GOLDEN], [0, 1, _GOLDEN],
     [0, -1, -_GOLDEN], [0, 1, -_GOLDEN], [_GOLDEN, 0, -1], [_GOLDEN, 0, 1], [-_GOLDEN, 0, -1], [-_GOLDEN, 0, 1]]
)  # fmt: skip
_ICOSAHEDRON /= np.linalg.norm(_ICOSAHEDRON[0])
_ICO_FACES = [
    [0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8],
    [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1],
]  # fmt: skip


def blob(
    random: np.random.Generator, centre: Sequence[float], radii: Sequence[float], rough: float, material: int, color: Color
) -> Mesh:
    """A lumpy ball of 20 faces; `rough` 0..1 is how far its corners deviate from the ellipsoid."""
    corners = _ICOSAHEDRON * (1 + rough * (random.random((12, 1)) - 0.5)) * np.asarray(radii) + np.asarray(centre)
    return of_faces(corners, _ICO_FACES, material, color)
