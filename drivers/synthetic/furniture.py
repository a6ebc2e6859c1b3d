"""Things of the size of road users that are none: trunks, posts, bins, pillars, shrubs, trailers; bicycles.py has more.

A detector must learn to leave them alone. Each seed gives another one; on z = 0 at the origin, x runs along the street [m].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from drivers.synthetic import bicycles
from drivers.synthetic.materials import (
    CAR_PAINT,
    CAR_PLASTIC,
    CLOTH,
    FENCE,
    FOLIAGE,
    METAL,
    POLE,
    SIGN,
    TRUNK,
    TYRE,
    WALL,
    WINDOW,
)
from drivers.synthetic.mesh import Color, Mesh, blob, box, ellipse, join, limb, loft, wheel

_GREY, _DARK, _BARK = (0.32, 0.33, 0.34), (0.06, 0.06, 0.065), (0.12, 0.085, 0.06)
_STONES: tuple[Color, ...] = ((0.55, 0.48, 0.38), (0.62, 0.60, 0.55), (0.50, 0.30, 0.22), (0.42, 0.40, 0.38))
_PAINTS: tuple[Color, ...] = ((0.05, 0.05, 0.05), (0.05, 0.12, 0.30), (0.45, 0.30, 0.03), (0.04, 0.18, 0.06), (0.35, 0.03, 0.03))
_LEAVES: tuple[Color, ...] = ((0.05, 0.11, 0.03), (0.07, 0.15, 0.03), (0.12, 0.16, 0.05))


def street_tree(random: np.random.Generator) -> Mesh:
    """A trunk that reaches above the sensor's highest beam nearby, straight, leaning or forked; the crown is higher."""
    height, radius = random.uniform(5.0, 13.0), random.uniform(0.07, 0.34)
    clear = min(random.uniform(1.8, 4.5), 0.5 * height)
    lean = random.normal(0, 0.12, 2)
    sides = int(random.integers(5, 8))
    foot, knee = (0.0, 0.0, 0.0), (lean[0] * 0.4, lean[1] * 0.4, 0.4 * clear)
    top = (lean[0], lean[1], clear + 0.8)
    parts = [limb(foot, knee, radius * random.uniform(1.05, 1.5), radius, TRUNK, _BARK, sides)]
    if random.random() < 0.25:
        for side in (-1, 1):
            end = (lean[0] + side * random.uniform(0.2, 0.6), lean[1] + random.normal(0, 0.2), clear + 0.8)
            parts.append(limb(knee, end, radius * 0.75, radius * 0.5, TRUNK, _BARK, sides))
    else:
        parts.append(limb(knee, top, radius, radius * 0.8, TRUNK, _BARK, sides))
    kind = random.random()
    if kind < 0.15:  # stakes that hold a young tree
        parts += [_column(x, y, 0.04, random.uniform(1.2, 2.0), FENCE, (0.30, 0.22, 0.13)) for x, y in ((0.35, 0.0), (-0.3, 0.2))]
    elif kind < 0.25:  # a guard of bars
        parts += [_column(0.45 * x, 0.45 * y, 0.03, 0.9, METAL, _DARK) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    elif kind < 0.40:  # shoots and ivy around the trunk
        for _ in range(int(random.integers(1, 4))):
            at = (*random.normal(0, 0.12, 2), random.uniform(0.2, 1.6))
            parts.append(
                blob(random, at, (radius + 0.15, radius + 0.15, random.uniform(0.2, 0.5)), 0.6, FOLIAGE, _pick(random, _LEAVES))
            )
    crown, color = (height - clear) / 2, _pick(random, _LEAVES)
    for _ in range(int(random.integers(3, 7))):
        size = crown * random.uniform(0.45, 0.75)
        at = (*(random.normal(0, 0.3 * crown, 2) + lean), clear + crown * random.uniform(0.7, 1.5))
        parts.append(blob(random, at, (size, size, min(size, at[2] - clear + 0.3)), 0.5, FOLIAGE, color))
    return join(parts)


def post(random: np.random.Generator) -> Mesh:
    """Thin or short: bollards, meters, hydrants, signs at the height of a person, bins on posts, boards."""
    makers = (_bollard, _meter, _hydrant, _low_sign, _post_with_bin, _signal, _board, _stub, _letter_box, _twin_sign)
    return makers[int(random.choice(len(makers), p=(0.20, 0.09, 0.05, 0.16, 0.10, 0.09, 0.06, 0.08, 0.06, 0.11)))](random)


def _bollard(random: np.random.Generator) -> Mesh:
    radius, height = random.uniform(0.05, 0.20), random.uniform(0.5, 1.3)
    material = POLE if random.random() < 0.6 else WALL
    parts = [_column(0.0, 0.0, radius, height, material, _pick(random, _STONES))]
    for k in range(int(random.integers(0, 3))):  # more in line
        parts.append(parts[0].moved((k + 1) * random.uniform(1.2, 2.0) * (-1) ** k))
    return join(parts)


def _meter(random: np.random.Generator) -> Mesh:
    height = random.uniform(1.1, 1.6)
    post_ = _column(0.0, 0.0, random.uniform(0.03, 0.06), height - 0.3, POLE, _GREY)
    head = box((random.uniform(0.15, 0.35), random.uniform(0.12, 0.3), random.uniform(0.3, 0.7)), METAL, _pick(random, _PAINTS))
    return join([post_, head.moved(0, 0, height - 0.35)])


def _hydrant(random: np.random.Generator) -> Mesh:
    radius, height = random.uniform(0.10, 0.16), random.uniform(0.6, 1.0)
    arms = [limb((0, -0.25, 0.6 * height), (0, 0.25, 0.6 * height), 0.06, 0.06, METAL, _PAINTS[4], 5)]
    return join([_column(0.0, 0.0, radius, height, METAL, _PAINTS[4]), *arms])


def _low_sign(random: np.random.Generator) -> Mesh:
    """A plate that faces any way, lower edge at 0.6 .. 2.0 m; from behind it does not shine."""
    low, size = random.uniform(0.6, 2.0), random.uniform(0.3, 0.8)
    tall = size * random.uniform(0.5, 1.5)
    post_ = _column(0.0, 0.0, random.uniform(0.025, 0.05), low + tall, POLE, _GREY)
    return join([post_, *_plate(0.05, size, low, tall)]).moved(yaw=random.uniform(0, 2 * math.pi))


def _twin_sign(random: np.random.Generator) -> Mesh:
    """A board between two posts: place names, timetables, maps."""
    low, width, tall = random.uniform(0.4, 1.5), random.uniform(0.6, 1.6), random.uniform(0.4, 1.1)
    posts = [_column(0.0, side * width / 2, 0.035, low + tall, POLE, _GREY) for side in (-1, 1)]
    return join([*posts, *_plate(0.06, width, low, tall)]).moved(yaw=random.uniform(0, 2 * math.pi))


def _plate(x: float, width: float, low: float, tall: float) -> list[Mesh]:
    """The bright front at +x and the dull back."""
    front = box((0.015, width, tall), SIGN, (0.6, 0.15, 0.12)).moved(x + 0.015, 0, low)
    return [front, box((0.015, width, tall), METAL, _GREY).moved(x - 0.01, 0, low)]


def _post_with_bin(random: np.random.Generator) -> Mesh:
    height, size = random.uniform(1.1, 2.6), random.uniform(0.3, 0.45)
    post_ = _column(0.0, 0.0, random.uniform(0.03, 0.09), height, POLE, _GREY)
    bin_ = box((size, size * random.uniform(0.7, 1.0), random.uniform(0.4, 0.7)), METAL, _pick(random, _PAINTS))
    return join([post_, bin_.moved(size / 2 + 0.08, 0, random.uniform(0.35, 0.7))]).moved(yaw=random.uniform(0, 2 * math.pi))


def _signal(random: np.random.Generator) -> Mesh:
    """A traffic light, with one for pedestrians at the height of a head."""
    height = random.uniform(2.8, 3.6)
    post_ = _column(0.0, 0.0, random.uniform(0.05, 0.10), height, POLE, _GREY)
    head = box((0.25, 0.32, 0.9), CAR_PLASTIC, _DARK).moved(0.15, 0, height - 0.9)
    low = box((0.2, 0.25, 0.55), CAR_PLASTIC, _DARK).moved(0, 0.2, random.uniform(1.9, 2.2))
    button = box((0.12, 0.1, 0.25), METAL, _PAINTS[2]).moved(0.1, 0, 1.0)
    return join([post_, head, low, button]).moved(yaw=random.uniform(0, 2 * math.pi))


def _board(random: np.random.Generator) -> Mesh:
    """An advertising stand in front of a shop."""
    width, height, foot = random.uniform(0.5, 0.8), random.uniform(0.8, 1.3), random.uniform(0.35, 0.6)
    low, high = np.array([[foot, width], [-foot, width], [-foot, -width], [foot, -width]]) / 2, np.array([0.15, 1.0])
    return loft([(0, low), (height, low * high)], FENCE, _pick(random, _STONES)).moved(yaw=random.uniform(0, math.pi))


def _stub(random: np.random.Generator) -> Mesh:
    """A tree stump, a milestone, a stone."""
    radius, height = random.uniform(0.15, 0.4), random.uniform(0.3, 1.1)
    rings = [(0, ellipse(radius * 1.15, radius, 7)), (height, ellipse(radius * 0.9, radius * 0.85, 7))]
    return loft(rings, TRUNK if random.random() < 0.5 else WALL, _pick(random, _STONES))


def _letter_box(random: np.random.Generator) -> Mesh:
    size = random.uniform(0.35, 0.5), random.uniform(0.3, 0.45), random.uniform(0.5, 1.0)
    post_ = _column(0.0, 0.0, random.uniform(0.04, 0.1), 0.8, POLE, _GREY)
    return join([post_, box(size, METAL, _PAINTS[2]).moved(0, 0, 0.7)])


def bins(random: np.random.Generator) -> Mesh:
    """Wheelie bins side by side, containers with four wheels, heaps of sacks, bottle banks."""
    kind = random.random()
    if kind < 0.62:
        return join(
            _wheelie(random).moved(0.72 * k, random.normal(0, 0.1), yaw=random.normal(0, 0.25))
            for k in range(int(random.integers(1, 6)))
        )
    if kind < 0.76:
        size = random.uniform(1.0, 1.4), random.uniform(0.75, 1.1), random.uniform(1.0, 1.3)
        return box(size, CAR_PLASTIC if random.random() < 0.5 else METAL, _pick(random, _PAINTS)).moved(0, 0, 0.1)
    if kind < 0.90:
        return join(
            blob(random, (*random.normal(0, 0.35, 2), 0.28), random.uniform(0.22, 0.42, 3).tolist(), 0.4, CAR_PLASTIC, _PAINTS[2])
            for _ in range(int(random.integers(1, 6)))
        )
    radius, height = random.uniform(0.5, 0.75), random.uniform(1.4, 1.8)
    rings = [
        (0, ellipse(radius, radius, 8)),
        (0.75 * height, ellipse(radius, radius, 8)),
        (height, ellipse(0.4 * radius, 0.4 * radius, 8)),
    ]
    return loft(rings, METAL, _pick(random, _PAINTS))


def _wheelie(random: np.random.Generator) -> Mesh:
    """Wider at the top, the lid leaning or open."""
    length, width, height = random.uniform(0.5, 0.75), random.uniform(0.45, 0.6), random.uniform(0.9, 1.1)
    material = CAR_PLASTIC if random.random() < 0.6 else METAL
    half = np.array([[length, width], [-length, width], [-length, -width], [length, -width]]) / 2
    color = _pick(random, _PAINTS)
    parts = [loft([(0.03, half * 0.75), (height, half)], material, color)]
    if random.random() < 0.15:  # open
        parts.append(box((0.05, width, 0.55), material, color).moved(-length / 2 - 0.04, 0, height - 0.05))
    else:
        parts.append(box((length * 1.06, width * 1.04, 0.07), material, color).moved(0, 0, height))
    return join(parts)


def shrub(random: np.random.Generator) -> Mesh:
    """As high and as wide as a person: a clipped column, a cone, a stem with a ball."""
    height, radius = random.uniform(0.9, 2.6), random.uniform(0.22, 0.55)
    color, kind = _pick(random, _LEAVES), random.random()
    if kind < 0.35:  # a column
        z = [blob(random, (0, 0, height * s), (radius, radius, height * 0.3), 0.35, FOLIAGE, color) for s in (0.28, 0.5, 0.72)]
        return join(z)
    if kind < 0.65:  # a cone
        return join(
            blob(random, (0, 0, height * s), (radius * f, radius * f, height * 0.22), 0.4, FOLIAGE, color)
            for s, f in ((0.2, 1.0), (0.5, 0.7), (0.8, 0.4))
        )
    stem = limb((0, 0, 0), (0, 0, height * 0.7), random.uniform(0.03, 0.08), 0.03, TRUNK, _BARK, 5)
    return join([stem, blob(random, (0, 0, height * 0.8), (radius, radius, radius), 0.4, FOLIAGE, color)])


def pillars(random: np.random.Generator) -> Mesh:
    """Of a gate or an entrance: two of stone or wood, sometimes the gate between, sometimes one alone."""
    height, width, gap = random.uniform(0.9, 2.3), random.uniform(0.18, 0.5), random.uniform(1.0, 3.8)
    material, color = (WALL, _pick(random, _STONES)) if random.random() < 0.75 else (FENCE, (0.21, 0.14, 0.085))
    one = box((width, width, height), material, color)
    if random.random() < 0.5:
        one = join([one, box((width + 0.1, width + 0.1, 0.08), material, color).moved(0, 0, height)])
    if random.random() < 0.2:
        return one
    parts = [one.moved(-gap / 2), one.moved(gap / 2)]
    if random.random() < 0.4:
        parts.append(box((gap - width, 0.04, height * random.uniform(0.5, 0.9)), METAL, _DARK).moved(0, 0, 0.08))
    return join(parts)


def trailer(random: np.random.Generator) -> Mesh:
    """As large as a car, no car: trailers, caravans, containers, stalls, heaps under a sheet, at any angle."""
    kind = random.random()
    length, width = random.uniform(1.8, 5.5), random.uniform(1.3, 2.3)
    if kind < 0.40:  # on wheels, with a drawbar
        height = random.uniform(0.4, 0.8) if random.random() < 0.6 else random.uniform(1.5, 2.2)
        parts = [box((length, width, height), METAL, _pick(random, _STONES)).moved(0, 0, 0.45)]
        parts += [wheel(0, side * (width / 2 + 0.08), 0.3, 0.16, TYRE, (0.02, 0.02, 0.022)) for side in (-1, 1)]
        parts.append(limb((length / 2, 0, 0.5), (length / 2 + 1.0, 0, 0.4), 0.05, 0.05, METAL, _DARK, 4))
    elif kind < 0.55:  # a container for rubble, wider above
        half = np.array([[length, width], [-length, width], [-length, -width], [length, -width]]) / 2
        parts = [loft([(0.05, half * (0.7, 0.95)), (random.uniform(1.0, 1.9), half)], METAL, _pick(random, _PAINTS))]
    elif kind < 0.75:  # a stall or a hut
        height = random.uniform(2.0, 2.8)
        parts = [box((length, width, height), FENCE, _pick(random, _STONES))]
        parts.append(box((length + 0.6, width + 0.6, 0.12), METAL, _DARK).moved(0, 0, height))
        parts.append(box((length * 0.6, 0.03, 0.9), WINDOW, (0.05, 0.065, 0.085)).moved(0, -width / 2 - 0.02, 1.0))
    elif kind < 0.88:  # building material
        parts = [
            box(
                (random.uniform(0.8, 1.3), random.uniform(0.8, 1.2), random.uniform(0.4, 1.4)), WALL, _pick(random, _STONES)
            ).moved(1.35 * k)
            for k in range(int(random.integers(1, 4)))
        ]
    else:  # under a sheet
        parts = [blob(random, (0, 0, 0.7), (length / 2, width / 2, 0.75), 0.2, CLOTH, _pick(random, _STONES))]
    return join(parts).moved(yaw=random.uniform(0, 2 * math.pi) if random.random() < 0.4 else random.normal(0, 0.1))


def tram(random: np.random.Generator) -> Mesh:
    """A part of a tram or a train, 14.4 m: closed up to the sill, then posts around windows that let the light in, and a roof."""
    length, width, height = 14.4, random.uniform(2.3, 2.7), random.uniform(2.9, 3.5)
    low, sill = random.uniform(0.15, 0.28), random.uniform(0.9, 1.3)
    paint, wall = _pick(random, _STONES), 0.12
    parts = [box((length, width, 0.25), CAR_PAINT, paint).moved(0, 0, height - 0.25)]
    parts.append(box((length, width, 0.15), CAR_PLASTIC, _DARK).moved(0, 0, low))
    for side in (-1, 1):
        y = side * (width - wall) / 2
        parts.append(box((length, wall, sill - low), CAR_PAINT, paint).moved(0, y, low))
        parts.append(box((length, wall, 0.25), CAR_PAINT, paint).moved(0, y, height - 0.5))
        x = -length / 2 + 0.1
        while x < length / 2:
            parts.append(box((random.uniform(0.1, 0.4), wall, height - sill - 0.4), CAR_PAINT, paint).moved(x, y, sill))
            x += random.uniform(1.2, 2.4)
    for x in random.uniform(-0.45, 0.45, 8) * length:  # seats and bars
        parts.append(box((0.45, 0.45, 1.1), CLOTH, _DARK).moved(float(x), random.uniform(-0.3, 0.3) * width, low + 0.15))
    return join(parts)


def _column(x: float, y: float, radius: float, height: float, material: int, color: Color) -> Mesh:
    return loft([(0, ellipse(radius, radius, 6, x, y)), (height, ellipse(radius, radius, 6, x, y))], material, color)


def _pick(random: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    return colors[int(random.integers(len(colors)))]


MAKERS: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "street_trees": street_tree,
    "posts": post,
    "bins": bins,
    "bicycles": bicycles.bicycles,
    "shrubs": shrub,
    "pillars": pillars,
    "trailers": trailer,
    "trams": tram,
    "carried": bicycles.carried,
}
"""Kind of a row -> its things."""
