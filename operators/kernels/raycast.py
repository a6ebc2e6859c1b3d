"""A spinning LiDAR against triangles: which triangle each ray hits first, and at which range.

Rays are arranged in columns; the rays of a column lie in one vertical plane. A triangle is scan-converted: the plane of a column
cuts it in a segment, and the beams between the two ends of the segment hit it. No ray is tested without a hit; nothing is built
beforehand. Limits: the beams of a column have one origin per group of equal height; triangles move without turning.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import njit

from operators.kernels.chance import uniform

NOTHING = -1
_TURN = 2 * np.pi


class Mesh(NamedTuple):
    triangles: np.ndarray
    """(T, 3, 3) float64 [m], at time 0. The triangles of an object follow each other."""
    drift: np.ndarray
    """(T, 3) float64 [m/s]: velocity of the sensor relative to the triangle."""
    porosity: np.ndarray
    """(T,) float64: share of rays that pass through at random (foliage)."""
    keys: np.ndarray
    """(T,) int64: random key of each triangle; keys 2k and 2k + 1 give the same numbers."""
    owners: np.ndarray
    """(T,) int64: object of each triangle, -1 = none."""


class Beams(NamedTuple):
    tangents: np.ndarray
    """(B,) float64 of the elevations, falling within each group."""
    groups: np.ndarray
    """(G + 1,) int64: beams groups[g] .. groups[g + 1] - 1 have one origin."""
    heights: np.ndarray
    """(B,) float64 [m] of the origins, equal within a group."""
    azimuths: np.ndarray
    """(C,) float64 [rad], evenly spaced, in either direction, at most one turn."""
    times: np.ndarray
    """(C,) float64 [s] at which each column fires."""


class Hits(NamedTuple):
    ranges: np.ndarray
    """(C, B) float64 [m]. Filled with inf by the caller."""
    hits: np.ndarray
    """(C, B) int32: index of the triangle. Filled with NOTHING by the caller."""
    covered: np.ndarray
    """(threads, M) int64: rays that meet each object, occluded or not; sum over the first axis. Zeroed by the caller."""


@njit(nogil=True, cache=True)
def _window(triangle: np.ndarray, ox: float, oy: float, reach: float) -> tuple[float, float]:
    """Azimuths [first, last] at which the triangle may be seen from anywhere within `reach` [m] of (ox, oy). first is in
    [-pi, pi), last - first at most a full turn."""
    x0, y0 = triangle[0, 0] - ox, triangle[0, 1] - oy
    x1, y1 = triangle[1, 0] - ox, triangle[1, 1] - oy
    x2, y2 = triangle[2, 0] - ox, triangle[2, 1] - oy
    nearest = np.inf
    for k in range(3):
        ax, ay, bx, by = x0, y0, x1, y1
        if k == 1:
            ax, ay, bx, by = x1, y1, x2, y2
        elif k == 2:
            ax, ay, bx, by = x2, y2, x0, y0
        ex, ey = bx - ax, by - ay
        length2 = ex * ex + ey * ey
        u = 0.0
        if length2 > 0:
            u = min(max(-(ax * ex + ay * ey) / length2, 0.0), 1.0)
        nearest = min(nearest, np.hypot(ax + u * ex, ay + u * ey))
    if nearest <= reach:
        return -np.pi, np.pi
    a0 = np.arctan2(y0, x0)
    # from outside, a triangle spans less than half a turn: the other corners lie within +-pi of the first;
    # from inside its footprint, the three differences add up to a whole turn
    d1 = np.arctan2(x0 * y1 - y0 * x1, x0 * x1 + y0 * y1)
    d12 = np.arctan2(x1 * y2 - y1 * x2, x1 * x2 + y1 * y2)
    d20 = np.arctan2(x2 * y0 - y2 * x0, x2 * x0 + y2 * y0)
    if abs(d1 + d12 + d20) > 1.0:
        return -np.pi, np.pi
    d2 = d1 + d12
    margin = np.arcsin(reach / nearest) + 1e-9
    first = a0 + min(0.0, d1, d2) - margin
    last = a0 + max(0.0, d1, d2) + margin
    if last - first >= _TURN:
        return -np.pi, np.pi
    while first < -np.pi:
        first += _TURN
        last += _TURN
    while first >= np.pi:
        first -= _TURN
        last -= _TURN
    return first, last


@njit(nogil=True, cache=True)
def _around(triangle: np.ndarray, reach: float) -> tuple[float, float]:
    """As `_window` from the origin, wider but faster, for triangles that are small compared to their distance."""
    x = (triangle[0, 0] + triangle[1, 0] + triangle[2, 0]) / 3
    y = (triangle[0, 1] + triangle[1, 1] + triangle[2, 1]) / 3
    radius2 = 0.0
    for k in range(3):
        radius2 = max(radius2, (triangle[k, 0] - x) ** 2 + (triangle[k, 1] - y) ** 2)
    sine = (np.sqrt(radius2) + reach) / np.sqrt(x * x + y * y + 1e-30)
    if sine > 0.2:
        return _window(triangle, 0.0, 0.0, reach)
    azimuth = np.arctan2(y, x)
    return azimuth - 1.01 * sine, azimuth + 1.01 * sine  # asin(s) < 1.01 s there


@njit(nogil=True, cache=True)
def _cut(triangle: np.ndarray, ca: float, sa: float, ox: float, oy: float) -> tuple[bool, float, float, float, float]:
    """Intersection of the triangle and the half plane of a column -> is there one, its ends (ahead, z), (ahead, z) [m]."""
    count, f0, z0, f1, z1 = 0, 0.0, 0.0, 0.0, 0.0
    for k in range(3):
        j = (k + 1) % 3
        ax, ay = triangle[k, 0] - ox, triangle[k, 1] - oy
        bx, by = triangle[j, 0] - ox, triangle[j, 1] - oy
        side_a, side_b = ay * ca - ax * sa, by * ca - bx * sa
        if (side_a < 0) == (side_b < 0):
            continue
        u = side_a / (side_a - side_b)
        ahead_a, ahead_b = ax * ca + ay * sa, bx * ca + by * sa
        f = ahead_a + u * (ahead_b - ahead_a)
        z = triangle[k, 2] + u * (triangle[j, 2] - triangle[k, 2])
        if count == 0:
            f0, z0 = f, z
        else:
            f1, z1 = f, z
        count += 1
    return count == 2 and (f0 > 0 or f1 > 0), f0, z0, f1, z1


@njit(nogil=True, cache=True)
def _span(f0: float, z0: float, f1: float, z1: float) -> tuple[float, float]:
    """Smallest and largest tangent of elevation at which the segment is seen from (0, 0)."""
    if f0 > 0 and f1 > 0:
        t0, t1 = z0 / f0, z1 / f1
    else:  # it passes over or under the sensor: one end is straight up or down
        over = z0 + (z1 - z0) * f0 / (f0 - f1)
        t0 = np.inf if over > 0 else -np.inf
        t1 = z0 / f0 if f0 > 0 else z1 / f1
    return min(t0, t1), max(t0, t1)


@njit(nogil=True, cache=True)
def _first_at_most(tangents: np.ndarray, start: int, stop: int, value: float) -> int:
    """First beam of start .. stop (tangents fall) whose tangent is <= value."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if tangents[middle] <= value:
            high = middle
        else:
            low = middle + 1
    return low


class _Tables(NamedTuple):
    cosines: np.ndarray
    """(C,) of the azimuths, as sines."""
    sines: np.ndarray
    secants: np.ndarray
    """(B,): length of the ray (1, tangent)."""


@njit(nogil=True, cache=True)
def _tables(azimuths: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of _Tables."""
    return np.cos(azimuths), np.sin(azimuths), np.sqrt(1 + tangents * tangents)


@njit(nogil=True, cache=True)
def _cast_columns(
    first_column: int,
    last_column: int,
    mesh: Mesh,
    beams: Beams,
    tables: _Tables,
    max_range: float,
    seed: int,
    ranges: np.ndarray,
    hits: np.ndarray,
    covered: np.ndarray,
) -> None:
    """`cast` for columns first_column .. last_column - 1; covered (M,)."""
    # locals, because an array taken from a tuple inside the loops is reference-counted each time
    triangles, drift, porosity, keys, owners = mesh
    tangents, groups, heights, azimuths, times = beams
    cosines, sines, secants = tables
    num_columns, first_azimuth = len(azimuths), azimuths[0]
    step = azimuths[1] - azimuths[0] if num_columns > 1 else _TURN
    counted = np.full((last_column - first_column, len(tangents)), NOTHING, np.int64)  # last owner each ray was counted for
    latest = 0.0
    for c in range(num_columns):
        latest = max(latest, abs(times[c]))
    for i in range(len(triangles)):
        # 1. the triangle's plane, and the columns that may see it
        triangle = triangles[i]
        ax, ay, az = triangle[0, 0], triangle[0, 1], triangle[0, 2]
        ux, uy, uz = triangle[1, 0] - ax, triangle[1, 1] - ay, triangle[1, 2] - az
        vx, vy, vz = triangle[2, 0] - ax, triangle[2, 1] - ay, triangle[2, 2] - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        dx, dy, dz = drift[i, 0], drift[i, 1], drift[i, 2]
        first, last = _around(triangle, np.sqrt(dx * dx + dy * dy) * latest + 1e-6)
        is_around = last - first >= _TURN
        for lap in range(-2, 3):  # the azimuths of a turning sensor cover more or less than a turn
            if is_around and lap != 0:
                continue
            a, b = (first + lap * _TURN - first_azimuth) / step, (last + lap * _TURN - first_azimuth) / step
            low, high = int(np.ceil(min(a, b))), int(np.floor(max(a, b)))
            if is_around:
                low, high = 0, num_columns - 1
            low, high = max(low, first_column), min(high, last_column - 1)
            if low > high:
                continue
            for c in range(low, high + 1):
                # 2. the segment in the column's plane
                ca, sa = cosines[c], sines[c]
                ox, oy, oz = dx * times[c], dy * times[c], dz * times[c]
                across = nx * ca + ny * sa
                met, f0, z0, f1, z1 = _cut(triangle, ca, sa, ox, oy)
                if not met:
                    continue
                # 3. the beams between its ends
                for g in range(len(groups) - 1):
                    height = oz + heights[groups[g]]
                    low_tangent, high_tangent = _span(f0, z0 - height, f1, z1 - height)
                    numerator = nx * (ax - ox) + ny * (ay - oy) + nz * (az - height)
                    b = _first_at_most(tangents, groups[g], groups[g + 1], high_tangent)
                    while b < groups[g + 1] and tangents[b] >= low_tangent:
                        # ray (1, tangent) of the column's plane: distance = n (a - o) / n (ca, sa, tangent)
                        denominator = across + nz * tangents[b]
                        if denominator != 0:
                            distance = numerator / denominator * secants[b]
                            if distance > 0 and distance <= max_range:
                                if owners[i] >= 0 and counted[c - first_column, b] != owners[i]:
                                    covered[owners[i]] += 1
                                    counted[c - first_column, b] = owners[i]
                                if distance < ranges[c, b] and (
                                    porosity[i] <= 0 or uniform(seed, keys[i] // 2, c * 1024 + b) >= porosity[i]
                                ):
                                    ranges[c, b] = distance
                                    hits[c, b] = i
                        b += 1


def cast(mesh: Mesh, beams: Beams, max_range: float, seed: int, out: Hits) -> None:
    """Fills `out` with the nearest hit of every ray within max_range [m]. `seed` is that of the porosity.

    Each row of `out.covered` gets a band of columns and a thread; the hits do not depend on their number. The threads are
    Python's: two threads must not start numba's parallel loops at the same time.
    """
    ranges, hits, covered = out
    bands = len(covered)
    tables, columns = _Tables(*_tables(beams.azimuths, beams.tangents)), len(beams.azimuths)

    def run(band: int) -> None:
        low, high = band * columns // bands, (band + 1) * columns // bands
        _cast_columns(low, high, mesh, beams, tables, max_range, seed, ranges, hits, covered[band])

    if bands == 1:
        run(0)
        return
    with ThreadPoolExecutor(bands - 1) as pool:
        others = [pool.submit(run, band) for band in range(1, bands)]
        run(0)
        for other in others:
            other.result()
