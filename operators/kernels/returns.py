"""The points that a spinning LiDAR reports of the triangles its rays hit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from operators.kernels.chance import normal, uniform

_LOST, _SPREAD, _SEEN, _NOISE, _DEPTH, _MIRROR, _SHINE, _SIDE, _EDGE, _MIXED = np.arange(1, 11, dtype=np.int64)
"""Random numbers of a ray. Of type np.int64, because numba compiles uniform once for each literal integer."""
_DARK = 0.25
"""Of a mirror: what the sensor's calibration takes away. Half of the returns of real cars have intensity 0."""
_STEP_M, _PULSE_M, _SHARE_MIXED = 0.3, 1.2, 0.4
"""Depth from which a surface beside the ray lies before it; up to which two returns merge; share of such pairs that merge."""


class Surfaces(NamedTuple):
    """Of each triangle."""

    reflectance: np.ndarray
    """(T,) float32 0..1: diffuse, at normal incidence."""
    drop: np.ndarray
    """(T,) float32 0..1: share of returns that are lost in any case."""
    gloss: np.ndarray
    """(T,) float32 0..1: share of rays that meet a mirror (paint, leaves)."""
    retro: np.ndarray
    """(T,) bool: equally bright from any side, at any distance."""
    rough: np.ndarray
    """(T,) float32 [m]: depth of the surface (leaves, grass)."""
    owners: np.ndarray
    """(T,) int64: object of each triangle."""


class Directions(NamedTuple):
    elevations: np.ndarray
    """(B,) float64 [rad] of the beams."""
    heights: np.ndarray
    """(B,) float64 [m] of their origins."""
    azimuths: np.ndarray
    """(C,) float64 [rad] of the columns as the sensor counts them, without its own motion."""


@njit(nogil=True, cache=True)
def returns(
    ranges: np.ndarray,
    hits: np.ndarray,
    triangles: np.ndarray,
    surfaces: Surfaces,
    directions: Directions,
    limits: np.ndarray,
    seed: int,
    points: np.ndarray,
    ids: np.ndarray,
) -> int:
    """-> number of points written, beam by beam, each along its columns.

    in   ranges (C, B) [m], hits (C, B)          of `raycast.cast`
         triangles (T, 3, 3) float64 [m]
         limits (5,) or (6,) float64             nearest, farthest [m]; noise of a range [m]; weakest signal that is seen
                                                 (reflectance x cosine at 10 m); share of returns lost for no reason;
                                                 half the width of a beam as a share of the distance between columns
    out  points (>= C * B, 4) float32            x y z [m] in the velodyne frame at the time the column fires; intensity
         ids    (>= C * B,) int64                owner of each point's triangle
    A weak return is lost more often: signal = reflectance x cosine of incidence x (10 m / range)^2.
    A beam of some width also meets what the neighbouring column hits: a nearer surface there is reported instead, or, if it is
    little nearer, a range between the two.
    """
    # locals, because an array taken from a tuple inside the loops is reference-counted each time
    reflectance, drop, gloss, retro, rough, owners = surfaces
    elevations, heights, azimuths = directions
    nearest, farthest, noise, weakest, lost = limits[0], limits[1], limits[2], limits[3], limits[4]
    width = limits[5] if len(limits) > 5 else 0.0
    num = 0
    cosines, sines = np.cos(azimuths), np.sin(azimuths)
    ranges, hits = ranges.T.copy(), hits.T.copy()  # read along the beams below
    for b in range(len(elevations)):
        ce, se = np.cos(elevations[b]), np.sin(elevations[b])
        for c in range(len(azimuths)):
            i = hits[b, c]
            r = ranges[b, c]
            ray = c * 1024 + b
            if width > 0 and uniform(seed, ray, _EDGE) < width:
                n = c + 1 if uniform(seed, ray, _SIDE) < 0.5 else c - 1
                if n >= 0 and n < len(azimuths) and hits[b, n] >= 0 and ranges[b, n] < r - _STEP_M:
                    merges = i >= 0 and r - ranges[b, n] < _PULSE_M
                    mixed = uniform(seed, ray, _MIXED)
                    deeper = r - ranges[b, n] if merges and mixed < _SHARE_MIXED else 0.0
                    i, r = hits[b, n], ranges[b, n] + deeper * mixed / _SHARE_MIXED
            if i < 0 or r < nearest or r > farthest:
                continue
            if uniform(seed, ray, _LOST) < lost:
                continue
            dx, dy, dz = ce * cosines[c], ce * sines[c], se
            ux, uy, uz = (
                triangles[i, 1, 0] - triangles[i, 0, 0],
                triangles[i, 1, 1] - triangles[i, 0, 1],
                triangles[i, 1, 2] - triangles[i, 0, 2],
            )
            vx, vy, vz = (
                triangles[i, 2, 0] - triangles[i, 0, 0],
                triangles[i, 2, 1] - triangles[i, 0, 1],
                triangles[i, 2, 2] - triangles[i, 0, 2],
            )
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            cosine = abs(nx * dx + ny * dy + nz * dz) / length if length > 0 else 0.0
            u = uniform(seed, ray, _SPREAD)
            intensity = 1.0
            if not retro[i]:
                signal = reflectance[i] * cosine * (10.0 / r) ** 2
                # beyond 40 its rounding hides the exponential
                chance = 1.0 - np.exp(-signal / weakest) if signal < 40.0 * weakest else 1.0
                if uniform(seed, ray, _SEEN) >= chance * (1.0 - drop[i]):
                    continue
                # the sensor corrects for distance and incidence: the material remains, and sometimes nothing
                if uniform(seed, ray, _MIRROR) < gloss[i]:
                    intensity = reflectance[i] * cosine * (0.35 + 1.1 * u) - _DARK
                else:
                    intensity = (0.10 + 0.42 * np.sqrt(reflectance[i])) * (1.0 - u**5) + 0.14 * (uniform(seed, ray, _SHINE) - 0.5)
            elif uniform(seed, ray, _SEEN) < drop[i]:
                continue
            r += noise * normal(seed, ray, _NOISE)
            if rough[i] > 0:
                r -= rough[i] * np.log(1.0 - 0.999 * uniform(seed, ray, _DEPTH))
            points[num, 0] = np.rint(r * dx * 1000.0) / 1000.0
            points[num, 1] = np.rint(r * dy * 1000.0) / 1000.0
            points[num, 2] = np.rint((r * dz + heights[b]) * 1000.0) / 1000.0
            points[num, 3] = np.rint(min(max(intensity, 0.0), 0.99) * 100.0) / 100.0
            ids[num] = owners[i]
            num += 1
    return num
