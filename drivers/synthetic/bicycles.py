"""Parked bicycles and scooters, and what pedestrians push or draw. Each seed gives another one; on z = 0 at the origin [m]."""

from __future__ import annotations

import math

import numpy as np

from drivers.synthetic.materials import CAR_PLASTIC, CLOTH, FENCE, METAL, TYRE
from drivers.synthetic.mesh import Color, Mesh, box, hoop, join, limb, wheel

_GREY, _DARK, _RUBBER = (0.32, 0.33, 0.34), (0.06, 0.06, 0.065), (0.02, 0.02, 0.022)
_PAINTS: tuple[Color, ...] = ((0.05, 0.05, 0.05), (0.05, 0.12, 0.30), (0.45, 0.30, 0.03), (0.04, 0.18, 0.06), (0.35, 0.03, 0.03))


def bicycles(random: np.random.Generator) -> Mesh:
    """Parked without riders: one at a wall or post, or several side by side; sometimes a motor scooter."""
    if random.random() < 0.15:
        return _scooter(random)
    count = int(random.choice([1, 1, 2, 3, 4]))
    along = random.random() < 0.5  # at a wall: along the street; in a rack: across
    parts = []
    for k in range(count):
        turn = (0.0 if random.random() < 0.5 else math.pi) + random.normal(0, 0.12)
        at = (0.0, 0.16 * k) if along else (0.5 * k, random.normal(0, 0.1))
        parts.append(bicycle(random).moved(*at, yaw=turn + (0.0 if along else math.pi / 2)))
    if not along and random.random() < 0.5:  # the rack
        parts.append(limb((-0.3, 0.4, 0.45), (0.5 * count, 0.4, 0.45), 0.025, 0.025, METAL, _GREY, 4))
    return join(parts)


def bicycle(random: np.random.Generator) -> Mesh:
    """Upright, along x."""
    radius, base = random.uniform(0.31, 0.36), random.uniform(0.98, 1.10)
    paint = _paint(random)
    rear, front, saddle = (-base / 2, 0, radius), (base / 2, 0, radius), (-0.20, 0, random.uniform(0.85, 1.0))
    bars, crank = (base / 2 - 0.12, 0, random.uniform(0.95, 1.1)), (-0.03, 0, 0.28)
    parts = [hoop(x, 0, radius, 0.045, 0.05, TYRE, _RUBBER, 7) for x in (-base / 2, base / 2)]
    for a, b in ((rear, saddle), (rear, crank), (crank, saddle), (crank, bars), (saddle, bars), (front, bars)):
        parts.append(limb(a, b, 0.022, 0.022, METAL, paint, 3))
    parts.append(limb((bars[0], -0.28, bars[2]), (bars[0], 0.28, bars[2]), 0.018, 0.018, METAL, paint, 3))
    parts.append(box((0.26, 0.15, 0.06), CAR_PLASTIC, _DARK).moved(saddle[0], 0, saddle[2]))
    if random.random() < 0.35:
        parts.append(
            box((0.32, 0.30, 0.25), FENCE, (0.3, 0.2, 0.1)).moved(-base / 2 if random.random() < 0.5 else base / 2, 0, 0.75)
        )
    return join(parts)


def _scooter(random: np.random.Generator) -> Mesh:
    paint = _paint(random)
    parts = [wheel(x, 0, 0.26, 0.12, TYRE, _RUBBER) for x in (-0.62, 0.62)]
    parts.append(box((0.75, 0.32, 0.45), CAR_PLASTIC, paint).moved(-0.42, 0, 0.35))
    parts.append(box((0.45, 0.28, 0.12), CAR_PLASTIC, paint).moved(0.12, 0, 0.25))
    parts.append(limb((0.6, 0, 0.3), (0.35, 0, 1.05), 0.09, 0.07, CAR_PLASTIC, paint, 5))
    parts.append(limb((0.35, -0.33, 1.05), (0.35, 0.33, 1.05), 0.03, 0.03, METAL, _DARK, 4))
    return join(parts).moved(yaw=random.uniform(0, 2 * math.pi))


def carried(random: np.random.Generator) -> Mesh:
    """What a person pushes ahead or draws behind, in the person's frame: prams, trolleys, suitcases, a bicycle beside."""
    kind = random.random()
    if kind < 0.45:  # a pram
        parts = [wheel(x, y, 0.13, 0.04, TYRE, _RUBBER, 6) for x in (0.55, 1.05) for y in (-0.24, 0.24)]
        parts.append(box((0.75, 0.42, 0.32), CLOTH, _paint(random)).moved(0.85, 0, 0.45))
        parts.append(box((0.32, 0.42, 0.28), CLOTH, _paint(random)).moved(1.05, 0, 0.78))
        parts.append(limb((0.5, 0, 0.6), (0.3, 0, 1.0), 0.02, 0.02, METAL, _GREY, 4))
        return join(parts)
    if kind < 0.75:  # a suitcase or a shopping trolley behind
        size = random.uniform(0.22, 0.35), random.uniform(0.3, 0.45), random.uniform(0.5, 0.75)
        handle = limb((-0.55, 0.2, 0.6), (-0.25, 0.25, 0.95), 0.015, 0.015, METAL, _GREY, 4)
        return join([box(size, CLOTH, _paint(random)).moved(-0.6, 0.2, 0.06), handle])
    return bicycle(random).moved(0.15, 0.5)


def _paint(random: np.random.Generator) -> Color:
    return _PAINTS[int(random.integers(len(_PAINTS)))]
