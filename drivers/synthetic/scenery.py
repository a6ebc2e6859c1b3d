"""Objects beside a street: houses, trees, hedges, poles, fences, bins. Each seed gives another one; on z = 0 at the origin.

x runs along the street [m].
"""

from __future__ import annotations

import math

import numpy as np

from drivers.synthetic.materials import BUILDING, FENCE, FOLIAGE, METAL, POLE, ROOF, SIGN, TRUNK, WALL, WINDOW
from drivers.synthetic.mesh import Color, Mesh, blob, box, ellipse, join, limb, loft, of_faces

_FACADES: tuple[Color, ...] = (
    (0.55, 0.48, 0.38), (0.62, 0.60, 0.55), (0.50, 0.30, 0.22), (0.65, 0.55, 0.35), (0.42, 0.40, 0.38), (0.60, 0.45, 0.40),
)  # fmt: skip
_LEAVES: tuple[Color, ...] = ((0.07, 0.15, 0.03), (0.10, 0.18, 0.05), (0.05, 0.11, 0.03), (0.14, 0.17, 0.04))


def house(random: np.random.Generator, length: float, depth: float) -> Mesh:
    """Facade at y = 0 facing -y, the rest behind it (y > 0); gable or flat roof, windows, door steps, a bay."""
    height = random.uniform(3.5, 11.0)
    color = _FACADES[int(random.integers(len(_FACADES)))]
    open_m = random.uniform(2.4, 3.2) if random.random() < 0.25 and height > 5 else 0.0  # an arcade, or shop windows
    parts = [box((length, depth, height - open_m), BUILDING, color).moved(0, depth / 2, open_m)]
    if open_m:
        parts += _arcade(random, length, depth, open_m, color)
    if height < 8.5 and random.random() < 0.7:
        parts.append(_gable(length + 0.5, depth + 0.6, height, random.uniform(1.5, 3.5)).moved(0, depth / 2))
    floors, columns = max(1, int(height / 2.9)), max(1, int(length / 3.0))
    for floor in range(floors):
        for column in range(columns):
            if random.random() < 0.15:
                continue
            if floor == 0 and open_m:
                continue
            x, z = (column + 0.5) * length / columns - length / 2, 0.9 + 2.9 * floor
            if z + 1.3 < height:
                pane = np.array([[x - 0.6, -0.03, z], [x + 0.6, -0.03, z], [x + 0.6, -0.03, z + 1.3], [x - 0.6, -0.03, z + 1.3]])
                parts.append(of_faces(pane, [[0, 1, 2, 3]], WINDOW, (0.05, 0.065, 0.085)))
    for _ in range(int(random.integers(0, 3))):  # bays, porches, chimneys, steps
        size = random.uniform(0.8, 3.0), random.uniform(0.3, 1.6), random.uniform(0.3, height * 0.8)
        parts.append(box(size, BUILDING, color).moved(random.uniform(-0.4, 0.4) * length, -size[1] / 2))
    return join(parts)


def _arcade(random: np.random.Generator, length: float, depth: float, height: float, color: Color) -> list[Mesh]:
    """The ground floor behind pillars, and what stands in it."""
    behind, width = random.uniform(0.8, 3.0), random.uniform(0.2, 0.6)
    count = max(2, int(length / random.uniform(2.0, 4.5)))
    parts = [box((length, depth - behind, height), BUILDING, color).moved(0, behind + (depth - behind) / 2)]
    for k in range(count + 1):
        x = (k / count - 0.5) * (length - width)
        parts.append(box((width, width, height), BUILDING, color).moved(x, width / 2))
    if random.random() < 0.5:  # a ledge under shop windows
        parts.append(box((length * 0.98, 0.12, random.uniform(0.3, 1.0)), WALL, color).moved(0, width / 2))
    for _ in range(int(random.integers(0, 4))):
        size = random.uniform(0.3, 1.0), 0.4, random.uniform(0.7, 1.8)
        parts.append(box(size, METAL, color).moved(random.uniform(-0.45, 0.45) * length, random.uniform(0.3, 0.7) * behind))
    return parts


def _gable(length: float, depth: float, eaves: float, rise: float) -> Mesh:
    a, b = length / 2, depth / 2
    corners = np.array(
        [[-a, -b, eaves], [a, -b, eaves], [a, b, eaves], [-a, b, eaves], [-a, 0, eaves + rise], [a, 0, eaves + rise]]
    )
    return of_faces(corners, [[0, 1, 5, 4], [2, 3, 4, 5], [0, 4, 3], [1, 2, 5], [3, 2, 1, 0]], ROOF, (0.26, 0.11, 0.075))


def tree(random: np.random.Generator) -> Mesh:
    height, trunk = random.uniform(4.5, 12.0), random.uniform(0.08, 0.28)
    clear = random.uniform(0.12, 0.40) * height  # below the crown
    color = _LEAVES[int(random.integers(len(_LEAVES)))]
    tilt = random.normal(0, 0.15, 2)
    parts = [limb((0, 0, 0), (tilt[0], tilt[1], clear + 0.8), trunk, trunk * 0.7, TRUNK, (0.12, 0.085, 0.06), 6)]
    crown = (height - clear) / 2
    for _ in range(int(random.integers(4, 9))):
        radius = crown * random.uniform(0.40, 0.75)
        at = (*(random.normal(0, 0.35 * crown, 2) + tilt), clear + crown * random.uniform(0.4, 1.6))
        parts.append(blob(random, at, (radius, radius, radius * random.uniform(0.7, 1.1)), 0.5, FOLIAGE, color))
    return join(parts)


def bush(random: np.random.Generator) -> Mesh:
    size = random.uniform(0.3, 1.3)
    color = _LEAVES[int(random.integers(len(_LEAVES)))]
    parts = []
    for _ in range(int(random.integers(1, 5))):
        radius = size * random.uniform(0.5, 1.0)
        at = (*random.normal(0, 0.5 * size, 2), radius * random.uniform(0.4, 0.9))
        parts.append(blob(random, at, (radius * 1.1, radius, radius), 0.6, FOLIAGE, color))
    return join(parts)


def hedge(random: np.random.Generator, length: float) -> Mesh:
    height, depth = random.uniform(0.7, 2.2), random.uniform(0.5, 1.2)
    color = _LEAVES[int(random.integers(len(_LEAVES)))]
    count = max(2, int(length / random.uniform(0.9, 1.8)))
    parts = []
    for k in range(count):
        x = (k + 0.5) * length / count - length / 2
        radii = (0.75 * length / count, depth / 2, height * random.uniform(0.5, 0.62))
        parts.append(blob(random, (x, random.normal(0, 0.08), height * 0.48), radii, 0.35, FOLIAGE, color))
    return join(parts)


def wall(random: np.random.Generator, length: float) -> Mesh:
    color = _FACADES[int(random.integers(len(_FACADES)))]
    return box((length, random.uniform(0.15, 0.35), random.uniform(0.5, 2.2)), WALL, color)


def fence(random: np.random.Generator, length: float) -> Mesh:
    """Posts and slats with gaps for half of the light."""
    height = random.uniform(0.8, 1.8)
    color: Color = (0.21, 0.14, 0.085) if random.random() < 0.6 else (0.25, 0.26, 0.27)
    parts = [box((0.09, 0.09, height), FENCE, color).moved((k / 4 - 0.5) * length, 0) for k in range(5)]
    slats = int(random.integers(2, 5))
    for k in range(slats):
        z = height * (k + 0.6) / slats - 0.1
        parts.append(box((length, 0.03, 0.10), FENCE, color).moved(0, 0, z))
    return join(parts)


def pole(random: np.random.Generator) -> Mesh:
    """A lamp post, a sign post, or a bollard."""
    kind = random.random()
    if kind < 0.40:  # lamp
        height, radius = random.uniform(4.5, 8.0), random.uniform(0.06, 0.12)
        post = loft([(0, ellipse(radius, radius, 6)), (height, ellipse(radius * 0.6, radius * 0.6, 6))], POLE, (0.32, 0.33, 0.34))
        reach = random.uniform(0.4, 1.4)
        return join([post, box((0.25, reach, 0.12), METAL, (0.3, 0.3, 0.3)).moved(0, -reach / 2, height - 0.1)])
    if kind < 0.75:  # traffic sign
        height, radius = random.uniform(1.9, 2.9), 0.04
        post = loft([(0, ellipse(radius, radius, 6)), (height, ellipse(radius, radius, 6))], POLE, (0.32, 0.33, 0.34))
        size = random.uniform(0.4, 0.75)
        plate = box((0.03, size, size * random.uniform(0.7, 1.4)), SIGN, (0.6, 0.15, 0.12))
        return join([post, plate.moved(0.05, 0, height - size).moved(yaw=random.choice([0.0, math.pi]))])
    radius, height = random.uniform(0.06, 0.16), random.uniform(0.6, 1.2)
    return loft([(0, ellipse(radius, radius, 6)), (height, ellipse(radius, radius, 6))], POLE, (0.25, 0.25, 0.26))


def clutter(random: np.random.Generator) -> Mesh:
    """Things about as large as people: bins, cabinets, mail boxes, post columns, planters, bus shelters, trailers."""
    kind = random.random()
    color = _FACADES[int(random.integers(len(_FACADES)))]
    if kind < 0.30:  # wheelie bins
        parts = [
            box((random.uniform(0.5, 0.75), random.uniform(0.5, 0.7), random.uniform(0.9, 1.2)), METAL, (0.05, 0.05, 0.05)).moved(
                0.75 * k, random.normal(0, 0.08)
            )
            for k in range(int(random.integers(1, 4)))
        ]
        return join(parts)
    if kind < 0.50:  # cabinet
        return box((random.uniform(0.5, 1.4), random.uniform(0.3, 0.5), random.uniform(0.9, 1.5)), METAL, (0.35, 0.36, 0.35))
    if kind < 0.62:  # advertising column
        radius, height = random.uniform(0.45, 0.7), random.uniform(2.4, 3.2)
        return loft([(0, ellipse(radius, radius, 8)), (height, ellipse(radius, radius, 8))], WALL, color)
    if kind < 0.76:  # planter with a bush
        size = random.uniform(0.5, 1.2)
        pot = box((size, size, 0.45), WALL, (0.4, 0.38, 0.35))
        leaves = blob(random, (0, 0, 0.75), (size * 0.5, size * 0.5, 0.45), 0.5, FOLIAGE, _LEAVES[0])
        return join([pot, leaves])
    if kind < 0.86:  # bench
        seat = box((1.6, 0.45, 0.06), FENCE, (0.21, 0.14, 0.085)).moved(0, 0, 0.42)
        back = box((1.6, 0.06, 0.4), FENCE, (0.21, 0.14, 0.085)).moved(0, 0.25, 0.5)
        legs = [box((0.08, 0.4, 0.42), METAL, (0.2, 0.2, 0.2)).moved(side * 0.65) for side in (-1, 1)]
        return join([seat, back, *legs])
    if kind < 0.93:  # shelter: a roof on posts with a back of glass
        posts = [
            loft([(0, ellipse(0.05, 0.05, 6)), (2.4, ellipse(0.05, 0.05, 6))], METAL, (0.2, 0.2, 0.2)).moved(x, 0.6)
            for x in (-1.7, 1.7)
        ]
        roof = box((3.8, 1.5, 0.1), METAL, (0.2, 0.2, 0.2)).moved(0, 0, 2.4)
        glass = box((3.4, 0.03, 1.7), WINDOW, (0.05, 0.065, 0.085)).moved(0, 0.65, 0.4)
        return join([*posts, roof, glass])
    # a skip or a pallet of goods: car-sized and angular
    return box((random.uniform(1.2, 4.0), random.uniform(1.0, 1.9), random.uniform(0.8, 2.4)), METAL, color)
