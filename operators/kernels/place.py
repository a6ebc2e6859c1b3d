"""Copies of meshes put in their places and seen from a sensor, into arrays that are kept from frame to frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def place(
    library: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    places: np.ndarray,
    T: np.ndarray,
    triangles: np.ndarray,
) -> None:
    """Writes the sum of counts triangles.

    in   library    (L, 3, 3) float64 [m]    all meshes, one after the other, each in its own frame
         starts, counts (N,) int64           where in the library the mesh of piece n lies
         places     (N, 4) float64           x, y, z [m], yaw [rad] of piece n in the world
         T          (4, 4) float64           T_sensor_world
    out  triangles  (>= sum of counts, 3, 3) float64 [m, sensor frame]
    """
    at = 0
    for n in range(len(starts)):
        c, s = np.cos(places[n, 3]), np.sin(places[n, 3])
        # T applied after the turn about z: one matrix a piece
        m00, m01 = T[0, 0] * c + T[0, 1] * s, T[0, 1] * c - T[0, 0] * s
        m10, m11 = T[1, 0] * c + T[1, 1] * s, T[1, 1] * c - T[1, 0] * s
        m20, m21 = T[2, 0] * c + T[2, 1] * s, T[2, 1] * c - T[2, 0] * s
        x, y, z = places[n, 0], places[n, 1], places[n, 2]
        tx = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
        ty = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
        tz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        for i in range(starts[n], starts[n] + counts[n]):
            for k in range(3):
                px, py, pz = library[i, k, 0], library[i, k, 1], library[i, k, 2]
                triangles[at, k, 0] = m00 * px + m01 * py + T[0, 2] * pz + tx
                triangles[at, k, 1] = m10 * px + m11 * py + T[1, 2] * pz + ty
                triangles[at, k, 2] = m20 * px + m21 * py + T[2, 2] * pz + tz
            at += 1


class Library(NamedTuple):
    """Of each triangle of all meshes."""

    materials: np.ndarray
    """(L,) int32."""
    colors: np.ndarray
    """(L, 3) float32."""


class Pieces(NamedTuple):
    """Of each piece."""

    starts: np.ndarray
    """(N,) int64: as `counts`, of place."""
    counts: np.ndarray
    owners: np.ndarray
    """(N,) int64."""
    gains: np.ndarray
    """(N,) float32 -1..1 of the reflectance."""
    keys: np.ndarray
    """(N,) int64 of the piece's first triangle; the others follow."""


class Surfaces(NamedTuple):
    """Of each placed triangle, (T,): materials int32, colors (T, 3) float32, owners int64, keys int64, reflectance float32."""

    materials: np.ndarray
    colors: np.ndarray
    owners: np.ndarray
    keys: np.ndarray
    reflectance: np.ndarray


@njit(nogil=True, cache=True)
def spread(library: Library, pieces: Pieces, reflectance: np.ndarray, width: np.ndarray, out: Surfaces) -> None:
    """What belongs to the triangles that `place` writes. reflectance, width (K,) float32 of each material: reflectance + gain x
    width, at least 0.005 and at most 1."""
    materials, colors = library
    starts, counts, owners, gains, keys = pieces
    of, color, owner, key, reflected = out
    lowest, highest = np.float32(0.005), np.float32(1.0)
    at = 0
    for n in range(len(starts)):
        for i in range(counts[n]):
            material = materials[starts[n] + i]
            of[at], owner[at], key[at] = material, owners[n], keys[n] + i
            for channel in range(3):
                color[at, channel] = colors[starts[n] + i, channel]
            reflected[at] = min(max(reflectance[material] + width[material] * gains[n], lowest), highest)
            at += 1
