"""A spinning LiDAR against triangles: which triangle each ray hits first, and how far away.

Rays stand in columns, all of one column in one vertical plane, so a triangle is scan-converted: the plane of a column
cuts it in a segment, and the beams between the segment's two ends hit it. No ray is tested in vain, nothing is built
beforehand. Limits: a column's beams share one origin per group of equal height; triangles move without turning.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from operators.kernels.chance import normal, uniform

NOTHING = -1
_TURN = 2 * np.pi


@njit(nogil=True, cache=True)
def _window(triangle: np.ndarray, ox: float, oy: float, reach: float) -> tuple[float, float]:
    """Azimuths [first, last] that may see the triangle from anywhere within `reach` [m] of (ox, oy); last - first may be
    a full turn. first in [-pi, pi)."""
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
    # seen from outside, a triangle spans less than half a turn: the other corners lie within +-pi of the first;
    # from inside its footprint the three differences add up to a whole turn
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
    """`_window` from the origin, wider but quicker, for what is small against its distance."""
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
    """Where the half plane of a column cuts the triangle: a segment from (ahead, z) to (ahead, z) [m]."""
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
    """The least and the largest tangent of elevation at which the segment is seen from (0, 0)."""
    if f0 > 0 and f1 > 0:
        t0, t1 = z0 / f0, z1 / f1
    else:  # it passes over or under the sensor: from where it comes into view, straight up or down
        over = z0 + (z1 - z0) * f0 / (f0 - f1)
        t0 = np.inf if over > 0 else -np.inf
        t1 = z0 / f0 if f0 > 0 else z1 / f1
    return min(t0, t1), max(t0, t1)


@njit(nogil=True, cache=True)
def _first_at_most(tangents: np.ndarray, start: int, stop: int, value: float) -> int:
    """The first beam of start..stop (tangents fall) whose tangent is <= value."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if tangents[middle] <= value:
            high = middle
        else:
            low = middle + 1
    return low


@njit(nogil=True, cache=True)
def _cast_columns(
    first_column: int,
    last_column: int,
    triangles: np.ndarray,
    drift: np.ndarray,
    porosity: np.ndarray,
    keys: np.ndarray,
    owners: np.ndarray,
    tangents: np.ndarray,
    secants: np.ndarray,
    groups: np.ndarray,
    heights: np.ndarray,
    azimuths: np.ndarray,
    cosines: np.ndarray,
    sines: np.ndarray,
    times: np.ndarray,
    max_range: float,
    seed: int,
    ranges: np.ndarray,
    hits: np.ndarray,
    covered: np.ndarray,
) -> None:
    num_columns, first_azimuth = len(azimuths), azimuths[0]
    step = azimuths[1] - azimuths[0] if num_columns > 1 else _TURN
    counted = np.full((last_column - first_column, len(tangents)), NOTHING, np.int64)  # owner each ray was counted for last
    latest = 0.0
    for c in range(num_columns):
        latest = max(latest, abs(times[c]))
    for i in range(len(triangles)):
        triangle = triangles[i]
        ax, ay, az = triangle[0, 0], triangle[0, 1], triangle[0, 2]
        ux, uy, uz = triangle[1, 0] - ax, triangle[1, 1] - ay, triangle[1, 2] - az
        vx, vy, vz = triangle[2, 0] - ax, triangle[2, 1] - ay, triangle[2, 2] - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        dx, dy, dz = drift[i, 0], drift[i, 1], drift[i, 2]
        first, last = _around(triangle, np.sqrt(dx * dx + dy * dy) * latest + 1e-6)
        whole = round(_TURN / abs(step))  # columns of a full turn, which the table may be a part of
        if step > 0:
            begin, end = int(np.ceil((first - first_azimuth) / step)), int(np.floor((last - first_azimuth) / step))
        else:
            begin, end = int(np.ceil((last - first_azimuth) / step)), int(np.floor((first - first_azimuth) / step))
        if last - first >= _TURN:
            begin, end = 0, whole - 1
        for lap in range(-2, 3):
            low = max(begin + lap * whole, first_column)
            high = min(end + lap * whole, last_column - 1)
            if low > high:
                continue
            for c in range(low, high + 1):
                ca, sa = cosines[c], sines[c]
                ox, oy, oz = dx * times[c], dy * times[c], dz * times[c]
                across = nx * ca + ny * sa
                met, f0, z0, f1, z1 = _cut(triangle, ca, sa, ox, oy)
                if not met:
                    continue
                for g in range(len(groups) - 1):
                    height = oz + heights[groups[g]]
                    low_tangent, high_tangent = _span(f0, z0 - height, f1, z1 - height)
                    numerator = nx * (ax - ox) + ny * (ay - oy) + nz * (az - height)
                    b = _first_at_most(tangents, groups[g], groups[g + 1], high_tangent)
                    while b < groups[g + 1] and tangents[b] >= low_tangent:
                        # along the ray (1, tangent) of the column's plane
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


@njit(nogil=True, cache=True)
def _tables(azimuths: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine of each column, length of a ray (1, tangent)."""
    return np.cos(azimuths), np.sin(azimuths), np.sqrt(1 + tangents * tangents)


def cast(
    triangles: np.ndarray,
    drift: np.ndarray,
    porosity: np.ndarray,
    keys: np.ndarray,
    owners: np.ndarray,
    tangents: np.ndarray,
    groups: np.ndarray,
    heights: np.ndarray,
    azimuths: np.ndarray,
    times: np.ndarray,
    max_range: float,
    seed: int,
    ranges: np.ndarray,
    hits: np.ndarray,
    covered: np.ndarray,
) -> None:
    """Every ray's nearest hit. The columns are cut in as many bands as `covered` has rows, a thread for each; what is hit does
    not depend on it. (Threads of Python, not of numba: those must not be asked for from two threads at a time.)

    in   triangles (T, 3, 3) float64 [m]          at time 0
         drift     (T, 3) float64 [m/s]           velocity of the sensor as seen from the triangle
         porosity  (T,) float64                   share of rays that pass through (foliage), by chance from `seed`
         keys      (T,) int64                     of that chance: two neighbouring ones share theirs
         owners    (T,) int64                     object of each triangle, counts into `covered`; -1 = none
         tangents  (B,) float64                   of the beams' elevations, falling within each group
         groups    (G + 1,) int64                 beams groups[g]..groups[g + 1] leave from one height
         heights   (B,) float64 [m]               of the beams' origins, equal within a group
         azimuths  (C,) float64 [rad]             evenly spaced, either way round, at most one turn
         times     (C,) float64 [s]               when each column fires
    out  ranges    (C, B) float64 [m]             to be filled with inf before
         hits      (C, B) int32                   index of the triangle, to be filled with NOTHING before
         covered   (threads, M) int64             rays that meet each object, whatever stands before it; to be zeroed; sum
                                                  over the first axis. The triangles of an object must follow each other
    """
    bands = len(covered)
    cosines, sines, secants = _tables(azimuths, tangents)

    def run(band: int) -> None:
        low, high = band * len(azimuths) // bands, (band + 1) * len(azimuths) // bands
        _cast_columns(
            low, high, triangles, drift, porosity, keys, owners, tangents, secants, groups, heights, azimuths, cosines, sines,
            times, max_range, seed, ranges, hits, covered[band],
        )  # fmt: skip

    if bands == 1:
        run(0)
        return
    with ThreadPoolExecutor(bands - 1) as pool:
        others = [pool.submit(run, band) for band in range(1, bands)]
        run(0)
        for other in others:
            other.result()


@njit(nogil=True, cache=True)
def returns(
    ranges: np.ndarray,
    hits: np.ndarray,
    triangles: np.ndarray,
    reflectance: np.ndarray,
    drop: np.ndarray,
    gloss: np.ndarray,
    retro: np.ndarray,
    rough: np.ndarray,
    owners: np.ndarray,
    elevations: np.ndarray,
    heights: np.ndarray,
    azimuths: np.ndarray,
    limits: np.ndarray,
    seed: int,
    points: np.ndarray,
    ids: np.ndarray,
) -> int:
    """Hits -> what the sensor reports; how many points were written, beam by beam, each along its columns.

    in   ranges (C, B) [m], hits (C, B)          of `cast`; azimuths (C,) as the sensor counts them, without its own motion
         reflectance (T,) float32 0..1           diffuse, of each triangle, at normal incidence
         drop, gloss (T,) float32 0..1           returns that get lost in any case; share that meets a mirror (paint, leaves)
         retro (T,) bool                         as bright from any side, at any distance
         rough (T,) float32 [m]                  depth of the surface (leaves, grass)
         limits (5,) float64                     nearest, farthest [m]; noise of a range [m]; weakest signal that is seen
                                                 (reflectance x cosine at 10 m); share lost for no reason
    out  points (>= C * B, 4) float32            x y z [m] from where the velodyne frame is when each column fires; intensity
         ids    (>= C * B,) int64                owner of each point's triangle
    A return is lost the more surely, the weaker it is: signal = reflectance x cosine of incidence x (10 m / range)^2.
    """
    nearest, farthest, noise, weakest, lost = limits[0], limits[1], limits[2], limits[3], limits[4]
    num = 0
    cosines, sines = np.cos(azimuths), np.sin(azimuths)
    for b in range(len(elevations)):
        ce, se = np.cos(elevations[b]), np.sin(elevations[b])
        for c in range(len(azimuths)):
            i = hits[c, b]
            r = ranges[c, b]
            if i < 0 or r < nearest or r > farthest:
                continue
            ray = c * 1024 + b
            if uniform(seed, ray, 1) < lost:
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
            u = uniform(seed, ray, 2)
            intensity = 1.0
            if not retro[i]:
                signal = reflectance[i] * cosine * (10.0 / r) ** 2
                chance = 1.0 - np.exp(-signal / weakest) if weakest > 0 else 1.0
                if uniform(seed, ray, 3) >= chance * (1.0 - drop[i]):
                    continue
                # the sensor corrects for distance and incidence: what is left is the material, now and then nothing
                if uniform(seed, ray, 6) < gloss[i]:
                    intensity = reflectance[i] * cosine * (0.35 + 1.1 * u) - 0.09
                else:
                    intensity = (0.10 + 0.42 * np.sqrt(reflectance[i])) * (1.0 - u**5) + 0.14 * (uniform(seed, ray, 7) - 0.5)
            elif uniform(seed, ray, 3) < drop[i]:
                continue
            r += noise * normal(seed, ray, 4)
            if rough[i] > 0:
                r -= rough[i] * np.log(1.0 - 0.999 * uniform(seed, ray, 5))
            points[num, 0] = np.rint(r * dx * 1000.0) / 1000.0
            points[num, 1] = np.rint(r * dy * 1000.0) / 1000.0
            points[num, 2] = np.rint((r * dz + heights[b]) * 1000.0) / 1000.0
            points[num, 3] = np.rint(min(max(intensity, 0.0), 0.99) * 100.0) / 100.0
            ids[num] = owners[i]
            num += 1
    return num
