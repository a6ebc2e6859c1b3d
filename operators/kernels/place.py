"""Copies of meshes put in their places and seen from a sensor, into arrays that are kept from frame to frame."""

from __future__ import annotations

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
    source: np.ndarray,
    piece: np.ndarray,
) -> None:
    """Writes the sum of counts triangles.

    in   library    (L, 3, 3) float64 [m]    all meshes, one after the other, each in its own frame
         starts, counts (N,) int64           where in the library the mesh of piece n lies
         places     (N, 4) float64           x, y, z [m], yaw [rad] of piece n in the world
         T          (4, 4) float64           T_sensor_world
    out  triangles  (>= sum of counts, 3, 3) float64 [m, sensor frame]
         source     index into the library, piece (n) of each triangle, int64
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
            source[at] = i
            piece[at] = n
            at += 1
