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
_ROUNDING = 1e-6  # columns


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
    solid: np.ndarray
    """(T,) bool: on the surface of a solid that the sensor is outside of, corners counter-clockwise from outside. Its back,
    which the front hides, is left out."""


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
def _around(triangle: np.ndarray, x: float, y: float, distance: float, radius: float, reach: float) -> tuple[float, float]:
    """As `_window` from the origin, wider but faster, for triangles that are small compared to their distance. x, y: the middle
    of the triangle, distance: from the origin, radius: of the corners around the middle."""
    if radius + reach > 0.2 * distance:
        return _window(triangle, 0.0, 0.0, reach)
    low, high = 0.0, 0.0
    for k in range(3):
        across = x * triangle[k, 1] - y * triangle[k, 0]
        low, high = min(low, across), max(high, across)
    azimuth, margin = np.arctan2(y, x), 1.3 * reach / distance  # asin(s) < 1.04 s there, the nearest point at 0.8 distance
    share = 1.0 / (distance * (distance - radius))  # tangents are larger than their angles
    return azimuth + low * share - margin, azimuth + high * share + margin


@njit(nogil=True, cache=True)
def _end(
    xa: float, ya: float, za: float, side_a: float, xb: float, yb: float, zb: float, side_b: float, ca: float, sa: float
) -> tuple[float, float]:
    """Where the edge from a to b crosses the plane of a column: ahead, z [m]."""
    u = side_a / (side_a - side_b)
    ahead_a, ahead_b = xa * ca + ya * sa, xb * ca + yb * sa
    return ahead_a + u * (ahead_b - ahead_a), za + u * (zb - za)


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


class _Tables(NamedTuple):
    cosines: np.ndarray
    """(C,) of the azimuths, as sines."""
    sines: np.ndarray
    secants: np.ndarray
    """(B,): length of the ray (1, tangent)."""
    firsts: np.ndarray
    """(G, _STEPS) int64: of evenly spaced tangents from a group's first to its last, the first beam at most as high."""


_STEPS = 256


@njit(nogil=True, cache=True)
def _tables(
    azimuths: np.ndarray, tangents: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of _Tables."""
    firsts = np.empty((len(groups) - 1, _STEPS), np.int64)
    for g in range(len(groups) - 1):
        b, top, bottom = groups[g], tangents[groups[g]], tangents[groups[g + 1] - 1]
        for step in range(_STEPS):
            while b < groups[g + 1] - 1 and tangents[b] > top - (top - bottom) * step / _STEPS:
                b += 1
            firsts[g, step] = b
    return np.cos(azimuths), np.sin(azimuths), np.sqrt(1 + tangents * tangents), firsts


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
    triangles, drift, porosity, keys, owners, solid = mesh
    tangents, groups, heights, azimuths, times = beams
    cosines, sines, secants, firsts = tables
    num_columns, first_azimuth = len(azimuths), azimuths[0]
    step = azimuths[1] - azimuths[0] if num_columns > 1 else _TURN
    per_rad, num_groups = 1 / step, len(groups) - 1
    left, right = min(first_azimuth, azimuths[-1]) - abs(step), max(first_azimuth, azimuths[-1]) + abs(step)
    counted = np.full((last_column - first_column, len(tangents)), NOTHING, np.int64)  # last owner each ray was counted for
    latest = 0.0
    for c in range(num_columns):
        latest = max(latest, abs(times[c]))
    top, bottom = tangents.max(), tangents.min()
    highest, lowest = heights.max(), heights.min()
    for i in range(len(triangles)):
        # 1. triangles over or under all beams, and backs
        triangle = triangles[i]
        ax, ay, az = triangle[0, 0], triangle[0, 1], triangle[0, 2]
        bx, by, bz = triangle[1, 0], triangle[1, 1], triangle[1, 2]
        cx, cy, cz = triangle[2, 0], triangle[2, 1], triangle[2, 2]
        dx, dy, dz = drift[i, 0], drift[i, 1], drift[i, 2]
        reach, rise = np.sqrt(dx * dx + dy * dy) * latest + 1e-6, abs(dz) * latest + 1e-6
        x, y = (ax + bx + cx) / 3, (ay + by + cy) / 3
        radius2 = max((ax - x) ** 2 + (ay - y) ** 2, (bx - x) ** 2 + (by - y) ** 2)
        radius = np.sqrt(max(radius2, (cx - x) ** 2 + (cy - y) ** 2))
        distance = np.sqrt(x * x + y * y + 1e-30)
        near, far = max(distance - radius - reach, 0.0), distance + radius + reach
        if min(az, bz, cz) - rise > highest + top * (far if top > 0 else near):
            continue
        if max(az, bz, cz) + rise < lowest + bottom * (far if bottom < 0 else near):
            continue
        ux, uy, uz = bx - ax, by - ay, bz - az
        vx, vy, vz = cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        if solid[i]:
            outwards = nx * ax + ny * ay + nz * az - (abs(nx) + abs(ny)) * reach
            if outwards > max(nz * (highest + rise), nz * (lowest - rise)):
                continue
        # 2. the columns that may see it
        owner = owners[i]
        first, last = _around(triangle, x, y, distance, radius, reach)
        is_around = last - first >= _TURN
        for lap in range(-2, 3):  # the azimuths of a turning sensor cover more or less than a turn
            if is_around:
                if lap != 0:
                    continue
                low, high = first_column, last_column - 1
            else:
                start, stop = first + lap * _TURN, last + lap * _TURN
                if stop < left or start > right:
                    continue
                a, b = (start - first_azimuth) * per_rad, (stop - first_azimuth) * per_rad
                low = max(int(np.ceil(min(a, b) - _ROUNDING)), first_column)
                high = min(int(np.floor(max(a, b) + _ROUNDING)), last_column - 1)
            for c in range(low, high + 1):
                # 3. the segment in the column's plane
                ca, sa = cosines[c], sines[c]
                ox, oy, oz = dx * times[c], dy * times[c], dz * times[c]
                xa, ya, xb, yb, xc, yc = ax - ox, ay - oy, bx - ox, by - oy, cx - ox, cy - oy
                side_a, side_b, side_c = ya * ca - xa * sa, yb * ca - xb * sa, yc * ca - xc * sa
                crosses_ab, crosses_bc = (side_a < 0) != (side_b < 0), (side_b < 0) != (side_c < 0)
                if crosses_ab:
                    f0, z0 = _end(xa, ya, az, side_a, xb, yb, bz, side_b, ca, sa)
                    if crosses_bc:
                        f1, z1 = _end(xb, yb, bz, side_b, xc, yc, cz, side_c, ca, sa)
                    else:
                        f1, z1 = _end(xc, yc, cz, side_c, xa, ya, az, side_a, ca, sa)
                elif crosses_bc:
                    f0, z0 = _end(xb, yb, bz, side_b, xc, yc, cz, side_c, ca, sa)
                    f1, z1 = _end(xc, yc, cz, side_c, xa, ya, az, side_a, ca, sa)
                else:
                    continue
                if not (f0 > 0 or f1 > 0):
                    continue
                across = nx * ca + ny * sa
                # 4. the beams between its ends
                for g in range(num_groups):
                    begin, end = groups[g], groups[g + 1]
                    height = oz + heights[begin]
                    low_tangent, high_tangent = _span(f0, z0 - height, f1, z1 - height)
                    upper, lower = tangents[begin], tangents[end - 1]
                    if high_tangent < lower or low_tangent > upper:
                        continue
                    beam = begin
                    if high_tangent < upper:  # the table only estimates where
                        beam = firsts[g, min(int((upper - high_tangent) / (upper - lower) * _STEPS), _STEPS - 1)]
                        while beam > begin and tangents[beam - 1] <= high_tangent:
                            beam -= 1
                        while beam < end and tangents[beam] > high_tangent:
                            beam += 1
                    numerator = nx * xa + ny * ya + nz * (az - height)
                    while beam < end and tangents[beam] >= low_tangent:
                        # ray (1, tangent) of the column's plane: distance = n (a - o) / n (ca, sa, tangent)
                        denominator = across + nz * tangents[beam]
                        if denominator != 0:
                            distance = numerator / denominator * secants[beam]
                            if distance > 0 and distance <= max_range:
                                if owner >= 0 and counted[c - first_column, beam] != owner:
                                    covered[owner] += 1
                                    counted[c - first_column, beam] = owner
                                if distance < ranges[c, beam] and (
                                    porosity[i] <= 0 or uniform(seed, keys[i] // 2, c * 1024 + beam) >= porosity[i]
                                ):
                                    ranges[c, beam] = distance
                                    hits[c, beam] = i
                        beam += 1


def cast(mesh: Mesh, beams: Beams, max_range: float, seed: int, out: Hits) -> None:
    """Fills `out` with the nearest hit of every ray within max_range [m]. `seed` is that of the porosity.

    Each row of `out.covered` gets a band of columns and a thread; the hits do not depend on their number. The threads are
    Python's: two threads must not start numba's parallel loops at the same time.
    """
    ranges, hits, covered = out
    bands = len(covered)
    tables, columns = _Tables(*_tables(beams.azimuths, beams.tangents, beams.groups)), len(beams.azimuths)

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
