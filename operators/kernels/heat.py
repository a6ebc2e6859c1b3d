"""What a thermal camera measures of the pixels that raster.fill filled: apparent temperature, blooming, noise, counts.

Temperatures are in kelvin as a camera reports them: the surface's own, mixed with what it mirrors. Positions are in the world
frame, z up. Only sums, products, divisions and square roots, noise from an integer hash: every machine computes the same counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from operators.kernels.chance import normal
from operators.kernels.shade import PANE, View, noise

ABOVE, SUNNY, EMITS, PATCHY, BODY = range(5)
"""Columns of a material: kelvin above the air; more in full sun; emissivity 0..1; kelvin of its patches; share of the way from
the air to the skin of the person it belongs to, < 0: of its clothing."""
MATERIAL = 5
FLAT, ENGINE, WHEELS, SKIN, CLOTHED, PLACE = range(6)
"""Columns of an object: the one temperature of all its parts (0: they have their own) [K]; its engine and its wheels above the
rest [K]; skin [K]; share of the way from the air to the skin at its clothes; then position x y, heading cos sin, length."""
OBJECT = 10
WHEEL, STEEL = 1, 2
"""Parts of a vehicle, per material: WHEEL is heated by its wheels, STEEL by its engine, 0 by neither."""


class Air(NamedTuple):
    """Weather. All kelvin."""

    air: float
    horizon: float
    """Apparent temperature of the sky at the horizon."""
    zenith: float
    sun: float
    """What full sun adds to a dark face that looks at it."""
    bloom: float
    """Above it the picture blooms."""


class Noise(NamedTuple):
    """columns (W,) float32 and pixels (H, W) float32 are the fixed pattern, temporal: standard deviation [K]; seed of the
    frame."""

    columns: np.ndarray
    pixels: np.ndarray
    temporal: float
    seed: int


_HAZE_M = 900.0
_CELL = 4  # [px] of the map of blooming
_BLOOM = 0.35


@njit(nogil=True, cache=True)
def warm(
    triangles: np.ndarray,
    kinds: np.ndarray,
    owners: np.ndarray,
    pieces: np.ndarray,
    albedo: np.ndarray,
    table: np.ndarray,
    objects: np.ndarray,
    T_world_velo: np.ndarray,
    eye: np.ndarray,
    sun: np.ndarray,
    weather: Air,
    seed: int,
    boxes: np.ndarray,
    kelvin: np.ndarray,
) -> None:
    """Once per picture: apparent temperature (T,) float32 of the triangles with a box (raster.set_up), without pattern and
    engine.

    in   triangles (T, 3, 3) float64, velodyne; kinds (T,) int32 row of table (K, MATERIAL) float64; owners (T,) int64 row of
         objects (M + 1, OBJECT) float64, -1 = the last; pieces (T,) int64: things with one number have one deviation; albedo
         (T, 3) float32; eye, sun (3,) float64, world
    """
    n = np.empty(3)
    corner = np.empty(3)
    for t in range(triangles.shape[0]):
        if boxes[t, 2] < boxes[t, 0]:
            continue
        a0, a1, a2 = triangles[t, 0, 0], triangles[t, 0, 1], triangles[t, 0, 2]
        ax, ay, az = triangles[t, 1, 0] - a0, triangles[t, 1, 1] - a1, triangles[t, 1, 2] - a2
        bx, by, bz = triangles[t, 2, 0] - a0, triangles[t, 2, 1] - a1, triangles[t, 2, 2] - a2
        cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for k in range(3):
            row = T_world_velo[k]
            n[k] = row[0] * cx + row[1] * cy + row[2] * cz
            corner[k] = row[0] * a0 + row[1] * a1 + row[2] * a2 + row[3]
        norm = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
        if n[0] * (corner[0] - eye[0]) + n[1] * (corner[1] - eye[1]) + n[2] * (corner[2] - eye[2]) > 0:
            norm = -norm
        up = n[2] / norm
        facing = max((n[0] * sun[0] + n[1] * sun[1] + n[2] * sun[2]) / norm, 0.0)
        of, thing = table[kinds[t]], objects[owners[t]]
        dark = 1.0 - (albedo[t, 0] + albedo[t, 1] + albedo[t, 2]) / 3
        own = weather.air + of[ABOVE] + of[SUNNY] + weather.sun * dark * facing
        if of[BODY] > 0:
            own = weather.air + of[BODY] * (thing[SKIN] - weather.air)
        elif of[BODY] < 0 and thing[SKIN] > 0:
            own = weather.air + thing[CLOTHED] * (thing[SKIN] - weather.air) + 0.3 * weather.sun * dark * facing
        if owners[t] < 0 and pieces[t] >= 0:
            own += normal(seed, 1, pieces[t])
        if thing[FLAT] > 0:
            own = thing[FLAT] + 0.12 * (own - thing[FLAT]) * (of[BODY] == 0)
        mirrored = weather.air if up <= 0 else weather.horizon + (weather.zenith - weather.horizon) * up
        kelvin[t] = of[EMITS] * own + (1 - of[EMITS]) * mirrored


@njit(nogil=True, cache=True)
def _lump(x: float, y: float, layer: float) -> float:
    """-1..1, smooth, one bump per unit."""
    return 2 * noise(x, y, layer) - 1


@njit(nogil=True, cache=True)
def see(
    values: np.ndarray,
    index: np.ndarray,
    kelvin: np.ndarray,
    kinds: np.ndarray,
    owners: np.ndarray,
    table: np.ndarray,
    parts: np.ndarray,
    patterns: np.ndarray,
    objects: np.ndarray,
    view: View,
    weather: Air,
    first_row: int,
    end_row: int,
    out: np.ndarray,
) -> None:
    """Rows first_row .. end_row - 1 of out (H, W) float32 [K]: sky, surfaces with their patches, engines and wheels, the air
    between.

    values (H, W) float32 1/depth, index (H, W) int32: of raster.fill; kelvin (T,): of warm; parts, patterns (K,) int32.
    """
    rays, eye, _ = view
    for v in range(first_row, end_row):
        for u in range(values.shape[1]):
            rx = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]
            ry = rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
            rz = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]
            t = index[v, u]
            if t < 0:
                up = max(rz / np.sqrt(rx * rx + ry * ry + rz * rz), 0.0)
                share = 1 - (1 - up) * (1 - up) * (1 - up)
                cloud = 0.5 + 0.5 * _lump(rx / (up + 0.15), ry / (up + 0.15), 7.0)
                out[v, u] = weather.horizon + (weather.zenith - weather.horizon) * share * (1 - 0.35 * cloud)
                continue
            depth = 1.0 / values[v, u]
            x, y, z = eye[0] + depth * rx, eye[1] + depth * ry, eye[2] + depth * rz
            kind, thing = kinds[t], objects[owners[t]]
            own = float(kelvin[t])
            patchy = table[kind, PATCHY]
            if owners[t] < 0:
                if patchy > 0:
                    own += patchy * (
                        _lump(x * 0.4 + z * 0.7, y * 0.4 + z * 0.3, 1.0) + 0.5 * _lump(x * 2.3 + z, y * 2.3 - z, 2.0)
                    )
                if patterns[kind] == PANE:  # rooms behind windows differ
                    own += 2.5 * _lump(np.floor(0.45 * (x + y)) + 0.5, np.floor(0.35 * z) + 0.5, 3.0)
            elif thing[FLAT] == 0:
                dx, dy = x - thing[PLACE], y - thing[PLACE + 1]
                ahead = (dx * thing[PLACE + 2] + dy * thing[PLACE + 3]) / thing[PLACE + 4]  # -0.5 tail .. 0.5 nose
                side = dy * thing[PLACE + 2] - dx * thing[PLACE + 3]
                if parts[kind] == WHEEL:
                    own += thing[WHEELS]
                elif parts[kind] == STEEL:
                    hot = min(max((ahead - 0.05) / 0.25, 0.0), 1.0)
                    own += thing[ENGINE] * (0.12 + 0.88 * hot * hot * (3 - 2 * hot))
                if patchy > 0:
                    own += patchy * _lump(ahead * thing[PLACE + 4] * 6, side * 6 + z * 5, 4.0)
            through = depth / (depth + _HAZE_M)
            out[v, u] = own + (weather.air - own) * through


@njit(nogil=True, cache=True)
def blooming(kelvin: np.ndarray, threshold: float, cells: np.ndarray, work: np.ndarray) -> bool:
    """Mean excess over threshold of each 4 x 4 pixels of kelvin (H, W), spread over 9 x 9 cells: cells and work
    (ceil(H / 4), ceil(W / 4)) float32. Returns whether anything blooms."""
    rows, columns = kelvin.shape
    any_hot = False
    for j in range(cells.shape[0]):
        for i in range(cells.shape[1]):
            total = 0.0
            for v in range(_CELL * j, min(_CELL * j + _CELL, rows)):
                for u in range(_CELL * i, min(_CELL * i + _CELL, columns)):
                    total += max(kelvin[v, u] - threshold, 0.0)
            any_hot = any_hot or total > 0
            cells[j, i] = total / (_CELL * _CELL)
    if not any_hot:
        return False
    for _ in range(2):  # a box twice is nearly round
        for j in range(cells.shape[0]):
            for i in range(cells.shape[1]):
                total = 0.0
                for k in range(max(i - 2, 0), min(i + 3, cells.shape[1])):
                    total += cells[j, k]
                work[j, i] = total / 5
        for j in range(cells.shape[0]):
            for i in range(cells.shape[1]):
                total = 0.0
                for k in range(max(j - 2, 0), min(j + 3, cells.shape[0])):
                    total += work[k, i]
                cells[j, i] = total / 5
    return True


@njit(nogil=True, cache=True)
def measure(
    kelvin: np.ndarray,
    blur: float,
    cells: np.ndarray,
    blooms: bool,
    noise: Noise,
    per_kelvin: float,
    first_row: int,
    end_row: int,
    counts: np.ndarray,
) -> None:
    """Rows first_row .. end_row - 1 of counts (H, W) uint16 = kelvin x per_kelvin, rounded, of kelvin (H, W) float32 through the
    lens: blur is the share 0..1 of the mean of 3 x 3 pixels; cells: of blooming; then the sensor's noise."""
    rows, columns = kelvin.shape
    offsets, pixels, temporal, seed = noise
    for v in range(first_row, end_row):
        above, below = max(v - 1, 0), min(v + 1, rows - 1)
        y = min(max((v - 1.5) / _CELL, 0.0), cells.shape[0] - 1.001)
        j = int(y)
        t = y - j
        for u in range(columns):
            left, right = max(u - 1, 0), min(u + 1, columns - 1)
            mean = 2 * (kelvin[above, u] + kelvin[below, u] + kelvin[v, left] + kelvin[v, right]) + 4 * kelvin[v, u]
            mean += kelvin[above, left] + kelvin[above, right] + kelvin[below, left] + kelvin[below, right]
            value = (1 - blur) * kelvin[v, u] + blur * mean / 16
            if blooms:
                x = min(max((u - 1.5) / _CELL, 0.0), cells.shape[1] - 1.001)
                i = int(x)
                s = x - i
                near = cells[j, i] * (1 - s) + cells[j, i + 1] * s
                far = cells[j + 1, i] * (1 - s) + cells[j + 1, i + 1] * s
                value += _BLOOM * (near * (1 - t) + far * t)
            value += offsets[u] + pixels[v, u] + temporal * normal(seed, v, u)
            counts[v, u] = np.uint16(min(max(value * per_kelvin + 0.5, 0.0), 65535.0))
